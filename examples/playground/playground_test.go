package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
)

// server is there for all tests.
var server *psycotest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = psycotest.Open(context.Background()); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	if err := server.Close(); err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

func testPlayground(t *testing.T) *playground {
	t.Helper()
	p, err := newPlayground(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *playground) try(t *testing.T, transaction bool, query, args string) *result {
	t.Helper()
	res, err := p.run(t.Context(), request{query, json.RawMessage(args), transaction})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return res
}

// What the page shows of a query: the text that the server got, the types, the error.
func TestRun(t *testing.T) {
	p := testPlayground(t)
	for _, test := range []struct {
		name        string
		transaction bool
		query, args string
		sql, types  string // types are those of the parameters, with a * where psyco declared them
		rows        int
		err         string
	}{
		{"value", false, "SELECT name FROM clients WHERE id = %s", "[1]", "SELECT name FROM clients WHERE id = $1", "integer*", 1, ""},
		{"names", false, "SELECT name FROM clients WHERE id = %(id)s OR name = %(name)s", `{"id": 1, "name": "Hooli"}`, "SELECT name FROM clients WHERE id = $1 OR name = $2", "integer* text", 2, ""},
		{"list", false, "SELECT name FROM clients WHERE id IN %s", "[[1, 2, 3]]", "SELECT name FROM clients WHERE id = ANY($1)", "integer[]", 3, ""},
		{"list of rows", false, "SELECT id FROM orders WHERE (client, id) IN %s", "[[[1, 4], [2, 1]]]", "SELECT id FROM orders WHERE (client, id) IN (($1, $2), ($3, $4))", "integer* integer* integer* integer*", 2, ""},
		{"list of texts", false, "SELECT name FROM clients WHERE tags && %s", `[["retail"]]`, "SELECT name FROM clients WHERE tags && $1", "text[]", 2, ""},
		{"numbers", false, "SELECT $1::bigint + $2::int", "[9007199254740993, 1]", "SELECT $1::bigint + $2::int", "bigint integer", 1, ""},
		{"fraction", false, "SELECT %s + 1", "[1.5]", "SELECT $1 + 1", "double precision*", 1, ""},
		{"json", false, "SELECT id FROM orders WHERE details @> %s AND id < 5", `[{"gift": true}]`, "SELECT id FROM orders WHERE details @> $1 AND id < 5", "jsonb", 1, ""},
		{"NULL", false, "SELECT %s::text IS NULL", "[null]", "SELECT $1::text IS NULL", "text", 1, ""},
		{"no arguments", false, "SELECT 1", "", "SELECT 1", "", 1, ""},
		{"insert", true, "INSERT INTO clients (name) VALUES (%s) RETURNING id", `["Umbrella"]`, "INSERT INTO clients (name) VALUES ($1) RETURNING id", "text", 1, ""},

		{"not JSON", false, "SELECT %s", "[1", "", "", 0, "the arguments are not JSON"},
		{"neither array nor object", false, "SELECT %s", "1", "", "", 0, "must be an array"},
		{"psyco's error", false, "SELECT '%s'", "[1]", "", "", 0, "psyco: the placeholder '%s' is inside a literal"},
		{"server's error", false, "SELECT emial\n  FROM clients WHERE id = %s", "[1]", "SELECT emial\n  FROM clients WHERE id = $1", "", 0, "^"},
		{"changes", false, "INSERT INTO clients (name) VALUES (%s)", `["Umbrella"]`, "INSERT INTO clients (name) VALUES ($1)", "text", 0, "read-only transaction"},
		{"new tables", true, "CREATE TABLE t ()", "", "CREATE TABLE t ()", "", 0, "permission denied"},
		{"files", true, "SELECT pg_read_file('PG_VERSION')", "", "SELECT pg_read_file('PG_VERSION')", "", 0, "permission denied"},
		{"programs", true, "COPY clients TO PROGRAM 'true'", "", "COPY clients TO PROGRAM 'true'", "", 0, "external program"},
		{"a large answer", false, "SELECT repeat('x', 40 << 20)", "", "SELECT repeat('x', 40 << 20)", "", 0, "no more than 32 MiB"},
		{"after it", false, "SELECT 2", "", "SELECT 2", "", 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := p.try(t, test.transaction, test.query, test.args)
			if !strings.Contains(res.Error, test.err) || test.err == "" && res.Error != "" {
				t.Errorf("the error is %q, want %q", res.Error, test.err)
			}
			var types []string
			for _, p := range res.Parameters {
				if p.Type == "" {
					continue
				}
				if p.Declared != "" {
					p.Type += "*"
				}
				types = append(types, p.Type)
			}
			if got := strings.Join(types, " "); res.SQL != test.sql || got != test.types || len(res.Rows) != test.rows {
				t.Errorf("the server got %q with %q and gave %d rows, want %q with %q and %d", res.SQL, got, len(res.Rows), test.sql, test.types, test.rows)
			}
		})
	}
}

