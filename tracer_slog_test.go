package psyco_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// loggedDB is a database whose operations are logged. take returns the text of the
// log since the last take, and its records.
func loggedDB(t *testing.T, tracer psyco.SlogTracer, level slog.Level) (db *sql.DB, take func() (string, []map[string]any)) {
	t.Helper()
	var log bytes.Buffer
	tracer.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))
	db = testDB(t, psyco.WithTracer(&tracer))
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE person (id int PRIMARY KEY, email text UNIQUE, born date)")
	mustExec(t, db, "INSERT INTO person VALUES (1, 'known@example.org', '2000-01-01')")
	log.Reset()
	return db, func() (string, []map[string]any) {
		text := log.String()
		var records []map[string]any
		for d := json.NewDecoder(&log); ; {
			var r map[string]any
			if err := d.Decode(&r); err == io.EOF {
				return text, records
			} else if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
	}
}

// logged runs f on such a database and returns the records.
func logged(t *testing.T, tracer psyco.SlogTracer, level slog.Level, f func(db *sql.DB)) []map[string]any {
	t.Helper()
	db, take := loggedDB(t, tracer, level)
	f(db)
	_, records := take()
	return records
}

func TestSlogTracer(t *testing.T) {
	records := logged(t, psyco.SlogTracer{}, slog.LevelInfo, func(db *sql.DB) {
		all(t, db, "SELECT * FROM person WHERE id = %(id)s", map[string]any{"id": 1})
		db.Exec("INSERT INTO person VALUES ($1, $2)", 2, "known@example.org")
	})
	if len(records) != 2 {
		t.Fatalf("got %v", records)
	}
	for i, want := range []map[string]any{
		{
			"level": "INFO", "msg": "SELECT person", "db.system.name": "postgresql", "db.operation.name": "SELECT",
			"db.query.summary": "SELECT person", "db.query.text": "SELECT * FROM person WHERE id = %(id)s",
			"db.response.returned_rows": 1.0, "psyco.call": "Query", "psyco.arguments": 1.0,
			"psyco.round_trips": 1.0, "psyco.cache_hit": false, "error.type": nil, "db.response.status_code": nil,
		},
		{
			"level": "ERROR", "msg": "INSERT person", "db.response.status_code": "23505", "error.type": "23505",
			"psyco.affected_rows": 0.0, "db.response.returned_rows": nil, "psyco.arguments": 2.0,
			"error": `pq: duplicate key value violates unique constraint "person_email_key" (23505)`,
		},
	} {
		for key, value := range want {
			if records[i][key] != value {
				t.Errorf("%d: %s is %v, want %v", i+1, key, records[i][key], value)
			}
		}
		for _, key := range []string{"duration", "psyco.pid", "db.namespace", "server.address", "server.port", "network.peer.address"} {
			if records[i][key] == nil {
				t.Errorf("%d: no %s", i+1, key)
			}
		}
	}
}

