package doctest_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every Python block of the documents stands in a function of the program in
// examples/migrate-from-psycopg, whose test compares what it prints with what
// the same program in Go does.
func TestDocsPython(t *testing.T) {
	script := filepath.Join("examples", "migrate-from-psycopg", "before.py")
	var functions [][]string
	for _, f := range strings.Split(read(t, script), "\ndef ")[1:] {
		functions = append(functions, trimmed(f))
	}
	for _, doc := range documents(t) {
		for _, b := range codeBlocks(t, doc, "python") {
			t.Run(b.where, func(t *testing.T) {
				var lines []string
				for _, line := range b.lines {
					if line != "" {
						lines = append(lines, connectLiteral.ReplaceAllString(line, "connect(dsn)"))
					}
				}
				longest := 0
				for _, f := range functions {
					longest = max(longest, inOrder(lines, f))
				}
				if longest < len(lines) {
					t.Errorf("no function of %s has this block; the best has all up to this line:\n\t%s", script, lines[longest])
				}
			})
		}
	}
}

var connectLiteral = regexp.MustCompile(`connect\("[^"]*"\)`)

// docs/psycopg.md says of everything in psycopg2.extras and of the parts of the pools what to write here.
func TestDocsExtras(t *testing.T) {
	doc := read(t, "docs/psycopg.md")
	doc = doc[strings.Index(doc, "\n## psycopg2.extras and pools"):]
	doc = doc[:strings.Index(doc[1:], "\n## ")]
	for _, name := range []string{
		"CompositeCaster", "DateRange", "DateTimeRange", "DateTimeTZRange", "DictConnection", "DictCursor", "HstoreAdapter", "Inet", "Json",
		"LoggingConnection", "LoggingCursor", "LogicalReplicationConnection", "MinTimeLoggingConnection", "MinTimeLoggingCursor",
		"NamedTupleConnection", "NamedTupleCursor", "NumericRange", "PhysicalReplicationConnection", "Range", "RealDictConnection",
		"RealDictCursor", "ReplicationCursor", "ReplicationMessage", "StopReplication", "execute_batch", "execute_values",
		"register_composite", "register_default_json", "register_default_jsonb", "register_hstore", "register_inet",
		"register_ipaddress", "register_json", "register_range", "register_uuid", "wait_select",

		"SimpleConnectionPool", "ThreadedConnectionPool", "PoolError", "getconn", "putconn", "closeall", "minconn", "maxconn",

		"ConnectionPool", "AsyncConnectionPool", "NullConnectionPool", "connection", "min_size", "max_size", "configure", "check", "reset",
		"timeout", "max_waiting", "max_lifetime", "max_idle", "reconnect_timeout", "reconnect_failed", "wait", "get_stats", "pop_stats",
	} {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(doc) {
			t.Errorf("nothing is said of %s", name)
		}
	}
}
