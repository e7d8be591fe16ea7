package psyco_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/lib/pq"
)

// TestErrorsSayWhatToWrite runs the mistakes that people make with psycopg's
// placeholders, and expects the words that help: in the error if it is psyco's, in the
// hint if it is the server's.
func TestErrorsSayWhatToWrite(t *testing.T) {
	type person struct {
		Name   string
		EMail  string
		Phone  string `db:"tel" json:"phone_number"`
		secret string
		Hidden int `db:"-"`
	}
	someone := person{secret: ""}
	slice := []int{1}
	tests := []struct {
		name, query string
		args        []any
		want        string
		literal     bool // is no mistake for a literal
	}{
		{"a verb of fmt", "SELECT %d", list{1}, "got '%d'; % as an operator needs a space after it, or is written %%; a placeholder for a value of any type is %s (line", false},
		{"%v", "SELECT %v", list{1}, "a placeholder for a value of any type is %s (line", false},
		{"a verb with a name", "SELECT %(id)d", list{map[string]any{"id": 1}}, "a placeholder for a value of any type is %(id)s (line", false},
		{"a name without a letter", "SELECT %(id)", list{map[string]any{"id": 1}}, "a placeholder for a value of any type is %(id)s (line", false},

		{":name and a map", "SELECT a[1:2], 'x'::text, :id", list{map[string]any{"id": 1}}, "the query has no %(name)s placeholder: write %(id)s, not :id (line 1, column 27)", false},
		{"@name and a struct", "SELECT 1 @> 2, @name", list{someone}, "write %(name)s, not @name", false},
		{"{name} and a map", "SELECT {id}", list{map[string]any{"id": 1}}, "write %(id)s, not {id}", false},
		{"$name and sql.Named", "SELECT $id", list{sql.Named("id", 1)}, "write %(id)s, not $id", false},
		{"a map for no placeholder", "SELECT 1", list{map[string]any{"id": 1}}, "no placeholder for the parameters: write %(name)s where a value goes", false},

		{"a name as the field is", "SELECT %(Name)s", list{someone}, "query parameter missing: Name: did you mean %(name)s, the field Name?", false},
		{"a name with other words", "SELECT %(email)s", list{&someone}, "missing: email: did you mean %(e_mail)s, the field EMail?", false},
		{"a name of the json tag", "SELECT %(phone_number)s", list{someone}, "missing: phone_number: did you mean %(tel)s, the field Phone?", false},
		{"a name of a field with a tag", "SELECT %(phone)s", list{someone}, "missing: phone: did you mean %(tel)s, the field Phone?", false},
		{"an unexported field", "SELECT %(secret)s", list{someone}, "missing: secret: the field secret of psyco_test.person is not exported", false},
		{"an excluded field", "SELECT %(hidden)s", list{someone}, `missing: hidden: the field Hidden of psyco_test.person has the tag db:"-"`, false},
		{"a misspelt field", "SELECT %(nmae)s", list{someone}, "missing: nmae: did you mean %(name)s?", false},
		{"another case in a map", "SELECT %(userId)s", list{map[string]int{"user_id": 1}}, "missing: userId: did you mean %(user_id)s?", false},
		{"another case in sql.Named", "SELECT %(Id)s", list{sql.Named("id", 1)}, "missing: Id: did you mean %(id)s?", false},
		{"nothing alike", "SELECT %(x)s", list{map[string]int{"y": 1}}, "query parameter missing: x (line", false},

		{"a map for one %s", "SELECT %s", list{map[string]any{"id": 1}}, "psyco.HStore, or write %(key)s in the query to take values from it by name", false},
		{"a struct for one %s", "SELECT %s", list{someone}, "one by one, or write %(key)s in the query", false},
		{"inside a body", "DO $$ BEGIN PERFORM %s; END $$", list{1}, "is inside a literal, and a $$ body takes no parameters", false},

		{"FROM", "SELECT * FROM %s", list{"t"}, "names, keywords and other parts of a query go in with psyco.Compose", false},
		{"a column", "SELECT t.%(column)s FROM t", list{map[string]any{"column": "id"}}, "go in with psyco.Compose", false},
		{"a sort order", "SELECT 1 FROM t ORDER BY id %s", list{"DESC"}, "go in with psyco.Compose", true},
		{"INTERVAL", "SELECT INTERVAL %s", list{"1 day"}, "write %s::interval", true},
		{"DATE", "SELECT date %(day)s", list{map[string]any{"day": "2024-02-29"}}, "write %(day)s::date", true},
		{"TIMESTAMP WITH TIME ZONE", "SELECT timestamp with time zone %s", list{"2024-02-29"}, "write %s::timestamptz", true},
		{"IS", "SELECT 1 FROM t WHERE id IS %s", list{nil}, "write IS NOT DISTINCT FROM %s", true},
		{"IS NOT", "SELECT 1 FROM t WHERE id is not %s", list{nil}, "write IS DISTINCT FROM %s", true},
		{"ANY", "SELECT 1 FROM t WHERE id = ANY %s", list{slice}, "write ANY(%s)", false},
		{"LIKE at the end", "SELECT 1 FROM t WHERE a LIKE %s%%", list{"a"}, "belong into the value: write LIKE %s", false},
		{"LIKE in the middle", "SELECT 1 FROM t WHERE a ilike %%%s%% AND id = 1", list{"a"}, "write ILIKE %s", false},
		{"a slice for json", "INSERT INTO t (j) VALUES (%s)", list{slice}, "write psyco.JSON[any]{V: slice} for json", false},
		{"a slice of strings for json", "INSERT INTO t (j) VALUES (%s)", list{[]string{"a"}}, "write psyco.JSON[any]{V: slice} for json", false},
		{"a slice compared", "SELECT 1 FROM t WHERE id = %s", list{slice}, "write = ANY(%s) or IN %s", false},
		{"a slice compared with a date", "SELECT 1 FROM t WHERE d = %s", list{[]string{"x"}}, "write = ANY(%s) or IN %s", false},
		{"an expression that is grouped by", "SELECT left(a, %s::int) FROM t GROUP BY left(a, %s::int)", list{1, 1}, "write %(name)s in both", true},
		{"no arguments", "SELECT 1 FROM t WHERE id = %s", nil, "No arguments were given for %s", false},
		{"no arguments for a name", "INSERT INTO t (id) VALUES (%(id)s)", nil, "No arguments were given for %(id)s", false},

		{"the server's own hint", "SELECT nosuch(%s::int)", list{1}, "No function matches the given name", false},
		{"a comma that is missing", "SELECT %s %s", list{1, 2}, "", true},
		{"a value alone", "SELECT 1 FROM t WHERE id = %s", list{"x"}, "", false},
		{"a native query", "SELECT * FROM $1", list{"t"}, "", false},
		{"no arguments for an operator", "SELECT 1 FROM t WHERE id %2 = nosuch", nil, "", false},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (id int, a text, j jsonb, d date)")
		client := strings.HasSuffix(t.Name(), "/client_binding")
		for _, tt := range tests {
			if client && tt.literal {
				continue
			}
			for _, way := range ways {
				if way.name != "Query" && way.name != "Tx" && way.name != "Batch" {
					continue
				}
				t.Run(tt.name+" "+way.name, func(t *testing.T) {
					err := way.run(t.Context(), db, tt.query, tt.args)
					if err == nil {
						t.Fatal("no error")
					}
					pe := pq.As(err)
					if pe == nil {
						if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "psyco: ") {
							t.Errorf("%v\nwant %s", err, tt.want)
						}
						return
					}
					if !strings.Contains(pe.Hint, tt.want) || tt.want == "" && pe.Hint != "" {
						t.Errorf("%v, hint %q, want %q", err, pe.Hint, tt.want)
					}
					if way.name == "Query" && err != error(pe) {
						t.Errorf("%T, want a bare *pq.Error", err)
					}
				})
			}
		}
	})
}
