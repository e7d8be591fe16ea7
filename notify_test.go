package psyco_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

func TestNotify(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		l := newListener(t, sameDatabase(t, db), nil)
		const channel = `it's "a" channel; %s $1`
		listen(t, l, channel)
		long := strings.Repeat("x", 7999)
		for _, payload := range []string{"", "it's; $1 %s \\ é", long} {
			notify(t, db, channel, payload)
			wantEvents(t, l, channel+":"+payload)
		}

		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		undone := begin(t, db)
		tx := begin(t, db)
		notify(t, undone, channel, "undone")
		notify(t, tx, channel, "in a transaction")
		notify(t, tx, channel, "in a transaction")
		if err := undone.Rollback(); err != nil {
			t.Fatal(err)
		}
		notify(t, conn, channel, "before the commit")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		notify(t, conn, channel, "after the commit")
		wantEvents(t, l, channel+":before the commit", channel+":in a transaction", channel+":after the commit")

		for _, test := range []struct{ name, channel, payload string }{
			{"a long payload", "ch", long + "x"},
			{"a long channel", strings.Repeat("x", 64), ""},
			{"no channel", "", ""},
		} {
			err := psyco.Notify(ctx, db, test.channel, test.payload)
			if pe, ok := err.(*pq.Error); !ok || pe.Code != pqerror.InvalidParameterValue {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
}

// TestNotifyCost: warm, one round trip.
func TestNotifyCost(t *testing.T) {
	tx := begin(t, testDB(t))
	for range 3 {
		notify(t, tx, "ch", "x")
	}
	if n := roundTrips(t, tx, func() { notify(t, tx, "ch", "y") }); n != 1 {
		t.Errorf("%d round trips", n)
	}
}

func TestNoticeLogger(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db := testDB(t, psyco.WithNoticeLogger(logger))
	db.SetMaxOpenConns(1)
	mustExec(t, db, "SET client_min_messages = debug1")
	tests := []struct {
		sql  string
		want map[string]string
	}{
		{"DO $$ BEGIN RAISE WARNING 'careful' USING HINT = 'look', DETAIL = 'here'; END $$",
			map[string]string{"level": "WARN", "msg": "careful", "severity": "WARNING", "code": "01000", "hint": "look", "detail": "here"}},
		{"DO $$ BEGIN RAISE NOTICE 'by the way' USING TABLE = 't', COLUMN = 'c', SCHEMA = 's', CONSTRAINT = 'k'; END $$",
			map[string]string{"level": "INFO", "msg": "by the way", "severity": "NOTICE", "code": "00000",
				"table": "t", "column": "c", "schema": "s", "constraint": "k"}},
		{"DO $$ BEGIN RAISE INFO 'so'; END $$", map[string]string{"level": "INFO", "msg": "so", "severity": "INFO", "code": "00000"}},
		{"DO $$ BEGIN RAISE DEBUG 'detail'; END $$", map[string]string{"level": "DEBUG", "msg": "detail", "severity": "DEBUG", "code": "00000"}},
	}
	for _, test := range tests {
		out.Reset()
		if _, err := db.ExecContext(context.Background(), test.sql); err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(out.String()) {
			var got map[string]string
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatal(err)
			}
			if got["msg"] != test.want["msg"] {
				continue // what the server says at debug1 by itself
			}
			found = true
			for key := range got {
				if _, ok := test.want[key]; !ok && key != "time" && key != "where" {
					t.Errorf("%s: an attribute %s=%q", test.sql, key, got[key])
				}
			}
			for key, want := range test.want {
				if got[key] != want {
					t.Errorf("%s: %s is %q, want %q", test.sql, key, got[key], want)
				}
			}
		}
		if !found {
			t.Errorf("%s: no line in %q", test.sql, out.String())
		}
	}
}

// TestNotifyRefusedAtCommit checks what becomes of a transaction whose COMMIT the
// server refuses, as it does when its queue of notifications is full. That takes
// gigabytes to bring about; a deferred trigger gives the same answer in its place.
func TestNotifyRefusedAtCommit(t *testing.T) {
	ctx := t.Context()
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, `CREATE TABLE t (n int);
		CREATE FUNCTION full_queue() RETURNS trigger LANGUAGE plpgsql AS
			$$BEGIN RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000'; END$$;
		CREATE CONSTRAINT TRIGGER full_queue AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION full_queue()`)
	pid := all(t, db, "SELECT pg_backend_pid()")
	for name, commit := range map[string]func(work func(tx *sql.Tx) error) error{
		"Commit": func(work func(tx *sql.Tx) error) error {
			tx := begin(t, db)
			if err := work(tx); err != nil {
				t.Fatal(err)
			}
			return tx.Commit()
		},
		"InTx": func(work func(tx *sql.Tx) error) error { return psyco.InTx(ctx, db, nil, work) },
	} {
		calls := 0
		err := commit(func(tx *sql.Tx) error {
			calls++
			if err := psyco.Notify(ctx, tx, "ch", "payload"); err != nil {
				return err
			}
			_, err := tx.Exec("INSERT INTO t VALUES (%s)", 1)
			return err
		})
		if pe, ok := err.(*pq.Error); !ok || pe.Code != pqerror.ProgramLimitExceeded {
			t.Errorf("%s: error %#v", name, err)
		}
		if calls != 1 {
			t.Errorf("%s: the work was done %d times", name, calls)
		}
		if s := txStatus(t, db); s != 'I' {
			t.Errorf("%s: the connection is in state %c", name, s)
		}
		if got := all(t, db, "SELECT pg_backend_pid() WHERE NOT EXISTS (SELECT FROM t)"); !slices.Equal(got, pid) {
			t.Errorf("%s: got %q, want the same connection %q and no row", name, got, pid)
		}
	}
}