// No value of an argument, of a row or of a literal is in the log unless it is
// asked for.
func TestSlogTracerRedacts(t *testing.T) {
	const secret = "s3cr3t"
	ctx := context.Background()
	rows := func(values ...any) func(func([]any, error) bool) { return psyco.SliceRows([][]any{values}) }
	tests := []struct {
		name string
		run  func(db *sql.DB) error
	}{
		{"argument", func(db *sql.DB) error { return second(db.Exec("SELECT %s", secret)) }},
		{"named argument", func(db *sql.DB) error { return second(db.Exec("SELECT %(a)s", sql.Named("a", secret))) }},
		{"prepared", func(db *sql.DB) error {
			stmt, err := db.Prepare("SELECT $1::text")
			if err != nil {
				return err
			}
			defer stmt.Close()
			return second(stmt.Exec(secret))
		}},
		{"literal", func(db *sql.DB) error { return second(db.Exec("SELECT '" + secret + "'")) }},
		{"password in a literal", func(db *sql.DB) error {
			return second(db.Exec("BEGIN; CREATE ROLE tracer_a PASSWORD '" + secret + "'; ROLLBACK"))
		}},
		{"password bound by the client", func(db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return second(tx.Exec("CREATE ROLE tracer_b PASSWORD %s", secret))
		}},
		{"detail of a unique violation", func(db *sql.DB) error {
			mustExec(t, db, "INSERT INTO person VALUES (7, 's3' || 'cr3t')")
			return second(db.Exec("INSERT INTO person SELECT 8, 's3' || 'cr3t'"))
		}},
		{"message of an invalid date", func(db *sql.DB) error {
			return second(db.Exec("INSERT INTO person SELECT 9, '', ('s3' || 'cr3t')::date"))
		}},
		{"message of a procedure", func(db *sql.DB) error {
			return second(db.Exec("DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '23505', MESSAGE = 's3' || 'cr3t'; END$$"))
		}},
		{"syntax error behind client-side binding", func(db *sql.DB) error { return second(db.Exec("CREATE ROLE %s", secret)) }},
		{"syntax error in a literal", func(db *sql.DB) error { return second(db.Exec("SELECT 1 '" + secret + "'")) }},
		{"argument that cannot be sent", func(db *sql.DB) error {
			return second(db.Exec("SELECT %s", failingValuer{secret}))
		}},
		{"native argument that cannot be sent", func(db *sql.DB) error {
			return second(db.Exec("SELECT $1", failingValuer{secret}))
		}},
		{"row of ExecMany", func(db *sql.DB) error {
			return second(psyco.ExecMany(ctx, db, "INSERT INTO person VALUES (%s, %s)", rows(1, failingValuer{secret})))
		}},
		{"row of CopyRows", func(db *sql.DB) error {
			return second(psyco.CopyRows(ctx, db, psyco.Identifier{"person"}, []string{"id", "born"}, rows(1, secret)))
		}},
		{"batch", func(db *sql.DB) error {
			var b psyco.Batch
			b.Queue("INSERT INTO person VALUES (%s, %s)", 11, secret)
			b.Queue("DELETE FROM person WHERE email = '" + secret + "'")
			return b.Run(ctx, db)
		}},
	}
	db, take := loggedDB(t, psyco.SlogTracer{}, slog.LevelDebug)
	open, takeOpen := loggedDB(t, psyco.SlogTracer{Values: true}, slog.LevelDebug)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(db)
			text, records := take()
			if len(records) == 0 || strings.Contains(text, secret) {
				t.Errorf("the log tells:\n%s", text)
			}
			tt.run(open)
			if text, _ := takeOpen(); !strings.Contains(text, secret) {
				t.Errorf("with Values the log tells:\n%s", text)
			}
		})
	}
}

type failingValuer struct{ secret string }

func (f failingValuer) MarshalText() ([]byte, error) { return nil, errText(f.secret) }
func (f failingValuer) Value() (any, error)          { return nil, errText(f.secret) }

type errText string

func (e errText) Error() string { return string(e) + " is not a value" }

func TestSlogTracerLevels(t *testing.T) {
	run := func(db *sql.DB) {
		mustExec(t, db, "SELECT 1")
		mustExec(t, db, "SELECT pg_sleep(0.05)")
		db.Exec("SELECT nothing")
	}
	for _, tt := range []struct {
		name   string
		tracer psyco.SlogTracer
		level  slog.Level
		want   string
	}{
		{"all", psyco.SlogTracer{}, slog.LevelInfo, "INFO INFO ERROR"},
		{"debug", psyco.SlogTracer{Level: slog.LevelDebug}, slog.LevelDebug, "DEBUG DEBUG ERROR"},
		{"debug is not wanted", psyco.SlogTracer{Level: slog.LevelDebug}, slog.LevelInfo, "ERROR"},
		{"slow ones", psyco.SlogTracer{SlowerThan: 50 * time.Millisecond}, slog.LevelInfo, "INFO ERROR"},
		{"very slow ones", psyco.SlogTracer{SlowerThan: time.Hour}, slog.LevelInfo, "ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			records := logged(t, tt.tracer, tt.level, run)
			var got []string
			for _, r := range records {
				got = append(got, r["level"].(string))
			}
			if tt.name == "slow ones" && len(got) > 2 {
				got = got[len(got)-2:] // on a busy machine the first one may be slow, too
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v, want %s", records, tt.want)
			}
		})
	}
}

