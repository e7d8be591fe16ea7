package main

import (
	"bytes"
	"database/sql"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
)

var record = flag.Bool("record", false, "write what before.py prints to before.txt")

func TestAfter(t *testing.T) {
	now, err := after(t.Context(), psycotest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := sideBySide(&out, lines(recording), lines(now)); err != nil {
		t.Errorf("%v:\n%s", err, &out)
	}
}

// Where psycopg2 is not installed, TestAfter compares with what it has printed
// where it is, and this test has nothing to hold to that.
func TestBefore(t *testing.T) {
	python, err := findPython(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if python == "" {
		t.Log("psycopg2 is not installed; before.txt holds what before.py prints")
		return
	}
	dsn := psycotest.DSN(t)
	old, err := before(t.Context(), python, dsn)
	if err != nil {
		t.Fatal(err)
	}
	if *record {
		if err := os.WriteFile("before.txt", []byte(old), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if old != recording {
		t.Errorf("before.py prints something else than before.txt:\n%s", old)
	}
}

func TestRun(t *testing.T) {
	dsn := psycotest.DSN(t)
	for range 2 { // it leaves nothing behind that would stop a second run
		var out bytes.Buffer
		if err := run(t.Context(), &out, []string{dsn}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "lines are the same.") {
			t.Errorf("got:\n%s", &out)
		}
	}
}

// Without psycopg2, and without a server that was there before.
func TestRunWithoutPython(t *testing.T) {
	defer func(before []string) { pythons = before }(pythons)
	pythons = []string{"no-such-python"}
	var out bytes.Buffer
	if err := run(t.Context(), &out, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"psycopg2 is not installed here", "lines are the same."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

// A schema that was there before is not the program's to drop.
func TestRunKeepsAnExistingSchema(t *testing.T) {
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE SCHEMA " + schema + " CREATE TABLE clients (n int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := after(t.Context(), dsn); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("got %v", err)
	}
	if _, err := db.Exec("SELECT n FROM " + schema + ".clients"); err != nil {
		t.Error(err)
	}
}

func TestSideBySide(t *testing.T) {
	for name, c := range map[string]struct {
		old, now []string
		want     string
	}{
		"another value": {[]string{"# a", "1", "2"}, []string{"# a", "1", "3"}, "1 lines differ"},
		"a line less":   {[]string{"# a", "1"}, []string{"# a"}, "1 lines differ"},
		"a line more":   {[]string{"# a"}, []string{"# a", "", "2"}, "2 lines differ"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := sideBySide(&out, c.old, c.now); err == nil || err.Error() != c.want {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(out.String(), "\n!") {
				t.Errorf("no line is marked:\n%s", &out)
			}
		})
	}
}
