package bulk_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// onHandles runs f with a database, a connection and a transaction.
func onHandles(t *testing.T, db *sql.DB, f func(t *testing.T, h psyco.Handle)) {
	t.Helper()
	ctx := context.Background()
	t.Run("DB", func(t *testing.T) { f(t, db) })
	t.Run("Conn", func(t *testing.T) {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f(t, c)
	})
	t.Run("Tx", func(t *testing.T) {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		f(t, tx)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("used Tx", func(t *testing.T) {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		mustExec(t, tx, "SELECT %s", 1)
		f(t, tx)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	})
}

// copyData is two rows for the table (id int, name text) in each format.
var copyData = []struct{ name, options, data string }{
	{"text", "", "1\tone\n2\t\\N\n"},
	{"csv", "(FORMAT csv)", "1,one\n2,\n"},
	{"binary", "(FORMAT binary)", "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x02\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x03one" +
		"\x00\x02\x00\x00\x00\x04\x00\x00\x00\x02\xff\xff\xff\xff" + "\xff\xff"},
}

func TestCopyBothWays(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (id int, name text)")
	for _, f := range copyData {
		t.Run(f.name, func(t *testing.T) {
			onHandles(t, db, func(t *testing.T, h psyco.Handle) {
				mustExec(t, h, "TRUNCATE t")
				n, err := psyco.CopyFrom(ctx, h, "COPY t FROM STDIN "+f.options, iotest.OneByteReader(strings.NewReader(f.data)))
				if err != nil || n != 2 {
					t.Fatalf("%d rows, %v", n, err)
				}
				equalRows(t, all(t, h, "SELECT id, name FROM t ORDER BY id"), "1,one", "2,<nil>")
				var out bytes.Buffer
				n, err = psyco.CopyTo(ctx, h, &out, "COPY t TO STDOUT "+f.options)
				if err != nil || n != 2 || out.String() != f.data {
					t.Fatalf("%d rows, %v: %q", n, err, out.String())
				}

				// The same through plain Exec.
				mustExec(t, h, "TRUNCATE t")
				if n, err := mustExec(t, h, "COPY t FROM STDIN "+f.options, strings.NewReader(f.data)).RowsAffected(); err != nil || n != 2 {
					t.Fatalf("%d rows, %v", n, err)
				}
				out.Reset()
				if n, err := mustExec(t, h, "COPY t TO STDOUT "+f.options, &out).RowsAffected(); err != nil || n != 2 {
					t.Fatalf("%d rows, %v", n, err)
				}
				if out.String() != f.data {
					t.Fatalf("%q", out.String())
				}
				mustExec(t, h, "TRUNCATE t")
				mustExec(t, h, "COPY t FROM STDIN "+f.options, &out) // a Buffer is a reader too
				equalRows(t, all(t, h, "SELECT id, name FROM t ORDER BY id"), "1,one", "2,<nil>")
			})
		})
	}
}

func TestCopyArguments(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	for _, tt := range []struct {
		name, query string
		args        []any
		want        string
	}{
		{"positional", "COPY (SELECT i, %s FROM generate_series(1, 4) i WHERE i > %s) TO STDOUT", []any{"it's\t", 2}, "3\tit's\\t\n4\tit's\\t\n"},
		{"named", "COPY (SELECT %(v)s, %(v)s) TO STDOUT (FORMAT csv)", []any{map[string]any{"v": "a,b"}}, "\"a,b\",\"a,b\"\n"},
		{"sql.Named", "COPY (SELECT %(v)s) TO STDOUT", []any{sql.Named("v", 7)}, "7\n"},
		{"in the options", "COPY (SELECT NULL) TO STDOUT (NULL %s)", []any{"nothing"}, "nothing\n"},
		{"none", "COPY (SELECT 5 % 3, '%s') TO STDOUT", nil, "2\t%s\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if _, err := psyco.CopyTo(ctx, db, &out, tt.query, tt.args...); err != nil || out.String() != tt.want {
				t.Errorf("%q, %v", out.String(), err)
			}
			out.Reset()
			if _, err := db.Exec(tt.query, append(slices.Clone(tt.args), &out)...); err != nil || out.String() != tt.want {
				t.Errorf("Exec: %q, %v", out.String(), err)
			}
		})
	}
	mustExec(t, db, "CREATE TABLE t (id int, name text)")
	n, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN (DELIMITER %s) WHERE id < %s", strings.NewReader("1|a\n2|b\n"), "|", 2)
	if err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestCopyReaderFails(t *testing.T) {
	ctx := context.Background()
	db, same := copyConn(t)
	mustExec(t, db, "CREATE TABLE t (id int)")
	for _, cause := range []error{
		errors.New("disk on fire"),
		fmt.Errorf("the other database: %w", driver.ErrBadConn), // must not start a second attempt
		context.Canceled,
	} {
		for _, rows := range []int{0, 1, 100_000} {
			calls := 0
			reader := func() io.Reader {
				return io.MultiReader(strings.NewReader(strings.Repeat("1\n", rows)), readerFunc(func([]byte) (int, error) {
					calls++
					return 0, cause
				}))
			}
			n, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", reader())
			if n != 0 || !errors.Is(err, cause) || !strings.Contains(err.Error(), "psyco: CopyFrom: the reader failed: "+cause.Error()) || calls != 1 {
				t.Fatalf("%d rows, %d calls, %v", n, calls, err)
			}
			if _, err = db.Exec("COPY t FROM STDIN", reader()); err == nil || !strings.Contains(err.Error(), cause.Error()) || calls != 2 {
				t.Fatalf("Exec: %d calls, %v", calls, err)
			}
			if !errors.Is(cause, driver.ErrBadConn) && !errors.Is(err, cause) {
				t.Fatalf("Exec: %v", err)
			}
			_, err = psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"id"}, func(yield func([]any, error) bool) {
				for range rows {
					if !yield([]any{1}, nil) {
						return
					}
				}
				calls++
				yield(nil, cause)
			})
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), fmt.Sprintf("psyco: CopyRows: row %d: ", rows+1)) || calls != 3 {
				t.Fatalf("CopyRows: %d calls, %v", calls, err)
			}
			equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")
			same()
		}
	}

	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx, "INSERT INTO t VALUES (%s)", 1)
	if _, err := psyco.CopyFrom(ctx, tx, "COPY t FROM STDIN", iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("in a transaction: %v", err)
	}
	if err := tx.Commit(); !errors.Is(err, pq.ErrInFailedTransaction) {
		t.Errorf("Commit: %v", err)
	}
	equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")
	same()
}

