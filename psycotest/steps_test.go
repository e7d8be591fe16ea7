package psycotest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/psyco-go/psyco/psycotest"
)

// dir makes a file system of names and contents.
func dir(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

func TestSQL(t *testing.T) {
	db := psycotest.DB(t)
	psycotest.Load(t, db, psycotest.SQL(dir(
		"2.sql", "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)",
		"1.sql", "\ufeffCREATE SCHEMA s; SET search_path = s; CREATE TABLE t (a int)", // for 2.sql too
		"3.down.sql", "DROP TABLE s.t",
	), "?.sql"))
	if got := text(t, db, "SELECT sum(a) FROM s.t"); got != "5" {
		t.Errorf("the sum is %s", got)
	}
	if got := text(t, db, "SHOW search_path"); got == "s" {
		t.Error("a setting outlives its step")
	}
}

const tables = `
CREATE TABLE clients (id serial PRIMARY KEY, name text NOT NULL, note text, parent int REFERENCES clients);
CREATE SCHEMA sales;
CREATE TABLE sales."Bills" (number int GENERATED ALWAYS AS IDENTITY (INCREMENT BY -1), client int NOT NULL REFERENCES clients);
CREATE TABLE hens (id int PRIMARY KEY, egg int);
CREATE TABLE eggs (id int PRIMARY KEY, hen int REFERENCES hens);
ALTER TABLE hens ADD FOREIGN KEY (egg) REFERENCES eggs DEFERRABLE;
CREATE TABLE black (id int PRIMARY KEY, white int);
CREATE TABLE white (id int PRIMARY KEY, black int REFERENCES black);
ALTER TABLE black ADD FOREIGN KEY (white) REFERENCES white;
`

func TestCSV(t *testing.T) {
	db := psycotest.DB(t)
	psycotest.Load(t, db, psycotest.SQL(dir("tables.sql", tables), "*"), psycotest.CSV(dir(
		// In the order of names, bills would come before their clients.
		"a/sales.Bills.csv", "number,client\n-1,7\n-2,8\n",
		"a/clients.csv", "\ufeffname,id,\"note\",parent\n\"Acme, Inc.\n(closed)\",7,,8\nÖlmühle,8,\"\",\n",
		"a/hens.csv", "id,egg\n1,1\n",
		"a/eggs.csv", "id,hen\r\n1,1\r\n",
		"a/black.csv", "id,white\n", // a table without rows
	), "a/*.csv"))
	for _, c := range []struct{ query, want string }{
		{"SELECT string_agg(name, ';' ORDER BY id) FROM clients", "Acme, Inc.\n(closed);Ölmühle"},
		{"SELECT string_agg(coalesce(note, 'NULL'), ';' ORDER BY id) FROM clients", "NULL;"},
		{"SELECT count(*) FROM hens JOIN eggs ON egg = eggs.id AND hen = hens.id", "1"},
		{"INSERT INTO clients (name) VALUES ('next') RETURNING id", "9"},
		{`INSERT INTO sales."Bills" (client) VALUES (8) RETURNING number`, "-3"},
	} {
		if got := text(t, db, c.query); got != c.want {
			t.Errorf("%s: got %q, want %q", c.query, got, c.want)
		}
	}
}

func TestCSVNeverSetsSequencesBack(t *testing.T) {
	db := psycotest.DB(t)
	psycotest.Load(t, db, psycotest.SQL(dir("tables.sql", tables), "*"))
	if got := text(t, db, "SELECT setval('clients_id_seq', 100)"); got != "100" {
		t.Fatal(got)
	}
	psycotest.Load(t, db, psycotest.CSV(dir("clients.csv", "id,name\n0,zero\n5,five\n"), "*.csv"))
	if got := text(t, db, "INSERT INTO clients (name) VALUES ('next') RETURNING id"); got != "101" {
		t.Errorf("the next client has number %s", got)
	}
	if _, err := db.Exec("TRUNCATE clients CASCADE; ALTER SEQUENCE clients_id_seq RESTART"); err != nil {
		t.Fatal(err)
	}
	psycotest.Load(t, db, psycotest.CSV(dir("clients.csv", "name\nx\n"), "*.csv")) // numbers from the sequence
	psycotest.Load(t, db, psycotest.CSV(dir("clients.csv", "id,name\n0,zero\n"), "*.csv"))
	if got := text(t, db, "INSERT INTO clients (name) VALUES ('next') RETURNING id"); got != "2" {
		t.Errorf("the next client has number %s", got)
	}
}

func TestStepsFail(t *testing.T) {
	dsn := psycotest.DSN(t)
	db, foreign := open(t, dsn), openAs(t, "postgres", dsn)
	psycotest.Load(t, db, psycotest.SQL(dir("tables.sql", tables), "*"))
	for name, c := range map[string]struct {
		step psycotest.Step
		want []string
	}{
		"SQL: no file":          {psycotest.SQL(dir(), "*.sql"), []string{`no file matches "*.sql"`}},
		"SQL: pattern":          {psycotest.SQL(dir(), "["), []string{"syntax error in pattern"}},
		"SQL: directory":        {psycotest.SQL(dir("a/b", ""), "a"), []string{"read a"}},
		"SQL: syntax":           {psycotest.SQL(dir("1.sql", "SELECT 'ä';\n\nSELEKT 1"), "*"), []string{"psycotest: 1.sql:3: ", "SELEKT"}},
		"SQL: without position": {psycotest.SQL(dir("1.sql", "CREATE TABLE u AS SELECT 1 AS a, 2 AS b; ALTER TABLE u ADD CHECK (a = b)"), "*"), []string{"psycotest: 1.sql: ", "violated"}},
		"SQL: detail":           {psycotest.SQL(dir("1.sql", "INSERT INTO white VALUES (1, 1)"), "*"), []string{"psycotest: 1.sql: ", `Key (black)=(1) is not present in table "black"`}},
		"SQL: no COMMIT":        {psycotest.SQL(dir("1.sql", "BEGIN; INSERT INTO clients (name) VALUES ('x')"), "*"), []string{"psycotest: 1.sql begins a transaction"}},
		"CSV: no file":          {psycotest.CSV(dir(), "*.csv"), []string{`no file matches "*.csv"`}},
		"CSV: name":             {psycotest.CSV(dir("clients.txt", ""), "*"), []string{"clients.txt", ".csv"}},
		"CSV: empty":            {psycotest.CSV(dir("clients.csv", ""), "*"), []string{"clients.csv is empty"}},
		"CSV: header":           {psycotest.CSV(dir("clients.csv", "a\"b,c\n"), "*"), []string{"clients.csv: the names of columns", "line 1"}},
		"CSV: table":            {psycotest.CSV(dir("s.nothing.csv", "a\n"), "*"), []string{"s.nothing.csv", `there is no table "s"."nothing"`}},
		"CSV: column":           {psycotest.CSV(dir("clients.csv", "nam\nx\n"), "*"), []string{"clients.csv: ", `column "nam"`}},
		"CSV: value":            {psycotest.CSV(dir("clients.csv", "id,name\n1,\"two\nlines\"\n\"x\",y\n"), "*"), []string{"clients.csv:4: column id: ", `"x"`}},
		"CSV: NULL":             {psycotest.CSV(dir("clients.csv", "id,name\n1,x\n2,\n"), "*"), []string{"clients.csv:3: ", `"name"`}},
		"CSV: too many values":  {psycotest.CSV(dir("clients.csv", "name\nx,y\n"), "*"), []string{"clients.csv:2: ", "extra data"}},
		"CSV: foreign key":      {psycotest.CSV(dir("sales.Bills.csv", "client\n9\n", "clients.csv", "id,name\n1,x\n"), "*"), []string{"sales.Bills.csv: ", "Key (client)=(9) is not present"}},
		"CSV: deferred":         {psycotest.CSV(dir("hens.csv", "id,egg\n1,2\n", "eggs.csv", "id\n1\n"), "*"), []string{"hens.csv: ", "Key (egg)=(2) is not present"}},
		"CSV: no order":         {psycotest.CSV(dir("white.csv", "id,black\n1,1\n", "black.csv", "id,white\n1,1\n", "clients.csv", "name\n"), "*"), []string{"black.csv, white.csv", "DEFERRABLE"}},
		"lib/pq: CSV":           {psycotest.CSV(dir("clients.csv", "name\nx\n"), "*"), []string{`whose driver is "psyco"`}},
	} {
		t.Run(name, func(t *testing.T) {
			db := db
			if strings.HasPrefix(name, "lib/pq: ") {
				db = foreign
			}
			got := run(func(t testing.TB) { psycotest.Load(t, db, c.step) })
			if len(got) != 1 || !strings.HasPrefix(got[0], "psyco") {
				t.Fatalf("reported %q", got)
			}
			for _, want := range c.want {
				if !strings.Contains(got[0], want) {
					t.Errorf("reported %q, which does not say %q", got[0], want)
				}
			}
			if got := text(t, db, "SELECT (SELECT count(*) FROM clients) + (SELECT count(*) FROM eggs)"); got != "0" {
				t.Errorf("%s rows are left of a step that failed", got)
			}
		})
	}
}