// What goes over the wire for a query that is run three times.
func TestMessages(t *testing.T) {
	p := testPlayground(t)
	for i, want := range []string{
		"Parse Bind Describe Execute Sync ParseComplete BindComplete RowDescription DataRow CommandComplete ReadyForQuery",
		"Parse Describe Bind Execute Sync ParseComplete ParameterDescription RowDescription BindComplete DataRow CommandComplete ReadyForQuery",
		"Bind Execute Sync BindComplete DataRow CommandComplete ReadyForQuery",
	} {
		res := p.try(t, false, "SELECT name FROM clients WHERE id <= %s", "[3]")
		var names []string
		for _, m := range res.Messages {
			if names = append(names, m.Name); m.Name == "DataRow" && m.Count != 3 {
				t.Errorf("run %d: %d rows", i+1, m.Count)
			}
			if m.Trip != 1 {
				t.Errorf("run %d: %s is in round trip %d", i+1, m.Name, m.Trip)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("run %d: %s\nwant %s", i+1, got, want)
		}
		if s := res.Steps[len(res.Steps)-1]; s.RoundTrips != 1 || s.CacheHit != (i == 2) {
			t.Errorf("run %d: %+v", i+1, s)
		}
		if res.SQL != "SELECT name FROM clients WHERE id <= $1" || res.Tag != "SELECT 3" {
			t.Errorf("run %d: %q, %q", i+1, res.SQL, res.Tag)
		}
	}
}

// A long result ends after the first rows, and the connection is ready for the next query.
func TestRowsEnd(t *testing.T) {
	p := testPlayground(t)
	res := p.try(t, false, "SELECT generate_series(1, 10000000)", "")
	if len(res.Rows) != rowsLimit || !res.More || res.Error != "" {
		t.Errorf("%d rows, more: %v, error: %q", len(res.Rows), res.More, res.Error)
	}
	if res := p.try(t, false, "SELECT 1", ""); len(res.Rows) != 1 {
		t.Errorf("then %+v", res)
	}
}

// What a transaction did is gone.
func TestNothingStays(t *testing.T) {
	p := testPlayground(t)
	if res := p.try(t, true, "DELETE FROM orders", ""); res.Error != "" || res.Tag != "DELETE 40" {
		t.Errorf("got %q, %q", res.Tag, res.Error)
	}
	if res := p.try(t, false, "SELECT id FROM orders", ""); len(res.Rows) != 40 {
		t.Errorf("%d orders are left", len(res.Rows))
	}
}

// The role and the database are gone after the end.
func TestCloseLeavesNothing(t *testing.T) {
	db := server.DB(t)
	roles := func() (names []string) {
		rows, err := db.Query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'playground%' ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		return names
	}
	before := roles()
	p, err := newPlayground(context.Background(), server)
	if err != nil {
		t.Fatal(err)
	}
	if len(roles()) == len(before) {
		t.Error("no role was made")
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	if after := roles(); !slices.Equal(after, before) {
		t.Errorf("the roles are %q, and were %q", after, before)
	}
}

// Other sites cannot run queries here, also not under a name that leads to this machine.
func TestRequests(t *testing.T) {
	h := testPlayground(t).handler()
	const fine = `{"query": "SELECT 1"}`
	for _, test := range []struct {
		name, method, target, body string
		header                     string // name: value
		status                     int
		want                       string
	}{
		{"page", "GET", "http://127.0.0.1/", "", "", 200, "psyco playground"},
		{"style", "GET", "http://127.0.0.1/static/style.css", "", "", 200, "prefers-color-scheme"},
		{"localhost", "GET", "http://localhost:8081/", "", "", 200, "psyco playground"},
		{"IPv6", "GET", "http://[::1]:8081/", "", "", 200, "psyco playground"},
		{"query", "POST", "http://127.0.0.1/run", fine, "Sec-Fetch-Site: same-origin", 200, `"sql":"SELECT 1"`},
		{"query of another site", "POST", "http://127.0.0.1/run", fine, "Sec-Fetch-Site: cross-site", 403, ""},
		{"query of another origin", "POST", "http://127.0.0.1/run", fine, "Origin: http://example.com", 403, ""},
		{"another name", "POST", "http://example.com/run", fine, "", 403, "127.0.0.1"},
		{"another address", "GET", "http://192.0.2.1/", "", "", 403, "127.0.0.1"},
		{"no JSON", "POST", "http://127.0.0.1/run", "query=1", "", 400, "cannot be understood"},
		{"too long", "POST", "http://127.0.0.1/run", `{"query": "` + strings.Repeat("x", 1<<17) + `"}`, "", 413, "too long"},
		{"query by a link", "GET", "http://127.0.0.1/run", "", "", 405, ""},
		{"no such page", "GET", "http://127.0.0.1/etc", "", "", 404, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), test.method, test.target, strings.NewReader(test.body))
			if name, value, ok := strings.Cut(test.header, ": "); ok {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("%d, want %d with %q:\n%s", w.Code, test.status, test.want, w.Body)
			}
		})
	}
}

// The program ends when it is told to.
func TestProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	urls := make(chan string, 1)
	go func() { ended <- run(ctx, 0, func(url string) { urls <- url }) }()
	select {
	case url := <-urls:
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("the page is %s", res.Status)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// No message, however it is cut off, does harm.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x08\x00\x03\x00\x00Q\x00\x00\x00\x05\x00"), true)
	f.Add([]byte("D\x00\x00\x00\x06\xff\xff"), false)
	f.Add([]byte("T\x00\x00\x00\x00"), false)
	f.Fuzz(func(t *testing.T, data []byte, out bool) {
		r := new(recorder)
		r.start()
		c := &tap{recorder: r, in: stream{started: true}, prepared: map[string]prepared{}}
		s := &c.in
		if out {
			s = &c.out
		}
		for i := range data { // in pieces
			if err := c.hear(s, data[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.stop().messages) > len(data)/5 {
			t.Error("more messages than there can be")
		}
	})
}