func TestCopyReaderPanics(t *testing.T) {
	db, same := copyConn(t)
	mustExec(t, db, "CREATE TABLE t (id int)")
	func() {
		defer func() {
			if v := recover(); v != "out of paper" {
				t.Errorf("recovered %v", v)
			}
		}()
		psyco.CopyFrom(context.Background(), db, "COPY t FROM STDIN", readerFunc(func([]byte) (int, error) { panic("out of paper") }))
	}()
	equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")
	same()
}

func TestCopyWriterFails(t *testing.T) {
	ctx := context.Background()
	db, same := copyConn(t)
	full := fmt.Errorf("disk full: %w", driver.ErrBadConn)
	for _, tt := range []struct {
		name  string
		rows  int
		after int // writes that succeed
	}{{"at once", 1, 0}, {"endless, at once", 1_000_000_000, 0}, {"endless, in the middle", 1_000_000_000, 5}} {
		t.Run(tt.name, func(t *testing.T) {
			writes := 0
			query := fmt.Sprintf("COPY (SELECT generate_series(1, %d)) TO STDOUT", tt.rows)
			w := writerFunc(func(p []byte) (int, error) {
				if writes++; writes > tt.after {
					return 0, full
				}
				return len(p), nil
			})
			n, err := psyco.CopyTo(ctx, db, w, query)
			if n != 0 || !errors.Is(err, full) || !strings.Contains(err.Error(), "psyco: CopyTo: the writer failed: disk full") || writes != tt.after+1 {
				t.Errorf("%d rows, %d writes, %v", n, writes, err)
			}
			same()
			writes = 0
			if _, err := db.Exec(query, w); err == nil || !strings.Contains(err.Error(), "disk full") || writes != tt.after+1 {
				t.Errorf("Exec: %d writes, %v", writes, err)
			}
			same()
		})
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := psyco.CopyTo(ctx, tx, writerFunc(func([]byte) (int, error) { return 0, full }), "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT"); !errors.Is(err, full) {
		t.Errorf("in a transaction: %v", err)
	}
	if err := tx.Commit(); !errors.Is(err, pq.ErrInFailedTransaction) {
		t.Errorf("Commit: %v", err)
	}
	same()
}

// TestCopyNotices has the server talk back while it is being written to.
func TestCopyNotices(t *testing.T) {
	const rows = 20_000
	notices := 0
	db := testDB(t, psyco.WithNoticeHandler(func(*pq.Error) { notices++ }))
	mustExec(t, db, `CREATE TABLE t (id int, name text);
		CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE '% %', NEW.id, repeat('x', 500); RETURN NEW; END$$;
		CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout()`)
	line := "1\t" + strings.Repeat("y", 500) + "\n"
	n, err := psyco.CopyFrom(context.Background(), db, "COPY t FROM STDIN", strings.NewReader(strings.Repeat(line, rows)))
	if err != nil || n != rows || notices != rows {
		t.Errorf("%d rows, %d notices, %v", n, notices, err)
	}
}

// TestCopyMemory counts all that is allocated while much more is copied.
func TestCopyMemory(t *testing.T) {
	size, limit := int64(testsize.Cases(24, 64))<<20, uint64(4<<20)
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (id int, name text)")
	allocated := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	check := func(what string, f func() (int64, error)) {
		t.Helper()
		got := allocated(func() {
			if n, err := f(); err != nil || n < size {
				t.Fatalf("%s: %d bytes, %v", what, n, err)
			}
		})
		if got > limit {
			t.Errorf("%s: %d bytes allocated for %d", what, got, size)
		}
	}
	line := []byte("1\t" + strings.Repeat("x", 200) + "\n")
	check("CopyFrom", func() (read int64, err error) {
		_, err = psyco.CopyFrom(ctx, db, "COPY t FROM STDIN WHERE id > 1", readerFunc(func(p []byte) (int, error) {
			at := int(read) % len(line)
			if read >= size && at == 0 {
				return 0, io.EOF
			}
			n := copy(p, line[at:])
			read += int64(n)
			return n, nil
		}))
		return read, err
	})
	check("CopyTo", func() (written int64, err error) {
		_, err = psyco.CopyTo(ctx, db, writerFunc(func(p []byte) (int, error) {
			written += int64(len(p))
			return len(p), nil
		}), "COPY (SELECT repeat('x', 200) FROM generate_series(1, %s)) TO STDOUT", size/200)
		return written, err
	})
	check("CopyRows", func() (sent int64, err error) {
		row := []any{int32(1), string(line[2:])}
		mustExec(t, db, "CREATE RULE nothing AS ON INSERT TO t DO INSTEAD NOTHING; TRUNCATE t")
		_, err = psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"id", "name"}, func(yield func([]any, error) bool) {
			for range size / 200 {
				if !yield(row, nil) {
					return
				}
			}
		}, psyco.CopyProgress(func(_, bytes int64) { sent = bytes }))
		return sent, err
	})
}

