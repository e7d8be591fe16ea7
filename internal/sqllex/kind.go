package sqllex

// What statements do is told by the word that they begin with, which Keyword returns.
// What is true of all statements of a word stands in one table.

// trait is what is true of the statements of a word.
type trait uint16

const (
	reads       trait = 1 << iota // gives rows and changes nothing, but by the functions that it calls
	cursors                       // may be that of a cursor
	queries                       // reads or changes rows, as the planner has planned it
	stores                        // may put values into the columns of a table
	parameters                    // may have $n: PostgreSQL's parser analyses it (transformStmt in analyze.c)
	expressions                   // takes an expression wherever it takes a constant
	defines                       // is part of the transaction that it runs in, and never its end
	renames                       // may change what names mean
	sets                          // changes a setting
)

var traits = map[string]trait{
	"SELECT":   reads | cursors | queries | parameters | expressions,
	"TABLE":    reads | cursors | queries | parameters | expressions,
	"VALUES":   reads | cursors | queries | parameters | expressions,
	"WITH":     cursors | queries | stores | parameters | expressions,
	"INSERT":   queries | stores | parameters | expressions,
	"UPDATE":   queries | stores | parameters | expressions,
	"MERGE":    queries | stores | parameters | expressions,
	"DELETE":   queries | parameters | expressions,
	"DECLARE":  parameters | expressions,
	"EXPLAIN":  parameters | expressions, // see ExplainsUtility
	"CALL":     parameters | expressions | renames,
	"PREPARE":  expressions,
	"EXECUTE":  expressions,
	"CREATE":   defines | renames,
	"ALTER":    defines | renames,
	"DROP":     defines | renames,
	"TRUNCATE": defines,
	"GRANT":    defines,
	"REVOKE":   defines,
	"COMMENT":  defines,
	"NOTIFY":   defines,
	"SET":      defines | sets,
	"RESET":    sets,
	"IMPORT":   renames,
	"DO":       renames,
	"DISCARD":  renames,
	"COMMIT":   renames,
	"ROLLBACK": renames,
}

func is(keyword string, t trait) bool { return traits[keyword]&t != 0 }

// MayBeCursor reports whether a cursor can be declared for a statement that begins
// with a word.
func MayBeCursor(keyword string) bool { return is(keyword, cursors) }

// StoresValues reports whether a statement that begins with a word may put values
// into the columns of a table.
func StoresValues(keyword string) bool { return is(keyword, stores) }

// TakesParameters reports whether a statement that begins with a word takes $1, $2 and
// so on. What EXPLAIN explains may take none all the same, see ExplainsUtility.
func TakesParameters(keyword string) bool { return is(keyword, parameters) }

// TakesExpressions reports whether a statement that begins with a word takes an
// expression wherever it takes a constant.
func TakesExpressions(keyword string) bool { return is(keyword, expressions) }

// IsQuery reports whether a statement reads or changes rows, and defines nothing.
func IsQuery(sql string) bool { return is(Keyword(sql), queries) }

// MayCommit reports whether a statement can end the transaction that it runs in.
func MayCommit(sql string) bool { return !is(Keyword(sql), queries|defines) }

// ExplainsUtility reports whether what EXPLAIN explains takes no parameters:
// EXECUTE, CREATE MATERIALIZED VIEW, REFRESH. EXPLAIN's options may be in parentheses.
func ExplainsUtility(sql string) bool {
	depth := 0
	s := NewScanner(sql)
	for t := s.Next(); t.Kind != End; t = s.Next() {
		switch word := t.Text(sql); {
		case word == "(":
			depth++
		case word == ")":
			depth--
		case t.Kind == Word && depth == 0:
			switch Upper(word) {
			case "EXPLAIN", "ANALYZE", "ANALYSE", "VERBOSE":
				continue
			case "EXECUTE", "CREATE", "REFRESH":
				return true
			}
			return false
		}
	}
	return false
}
