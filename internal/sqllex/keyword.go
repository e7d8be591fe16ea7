package sqllex

import "strings"

type keyword struct {
	name     string // in upper case; handed out, so that looking a word up allocates nothing
	reserved bool   // never the name of a column or a function
}

// keywords holds PostgreSQL's reserved words and the other words that begin
// statements or that programs look for.
var keywords = func() map[string]keyword {
	m := make(map[string]keyword)
	add := func(reserved bool, words string) {
		for name := range strings.FieldsSeq(words) {
			m[name] = keyword{name, reserved}
		}
	}
	add(false, `
		ABORT ALTER ATOMIC BEGIN BETWEEN BY CALL CHAIN CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COMMITTED CONCURRENTLY COPY
		CURSOR DATABASE DEALLOCATE DECLARE DELETE DISCARD DROP ESCAPE EXECUTE EXISTS EXPLAIN EXTENSION FILTER FUNCTION GENERATED ILIKE
		IMPORT INDEX INSERT IS ISOLATION JOIN LEVEL LIKE LISTEN LOAD LOCAL LOCK MATERIALIZED MERGE MOVE NOTIFY OVER OWNED POSITION
		PREPARE PREPARED PROCEDURE READ REASSIGN RECURSIVE REFRESH REINDEX RELEASE REPEATABLE REPLACE RESET REVOKE
		ROLE ROLLBACK ROW SAVEPOINT SCHEMA SECURITY SERIALIZABLE SESSION SET SHOW SIMILAR START SYSTEM TEMP TEMPORARY
		TRANSACTION TRUNCATE TYPE UNLISTEN UNLOGGED UPDATE VACUUM VALUES VERBOSE VIEW WITHIN WORK WRITE ZONE`)
	add(true, `
		ALL ANALYSE ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC BOTH CASE CAST CHECK COLLATE COLUMN CONSTRAINT CREATE
		CURRENT_CATALOG CURRENT_DATE CURRENT_ROLE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DEFAULT DEFERRABLE DESC
		DISTINCT DO ELSE END EXCEPT FALSE FETCH FOR FOREIGN FROM GRANT GROUP HAVING IN INITIALLY INTERSECT INTO LATERAL
		LEADING LIMIT LOCALTIME LOCALTIMESTAMP NOT NULL OFFSET ON ONLY OR ORDER PLACING PRIMARY REFERENCES RETURNING
		SELECT SESSION_USER SOME SYMMETRIC SYSTEM_USER TABLE THEN TO TRAILING TRUE UNION UNIQUE USER USING VARIADIC WHEN
		WHERE WINDOW WITH`)
	return m
}()

const longestKeyword = len("CURRENT_TIMESTAMP")

// Upper returns a word with its ASCII letters in upper case. It does not
// allocate for keywords that begin statements, for reserved words and for words
// that are in upper case already.
func Upper(word string) string {
	if len(word) <= longestKeyword {
		var buf [longestKeyword]byte
		if k, ok := keywords[string(upper(buf[:0], word))]; ok {
			return k.name
		}
	}
	for i := range len(word) {
		if c := word[i]; 'a' <= c && c <= 'z' {
			return string(upper(nil, word))
		}
	}
	return word
}

// Reserved reports whether PostgreSQL reserves a word, given in any case: where
// it stands, it is neither a column's name nor a function's.
func Reserved(word string) bool {
	if len(word) > longestKeyword {
		return false
	}
	var buf [longestKeyword]byte
	return keywords[string(upper(buf[:0], word))].reserved
}

// EndsOperand reports whether an expression can end with an element. dot says that it
// stands behind a dot, where a word is a name.
func EndsOperand(kind Kind, text string, dot bool) bool {
	switch kind {
	case Symbol:
		return text == ")" || text == "]"
	case Word:
		if dot {
			return true
		}
		switch word := Upper(text); word {
		case "NULL", "TRUE", "FALSE", "END", "USER", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP":
			return true
		case "BETWEEN", "BY", "ESCAPE", "ILIKE", "LIKE", "SET", "SIMILAR", "VALUES", "ZONE":
			return false
		default:
			return !Reserved(word)
		}
	}
	return kind != End
}

func upper(dst []byte, word string) []byte {
	for i := range len(word) {
		c := word[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// lower folds a word as PostgreSQL folds identifiers without quotes.
func lower(word string) string {
	b := []byte(word)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}