// CopyProgress tells of a COPY both ways how many bytes went, and at its end how many rows.
func TestCopyProgress(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (id int, name text)")
	const rows = 2000
	data := strings.Repeat("1\t"+strings.Repeat("x", 200)+"\n", rows)
	var calls [][2]int64
	progress := psyco.CopyProgress(func(rows, bytes int64) { calls = append(calls, [2]int64{rows, bytes}) })
	for _, test := range []struct {
		name string
		rows int64
		copy func() (int64, error)
	}{
		{"CopyFrom", rows, func() (int64, error) {
			return psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", strings.NewReader(data), progress)
		}},
		{"CopyFrom with an argument", 0, func() (int64, error) {
			return psyco.CopyFrom(ctx, db, "COPY t FROM STDIN WHERE id > %s", strings.NewReader(data), progress, 1)
		}},
		{"CopyTo", rows, func() (int64, error) { return psyco.CopyTo(ctx, db, io.Discard, "COPY t TO STDOUT", progress) }},
		{"CopyTo with a name", rows, func() (int64, error) {
			return psyco.CopyTo(ctx, db, io.Discard, "COPY (SELECT * FROM t WHERE id = %(id)s) TO STDOUT", map[string]any{"id": 1}, progress)
		}},
		{"Exec with a reader", rows, func() (int64, error) {
			return affected(db.Exec("COPY t FROM STDIN", progress, strings.NewReader(data)))
		}},
		{"Exec with a writer", 2 * rows, func() (int64, error) { return affected(db.Exec("COPY t TO STDOUT", progress, io.Discard)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls = nil
			n, err := test.copy()
			if err != nil || n != test.rows {
				t.Fatalf("%d rows, %v", n, err)
			}
			size := int64(len(data))
			if test.rows > rows {
				size *= test.rows / rows
			}
			last := calls[len(calls)-1]
			if last != [2]int64{test.rows, size} || len(calls) < 5 {
				t.Errorf("%d calls, the last with %d", len(calls), last)
			}
			for i, c := range calls[:len(calls)-1] {
				if c[0] != 0 || i > 0 && c[1] < calls[i-1][1]+32<<10 {
					t.Errorf("call %d says %d after %d", i, c, calls[max(i-1, 0)])
				}
			}
		})
	}
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// A COPY that fails is not said to have ended, and nothing is told after it.
func TestCopyProgressOfFailure(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (id int)")
	calls := 0
	progress := psyco.CopyProgress(func(rows, bytes int64) { calls++ })
	release, read := make(chan bool), make(chan bool)
	var blocked atomic.Bool
	reader := readerFunc(func(p []byte) (int, error) { // blocks in its second Read, if it comes to that
		if calls == 0 {
			return copy(p, strings.Repeat("x\n", 40<<10)), nil
		}
		blocked.Store(true)
		<-release
		defer close(read)
		return copy(p, "1\n"), io.EOF
	})
	if _, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", reader, progress); pq.As(err) == nil {
		t.Fatalf("got %v, want the server's error", err)
	}
	before := calls
	close(release)
	if blocked.Load() {
		<-read
	}
	if _, err := psyco.CopyTo(ctx, db, io.Discard, "COPY (SELECT 1 / (n - 3) FROM generate_series(1, 5) AS n) TO STDOUT", progress); pq.As(err) == nil {
		t.Fatalf("got %v, want the server's error", err)
	}
	if calls != before {
		t.Errorf("%d calls after the error", calls-before)
	}
	const want = "psyco: CopyTextFormat is for CopyRows: CopyTo takes the format that the statement says, and text is what it is without one"
	if _, err := psyco.CopyTo(ctx, db, io.Discard, "COPY t TO STDOUT", psyco.CopyTextFormat()); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// The recipe of docs/psycopg.md: whatever fails at one end ends the other, and is known.
func TestCopyBetweenServers(t *testing.T) {
	source, target := testDB(t), testDB(t)
	mustExec(t, source, "CREATE TABLE t (id int, name text); INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 20000) AS n")
	mustExec(t, target, "CREATE TABLE t (id int CHECK (id <> 10000), name text)")
	between := func(ctx context.Context, from, to string) (int64, error) {
		r, w := io.Pipe()
		var reading sync.WaitGroup
		reading.Go(func() {
			_, err := psyco.CopyTo(ctx, source, w, from)
			w.CloseWithError(err) // without an error, the end of the data
		})
		n, err := psyco.CopyFrom(ctx, target, to, r)
		r.CloseWithError(err) // CopyTo ends, too
		reading.Wait()
		return n, err
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		name     string
		ctx      context.Context
		from, to string
		rows     int64
		err      string
	}{
		{"all", context.Background(), "COPY (SELECT * FROM t WHERE id <> 10000) TO STDOUT (FORMAT binary)", "COPY t FROM STDIN (FORMAT binary)", 19999, ""},
		{"the source fails in the middle", context.Background(), "COPY (SELECT id / (15000 - id), name FROM t) TO STDOUT", "COPY t FROM STDIN", 0, "division by zero"},
		{"the source does not begin", context.Background(), "COPY nowhere TO STDOUT", "COPY t FROM STDIN", 0, "nowhere"},
		{"the target refuses a row", context.Background(), "COPY t TO STDOUT", "COPY t FROM STDIN", 0, "t_id_check"},
		{"the target does not begin", context.Background(), "COPY t TO STDOUT", "COPY nowhere FROM STDIN", 0, "nowhere"},
		{"the formats differ", context.Background(), "COPY t TO STDOUT (FORMAT binary)", "COPY t FROM STDIN (FORMAT csv)", 0, "COPY t, line 1"},
		{"the context has ended", ended, "COPY t TO STDOUT", "COPY t FROM STDIN", 0, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustExec(t, target, "TRUNCATE t")
			n, err := between(test.ctx, test.from, test.to)
			if n != test.rows || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%d rows, %v; want %d, %q", n, err, test.rows, test.err)
			}
			if kept, err := psyco.QueryOne[int64](context.Background(), target, "SELECT count(*) FROM t"); err != nil || kept != test.rows {
				t.Errorf("%d rows are there, %v", kept, err)
			}
			if err := source.Ping(); err != nil {
				t.Errorf("the source cannot be used: %v", err)
			}
		})
	}
}

