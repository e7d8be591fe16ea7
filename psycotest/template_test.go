package psycotest_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
)

func TestTemplateIsBuiltOnce(t *testing.T) {
	var built atomic.Int32
	template := psycotest.NewTemplate(
		psycotest.SQL(files, "testdata/migrations/*.up.sql"),
		func(context.Context, *sql.DB) error { built.Add(1); return nil },
	)
	t.Cleanup(func() {
		if err := template.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("group", func(t *testing.T) {
		for range 6 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				db := template.DB(t)
				// A row of another test would have this number.
				if got := text(t, db, "INSERT INTO clients (name) VALUES (%s) RETURNING id", "ACME"); got != "1" {
					t.Errorf("the first client has number %s", got)
				}
			})
		}
	})
	if n := built.Load(); n != 1 {
		t.Errorf("the steps ran %d times for 6 tests", n)
	}
	if err := template.Close(); err != nil {
		t.Fatal(err)
	}
	text(t, open(t, template.DSN(t)), "SELECT count(*) FROM clients")
	if n := built.Load(); n != 2 {
		t.Errorf("after a Close the steps ran %d times, want 2", n)
	}
}

func TestTemplateFails(t *testing.T) {
	failed, ran := errors.New("no such migration"), 0
	template := psycotest.NewTemplate(
		func(context.Context, *sql.DB) error { ran++; return failed },
		func(context.Context, *sql.DB) error { t.Error("the step after one that failed ran"); return nil },
	)
	for range 2 { // every test fails, and none tries again
		if got := run(func(t testing.TB) { template.DB(t) }); !slices.Equal(got, []string{failed.Error()}) {
			t.Errorf("reported %q", got)
		}
	}
	if ran != 1 {
		t.Errorf("a step that fails ran %d times", ran)
	}
	if err := template.Close(); err != nil {
		t.Error(err)
	}
	run(func(t testing.TB) { template.DB(t) })
	if ran != 2 {
		t.Errorf("after a Close the step ran %d times, want 2", ran)
	}
}

// On a server that others use, a process leaves nothing behind that closes its
// templates in TestMain.
func TestNothingIsLeftBehind(t *testing.T) {
	server, err := psycotest.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.v", "-test.run=^(TestReport|TestPrintDatabase)$")
	cmd.Env = append(os.Environ(), "PSYCO_TEST_DSN="+server.DSN(), "PSYCOTEST_PRINT=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, name, ok := strings.Cut(string(out), "database: ")
	if !ok || len(name) < len("psycotest_12345678_") {
		t.Fatalf("no name of a database in\n%s", out)
	}
	prefix := name[:len("psycotest_12345678_")]
	if !strings.HasSuffix(prefix, "_") {
		t.Fatalf("%q has no number of its owner", prefix)
	}
	if got := text(t, open(t, server.DSN()), "SELECT count(*) FROM pg_database WHERE starts_with(datname, %s)", prefix); got != "0" {
		t.Errorf("%s databases are left behind", got)
	}
}

// TestPrintDatabase has something to do when TestNothingIsLeftBehind runs it.
func TestPrintDatabase(t *testing.T) {
	name := text(t, schema.DB(t), "SELECT current_database()")
	if os.Getenv("PSYCOTEST_PRINT") != "" {
		t.Log("database: " + name)
	}
}