func TestSlogTracerCanceled(t *testing.T) {
	db, take := loggedDB(t, psyco.SlogTracer{}, slog.LevelInfo)
	admin := open(t, sameDatabase(t, db))
	take()
	ctx, expire := testdb.Deadline(context.Background())
	defer expire()
	whenWaiting(t, admin, "pg_sleep", expire)
	db.ExecContext(ctx, "SELECT pg_sleep(60)")
	_, records := take()
	if len(records) != 1 || records[0]["error.type"] != "context.DeadlineExceeded" || records[0]["db.response.status_code"] != "57014" {
		t.Errorf("got %v", records)
	}
}

func TestTraceSummary(t *testing.T) {
	for _, tt := range []struct {
		query string
		batch int
		want  string
	}{
		{"select 1", 0, "SELECT"},
		{"SELECT * FROM a JOIN s.b ON true, (SELECT 1 FROM \"C d\") x", 0, `SELECT a s.b "C d"`},
		{"INSERT INTO a SELECT * FROM ONLY b ON CONFLICT DO UPDATE SET x = 1", 0, "INSERT a b"},
		{"UPDATE a SET b = 1 FROM c", 0, "UPDATE a c"},
		{"WITH x AS (UPDATE a SET b = 1 RETURNING *) SELECT * FROM x FOR UPDATE OF x", 0, "WITH a x"},
		{"DELETE FROM a WHERE b IS DISTINCT FROM c", 0, "DELETE a"},
		{"CREATE TABLE IF NOT EXISTS s . a (b int)", 0, "CREATE s"},
		{"COPY a (b) FROM STDIN", 0, "COPY a"},
		{"COPY (SELECT 1 FROM a) TO STDOUT", 0, "COPY a"},
		{"/* x */ COMMIT", 0, "COMMIT"},
		{"SELECT 'FROM a', $$ FROM b $$ -- FROM c", 0, "SELECT"},
		{"SELECT * FROM", 0, "SELECT"},
		{"DELETE FROM a; DELETE FROM b", 2, "BATCH DELETE a b"},
		{"DELETE FROM a; SELECT 1", 2, "BATCH"},
		{"DELETE FROM a; SELECT 1", 0, "DELETE a"},
	} {
		trace := psyco.Trace{Call: "Query", Query: tt.query, BatchSize: tt.batch}
		if tt.want == "BATCH" {
			tt.want = "BATCH a"
		}
		if got := trace.Summary(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.query, got, tt.want)
		}
	}
	if got := (&psyco.Trace{Call: "Connect"}).Summary(); got != "CONNECT" {
		t.Errorf("got %q", got)
	}
}

// The tracer's own cost, in allocations for a warm query and a warm statement.
func TestTracerAllocations(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	plain := open(t, dsn)
	counting := open(t, dsn, psyco.WithTracer(nothing{}))
	quiet := open(t, dsn, psyco.WithTracer(&psyco.SlogTracer{Level: slog.LevelDebug, Logger: slog.New(slog.DiscardHandler)}))
	cost := func(db *sql.DB) []float64 {
		var n int
		return []float64{
			testing.AllocsPerRun(200, func() {
				if err := db.QueryRow("SELECT %s::int", 500).Scan(&n); err != nil {
					t.Fatal(err)
				}
			}),
			testing.AllocsPerRun(200, func() { mustExec(t, db, "SELECT %s::int", 500) }),
		}
	}
	base, traced, silent := cost(plain), cost(counting), cost(quiet)
	t.Logf("without a tracer %v, with one that does nothing %v, with a SlogTracer that writes nothing %v", base, traced, silent)
	if !slices.Equal(traced, []float64{base[0] + 2, base[1] + 2}) || !slices.Equal(silent, traced) {
		t.Errorf("a tracer costs other than 2 allocations")
	}
}

type nothing struct{}

func (nothing) TraceStart(ctx context.Context, _ *psyco.Trace) context.Context { return ctx }
func (nothing) TraceEnd(context.Context, *psyco.Trace)                         {}