func TestCopyWithoutStream(t *testing.T) {
	db, same := copyConn(t)
	mustExec(t, db, "CREATE TABLE t (id int)")
	for query, hint := range map[string]string{
		"COPY t FROM STDIN": "io.Reader",
		"COPY t TO STDOUT":  "COPY TO is not supported without an io.Writer",
		"COPY (SELECT generate_series(1, 1000000000)) TO STDOUT":  "io.Writer",
		"COPY (INSERT INTO t VALUES (1) RETURNING id) TO STDOUT;": "io.Writer",
		"INSERT INTO t VALUES (1); COPY t FROM STDIN":             "io.Reader",
		"INSERT INTO t VALUES (1); COPY t TO STDOUT":              "among other statements",
		"copy t to stdout; INSERT INTO t VALUES (1)":              "among other statements",
		"COPY t TO STDOUT; SELECT 1":                              "io.Writer",
		"COPY t TO STDOUT; COPY t FROM STDIN":                     "io.Writer",
	} {
		onHandles(t, db, func(t *testing.T, h psyco.Handle) {
			if _, ok := h.(*sql.Tx); ok {
				mustExec(t, h, "SAVEPOINT a")
				defer mustExec(t, h, "ROLLBACK TO SAVEPOINT a")
			}
			if _, err := h.ExecContext(context.Background(), query); err == nil || !strings.Contains(err.Error(), hint) {
				t.Errorf("Exec(%q): %v", query, err)
			}
			if _, ok := h.(*sql.Tx); ok {
				mustExec(t, h, "ROLLBACK TO SAVEPOINT a")
			}
			rows, err := h.QueryContext(context.Background(), query)
			if err == nil {
				for rows.Next() {
				}
				err = rows.Err()
				rows.Close()
			}
			if err == nil || !strings.Contains(err.Error(), hint) {
				t.Errorf("Query(%q): %v", query, err)
			}
		})
		same()
	}
	for query, stream := range map[string]any{"COPY t FROM STDIN": strings.NewReader("1\n"), "COPY t TO STDOUT": new(bytes.Buffer)} {
		if _, err := db.Query(query, stream); err == nil || !strings.Contains(err.Error(), "not with Query") {
			t.Errorf("Query(%q) with a %T: %v", query, stream, err)
		}
		if _, err := db.Exec("INSERT INTO t VALUES (1); "+query, stream); err == nil || !strings.Contains(err.Error(), "among other statements") {
			t.Errorf("Exec of several statements: %v", err)
		}
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Prepare("COPY t TO STDOUT"); err == nil || !strings.Contains(err.Error(), "COPY TO is not supported") {
		t.Errorf("Prepare: %v", err)
	}
	tx.Rollback()
	same()
	equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")

	// The reader is for the first COPY only, and both are one transaction.
	if _, err := psyco.CopyFrom(context.Background(), db, "COPY t FROM STDIN; COPY t FROM STDIN", strings.NewReader("1\n")); err == nil || !strings.Contains(err.Error(), "io.Reader") {
		t.Errorf("two of them: %v", err)
	}
	equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")
	n, err := psyco.CopyFrom(context.Background(), db, "COPY t FROM STDIN; SELECT 1, 2; INSERT INTO t SELECT generate_series(5, 9)", strings.NewReader("1\n"))
	if n != 1 || err != nil {
		t.Errorf("followed by others: %d rows, %v", n, err)
	}
}

func TestCopyMisuse(t *testing.T) {
	ctx := context.Background()
	db, same := copyConn(t)
	mustExec(t, db, `CREATE TABLE t (id int); CREATE TABLE "to" ("from" int)`)
	from := func(query string) error {
		_, err := psyco.CopyFrom(ctx, db, query, strings.NewReader(""))
		return err
	}
	to := func(query string) error {
		_, err := psyco.CopyTo(ctx, db, io.Discard, query)
		return err
	}
	for _, tt := range []struct {
		name string
		err  error
		want string // "" for none
	}{
		{"no COPY", from("SELECT 1"), "needs a COPY … FROM STDIN statement"},
		{"no COPY to", to("DELETE FROM t"), "needs a COPY … TO STDOUT statement"},
		{"the other way", from("COPY t TO STDOUT"), "needs a COPY … FROM STDIN statement"},
		{"the other way to", to("COPY t FROM STDIN"), "needs a COPY … TO STDOUT statement"},
		{"a file", from("COPY t FROM '/etc/passwd'"), "needs a COPY … FROM STDIN statement"},
		{"a program", to("COPY t TO PROGRAM 'cat'"), "needs a COPY … TO STDOUT statement"},
		{"behind another", from("SELECT 1; COPY t FROM STDIN"), "needs a COPY … FROM STDIN statement"},
		{"no end", to("COPY t; COPY t TO STDOUT"), "needs a COPY … TO STDOUT statement"},
		{"empty", to(""), "needs a COPY … TO STDOUT statement"},
		{"quoted", to(`copy "to" ("from") /* FROM */ to stdout`), ""},
		{"quoted from", from(`/* TO */ COPY "to" ("from") FROM STDOUT`), ""},
		{"a query", to(`COPY (SELECT "from" FROM "to" WHERE true) TO STDIN (FORMAT csv)`), ""},
	} {
		if tt.want == "" && tt.err != nil || tt.want != "" && (tt.err == nil || !strings.Contains(tt.err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.name, tt.err)
		}
	}
	if _, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", nil); err == nil {
		t.Error("no error for a nil reader")
	}
	if _, err := psyco.CopyTo(ctx, db, nil, "COPY t TO STDOUT"); err == nil {
		t.Error("no error for a nil writer")
	}
	if _, err := db.Exec("COPY t FROM STDIN", io.Discard); err == nil || !strings.Contains(err.Error(), "COPY with an io.Writer needs") {
		t.Errorf("Exec with the wrong one: %v", err)
	}
	if _, err := db.Exec("SELECT %s", strings.NewReader("x")); err == nil {
		t.Error("no error for a reader that is a parameter")
	}
	same()

	base, err := pq.NewConnector(pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	wrapped := openDB(t, psyco.Wrap(base))
	if _, err := psyco.CopyTo(ctx, wrapped, io.Discard, "COPY t TO STDOUT"); err == nil || !strings.Contains(err.Error(), "psyco: CopyTo needs psyco's own connection, not one behind Wrap") {
		t.Errorf("behind Wrap: %v", err)
	}
	if _, err := psyco.CopyRows(ctx, wrapped, psyco.Identifier{"t"}, []string{"id"}, psyco.SliceRows(nil)); err == nil || !strings.Contains(err.Error(), "Wrap") {
		t.Errorf("behind Wrap: %v", err)
	}
}

// TestCopyInClosedEarly ends a pq.CopyIn without its last Exec.
func TestCopyInClosedEarly(t *testing.T) {
	db, same := copyConn(t)
	mustExec(t, db, "CREATE TABLE t (id int)")
	for _, rows := range []int{0, 1, 50_000} {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 programs use it
		stmt, err := tx.Prepare(pq.CopyIn("t", "id"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			if _, err := stmt.Exec(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := stmt.Close(); err == nil || !strings.Contains(err.Error(), "closed before its last Exec") {
			t.Errorf("%d rows: Close: %v", rows, err)
		}
		if err := tx.Commit(); !errors.Is(err, pq.ErrInFailedTransaction) {
			t.Errorf("%d rows: Commit: %v", rows, err)
		}
		equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")
		same()
	}
}

// TestCopyRefusedRow finds the place of a bad line where CopyFrom says it is.
func TestCopyRefusedRow(t *testing.T) {
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE item (name text, price int)")
	_, err := psyco.CopyFrom(t.Context(), db, "COPY item FROM STDIN (FORMAT csv)", strings.NewReader("a,1\nb,2\nc,cheap\n"))
	pe := pq.As(err)
	if pe == nil || pe.Where != `COPY item, line 3, column price: "cheap"` {
		t.Errorf("%v, %+v", err, pe)
	}
	const message = `pq: invalid input syntax for type integer: "cheap"; COPY item, line 3, column price: "cheap"`
	if got := err.Error(); got != message+" (22P02)" {
		t.Errorf("got %s", got)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "items.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("a,1\nb,2\nc,cheap\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	_, err = psyco.CopyFrom(t.Context(), db, "COPY item FROM STDIN (FORMAT csv)", file)
	if want := message + "; reading " + file.Name() + " (22P02)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, ok := err.(*pq.Error); !ok {
		t.Errorf("%T is not the server's error", err)
	}
	_, err = db.Exec("COPY item FROM STDIN (FORMAT csv)", strings.NewReader("a,1\nb,2\nc,cheap\n"))
	if err == nil || err.Error() != message+" (22P02)" {
		t.Errorf("Exec: %v, want what CopyFrom says", err)
	}
}

// TestSourcesMayUseAnotherConnection has what feeds an operation on a pool run statements
// on the same pool, which has one connection for each.
func TestSourcesMayUseAnotherConnection(t *testing.T) {
	db := testDB(t)
	db.SetMaxOpenConns(2)
	ctx := t.Context()
	mustExec(t, db, "CREATE TABLE t (a int)")
	use := func() { mustExec(t, db, "SELECT 1") }
	rows := func(yield func([]any, error) bool) {
		for i := range 10_000 { // more than a chunk
			if i%2500 == 0 {
				use()
			}
			if !yield([]any{i}, nil) {
				return
			}
		}
	}
	for name, run := range map[string]func() error{
		"CopyFrom": func() error {
			return second(psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", readerFunc(func(p []byte) (int, error) {
				use()
				return copy(p, "1\n"), io.EOF
			})))
		},
		"CopyTo": func() error {
			return second(psyco.CopyTo(ctx, db, writerFunc(func(p []byte) (int, error) { use(); return len(p), nil }), "COPY t TO STDOUT"))
		},
		"CopyRows":   func() error { return second(psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"a"}, rows)) },
		"ExecMany":   func() error { return second(psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%s)", rows)) },
		"ExecValues": func() error { return second(psyco.ExecValues(ctx, db, "INSERT INTO t VALUES %s", rows, nil)) },
		"WithConn":   func() error { return psyco.WithConn(ctx, db, func(*psyco.Conn) error { use(); return nil }) },
	} {
		if err := run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
