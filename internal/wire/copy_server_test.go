package wire_test

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/wire"
)

// numbers reads as the lines 1 to n, and ends with err instead of io.EOF if given.
type numbers struct {
	next, n int
	err     error
	rest    []byte
}

func (r *numbers) Read(p []byte) (int, error) {
	for len(r.rest) < len(p) && r.next < r.n {
		r.next++
		r.rest = fmt.Appendf(r.rest, "%d\n", r.next)
	}
	if len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[:copy(r.rest, r.rest[n:])]
	return n, nil
}

func TestServerCopyIn(t *testing.T) {
	const million = 1_000_000
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	s.CopyIn(&numbers{n: million})
	s.must("COPY t FROM STDIN")
	n, err := s.CopyDone()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "tag", s.CommandTag(), "COPY 1000000")
	equal(t, "bytes", n, int64(6_888_896))
	equal(t, "sum", s.rows("SELECT count(*), sum(i) FROM t"), "1000000|500000500000")
	s.usable()
}

func TestServerCopyInFails(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int CHECK (i <> 500000))")
	s.must("BEGIN; SAVEPOINT a")

	failed := errors.New("the disk\x00 is gone")
	s.CopyIn(&numbers{n: 100_000, err: failed})
	err := s.exec("COPY t FROM STDIN")
	equal(t, "code", code(err), "57014")
	if err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("error %v", err)
	}
	if _, err := s.CopyDone(); err != failed {
		t.Errorf("CopyDone: %v", err)
	}
	s.must("ROLLBACK TO SAVEPOINT a")

	// The server gives up in the middle.
	s.CopyIn(&numbers{n: 10_000_000})
	equal(t, "code", code(s.exec("COPY t FROM STDIN")), "23514")
	if _, err := s.CopyDone(); err != nil {
		t.Errorf("CopyDone: %v", err)
	}
	s.must("ROLLBACK TO SAVEPOINT a")

	// The reader is stuck: its goroutine must not touch the connection any more.
	r, w := io.Pipe()
	s.CopyIn(r)
	go func() { _, _ = w.Write([]byte("nonsense\n" + strings.Repeat("1\n", 100_000))) }() // ends with the pipe
	equal(t, "code", code(s.exec("COPY t FROM STDIN")), "22P02")
	if _, err := s.CopyDone(); err != nil {
		t.Errorf("CopyDone: %v", err)
	}
	s.must("ROLLBACK TO SAVEPOINT a")
	s.CopyIn(&numbers{n: 10})
	s.must("COPY t FROM STDIN")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CopyDone(); err != nil {
		t.Errorf("CopyDone: %v", err)
	}
	equal(t, "rows", s.rows("SELECT count(*) FROM t"), "10")

	// Not a COPY, and a COPY that never begins.
	s.CopyIn(&numbers{n: 10})
	s.must("SELECT 1")
	equal(t, "used", s.CopyUsed(), false)
	if _, err := s.CopyDone(); err != nil {
		t.Errorf("CopyDone: %v", err)
	}
	s.usable()
}

func TestServerCopyInPanics(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	s.CopyIn(panicReader{})
	equal(t, "code", code(s.exec("COPY t FROM STDIN")), "57014")
	func() {
		defer func() { equal(t, "panic", fmt.Sprint(recover()), "oops") }()
		_, _ = s.CopyDone() // panics
	}()
	s.usable()
}

// TestServerFailCopy has a reader that never returns, for which the server waits.
func TestServerFailCopy(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	reading := make(chan struct{})
	release := make(chan struct{})
	defer close(release)
	s.CopyIn(io.MultiReader(&numbers{n: 100_000}, readerFunc(func([]byte) (int, error) {
		close(reading)
		<-release
		return 0, io.EOF
	})))
	go func() {
		<-reading
		if err := s.FailCopy("canceled"); err != nil {
			t.Error(err)
		}
	}()
	err := s.exec("COPY t FROM STDIN")
	equal(t, "code", code(err), "57014")
	if err == nil || !strings.Contains(err.Error(), "COPY from stdin failed: canceled") {
		t.Errorf("error %v", err)
	}
	if _, err := s.CopyDone(); err != nil {
		t.Errorf("CopyDone: %v", err)
	}
	equal(t, "rows", s.rows("SELECT count(*) FROM t"), "0")
	s.usable()

	// At any time: the data that is being written is finished first.
	for i := range 20 {
		before := s.Stats().BytesSent
		s.CopyIn(&numbers{n: 10_000_000})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for s.Stats().BytesSent < before+uint64(i+1)*70_000 {
				runtime.Gosched()
			}
			if err := s.FailCopy("canceled"); err != nil {
				t.Error(err)
			}
		}()
		equal(t, "code", code(s.exec("COPY t FROM STDIN")), "57014")
		<-done
		if _, err := s.CopyDone(); err != nil {
			t.Errorf("CopyDone: %v", err)
		}
		s.usable()
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("oops") }

func TestServerCopyNotices(t *testing.T) {
	// A notice per row fills the buffers of both sides unless both are served.
	s := open(t)
	s.must(`CREATE TABLE t (i int);
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row % %', NEW.i, repeat('x', 200); RETURN NEW; END $$;
		CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()`)
	notices := 0
	pq.SetNoticeHandler(s.pq, func(*pq.Error) { notices++ })
	s.CopyIn(&numbers{n: 50_000})
	s.must("COPY t FROM STDIN")
	if _, err := s.CopyDone(); err != nil {
		t.Fatal(err)
	}
	equal(t, "notices", notices, 50_000)
	s.usable()
}

func TestServerCopyOut(t *testing.T) {
	s := open(t)
	var got bytes.Buffer
	var sizes []int
	s.CopyOut(writerFunc(func(p []byte) (int, error) {
		sizes = append(sizes, len(p))
		return got.Write(p)
	}), nil)
	s.must("COPY (SELECT generate_series(1, 1000000)) TO STDOUT")
	n, err := s.CopyDone()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "tag", s.CommandTag(), "COPY 1000000")
	want, err := io.ReadAll(&numbers{n: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "bytes", n, int64(len(want)))
	equal(t, "the data", bytes.Equal(got.Bytes(), want), true)
	for _, size := range sizes[:len(sizes)-1] {
		if size < 32<<10 {
			t.Fatalf("a write of %d bytes", size)
		}
	}

	got.Reset()
	s.CopyOut(&got, nil)
	s.must("COPY (SELECT repeat('x', 10000000)) TO STDOUT")
	if _, err := s.CopyDone(); err != nil {
		t.Fatal(err)
	}
	equal(t, "one huge row", got.Len(), 10_000_001)

	got.Reset()
	s.CopyOut(&got, nil)
	equal(t, "code", code(s.exec("COPY (SELECT 1/(i-5000) FROM generate_series(1, 10000) i) TO STDOUT")), "22012")
	if _, err := s.CopyDone(); err != nil {
		t.Fatal(err)
	}
	s.usable()
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// cancel returns a function that sends a CancelRequest, and counts its calls.
func (s *session) cancel(calls *int) func() {
	return func() {
		*calls++
		addr := s.NetConn().RemoteAddr()
		nc, err := net.Dial(addr.Network(), addr.String())
		if err != nil {
			s.t.Error(err)
			return
		}
		if _, err := nc.Write(wire.AppendCancelRequest(nil, s.PID(), s.CancelKey())); err != nil {
			s.t.Error(err)
		}
		if _, err := io.Copy(io.Discard, nc); err != nil {
			s.t.Error(err)
		}
		if err := nc.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

func TestServerCopyOutWriterFails(t *testing.T) {
	s := open(t)
	full := errors.New("no space left")
	calls := 0
	s.CopyOut(writerFunc(func(p []byte) (int, error) { return 0, full }), s.cancel(&calls))
	equal(t, "code", code(s.exec("COPY (SELECT generate_series(1, 100000000)) TO STDOUT")), "57014")
	if _, err := s.CopyDone(); err != full {
		t.Errorf("CopyDone: %v", err)
	}
	equal(t, "aborts", calls, 1)
	s.usable()

	s.CopyOut(writerFunc(func(p []byte) (int, error) { return len(p) / 2, nil }), nil)
	s.must("COPY (SELECT generate_series(1, 100000)) TO STDOUT")
	if _, err := s.CopyDone(); err != io.ErrShortWrite {
		t.Errorf("CopyDone: %v", err)
	}
	s.usable()
}

func TestServerCopyUnarmed(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	calls := 0
	s.SetCopyAbort(s.cancel(&calls))
	for _, tt := range []struct {
		name, sql, code string
		arm             func()
		err             error
	}{
		{"in", "COPY t FROM STDIN", "57014", func() {}, wire.ErrNoCopyReader},
		{"out", "COPY t TO STDOUT", "0A000", func() {}, wire.ErrNoCopyWriter},
		{"huge out", "COPY (SELECT generate_series(1, 100000000)) TO STDOUT", "0A000", func() {}, wire.ErrNoCopyWriter},
		{"out and more", "COPY t TO STDOUT; SELECT 1; COPY t TO STDOUT", "0A000", func() {}, wire.ErrNoCopyWriter},
		{"two ins", "COPY t FROM STDIN; COPY t FROM STDIN", "57014", func() { s.CopyIn(&numbers{n: 5}) }, wire.ErrNoCopyReader},
		{"two outs", "COPY t TO STDOUT; COPY t TO STDOUT", "0A000", func() { s.CopyOut(io.Discard, nil) }, wire.ErrNoCopyWriter},
		{"in with a writer", "COPY t FROM STDIN", "57014", func() { s.CopyOut(io.Discard, nil) }, wire.ErrNoCopyReader},
		{"out with a reader", "COPY t TO STDOUT", "0A000", func() { s.CopyIn(&numbers{n: 5}) }, wire.ErrNoCopyWriter},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, run := range []func() error{
				func() error { return s.exec(tt.sql) },
				func() error { _, err := s.query(tt.sql); return err },
			} {
				tt.arm()
				err := run()
				equal(t, "code", code(err), tt.code)
				if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(tt.err.Error(), "psyco: ")) {
					t.Errorf("error %v", err)
				}
				if _, err := s.CopyDone(); err != tt.err {
					t.Errorf("CopyDone: %v", err)
				}
				equal(t, "rows", s.rows("SELECT count(*) FROM t"), "0")
				s.usable()
			}
		})
	}
	if calls == 0 {
		t.Error("no COPY was aborted")
	}
}

func TestServerCopyInExtendedProtocol(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	// The exchange of a Bind with lib/pq isn't needed: the packet is what counts.
	packet, err := wire.AppendParse(nil, "", "COPY t FROM STDIN", nil)
	if err != nil {
		t.Fatal(err)
	}
	if packet, err = wire.AppendBind(packet, "", "", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	packet = wire.AppendSync(wire.AppendExecute(packet, "", 0))
	if _, err := s.Write(packet); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	for p := make([]byte, 4096); s.Pending(); {
		n, err := s.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		answer = append(answer, p[:n]...)
	}
	if !bytes.Contains(answer, []byte("needs an io.Reader")) {
		t.Errorf("answer %q", answer)
	}
	s.usable()
}

// put gives a row to a pq.CopyIn statement; no values end it.
func put(st driver.Stmt, row ...driver.Value) error {
	//lint:ignore SA1019 lib/pq's copyin has no ExecContext
	_, err := st.Exec(row)
	return err
}

func TestServerPqCopyIn(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int, v text)")
	s.must("BEGIN")
	copyIn := func() driver.Stmt {
		s.AllowCopyIn(true)
		return s.prepare("COPY t (i, v) FROM STDIN")
	}
	st := copyIn()
	for i := range 20_000 {
		if err := put(st, int64(i), "some text"); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(st); err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", s.rows("SELECT count(*) FROM t"), "20000")
	s.must("SAVEPOINT a")

	// Closed early: nothing may be loaded.
	st = copyIn()
	if err := put(st, int64(1), "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.FailCopy("psyco: closed early"); err != nil {
		t.Fatal(err)
	}
	err := st.Close()
	equal(t, "code", code(err), "57014")
	if err == nil || !strings.Contains(err.Error(), "closed early") {
		t.Errorf("Close: %v", err)
	}
	if err := s.FailCopy("again"); err != nil {
		t.Fatal(err)
	}
	equal(t, "status", s.TxStatus(), 'E')
	s.must("ROLLBACK TO SAVEPOINT a")

	// The server gives up in the middle.
	st = copyIn()
	for err = nil; err == nil; {
		err = put(st, "no number", strings.Repeat("x", 10_000))
	}
	equal(t, "code", code(err), "22P02")
	if err := st.Close(); code(err) != "22P02" {
		t.Errorf("Close: %v", err)
	}
	s.must("ROLLBACK TO SAVEPOINT a")

	// lib/pq takes a COPY TO for one of its own, and a binary one too.
	for sql, want := range map[string]string{"COPY t TO STDOUT": "0A000", "COPY t FROM STDIN (FORMAT binary)": ""} {
		s.AllowCopyIn(true)
		_, err = s.pq.Prepare(sql)
		if err == nil || code(err) != want {
			t.Errorf("%s: %v", sql, err)
		}
		s.must("ROLLBACK TO SAVEPOINT a")
	}
	s.AllowCopyIn(false)
	equal(t, "rows", s.rows("SELECT count(*) FROM t"), "20000")
	s.must("COMMIT")
	s.usable()
}

// TestServerCopyInFunc makes the data itself, and finds out when it is not wanted.
func TestServerCopyInFunc(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	frame := func(data string) []byte { return append(make([]byte, wire.CopyHeader), data...) }
	s.CopyInFunc(func(send func([]byte) error) error {
		return errors.Join(send(frame("1\n2")), send(frame("\n3\n")))
	})
	s.must("COPY t FROM STDIN; SELECT 1")
	equal(t, "tag", s.CopyTag(), "COPY 3")
	if n, err := s.CopyDone(); n != 6 || err != nil {
		t.Errorf("CopyDone: %d, %v", n, err)
	}
	var last error
	s.CopyInFunc(func(send func([]byte) error) error {
		for last == nil {
			last = send(frame("no number\n"))
		}
		return last
	})
	equal(t, "code", code(s.exec("COPY t FROM STDIN")), "22P02")
	equal(t, "tag", s.CopyTag(), "")
	if _, err := s.CopyDone(); err != nil || last == nil {
		t.Errorf("CopyDone: %v, send: %v", err, last)
	}
	s.usable()
}

// TestServerFailCopyEarly asks for failure before the server begins the COPY.
func TestServerFailCopyEarly(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	s.CopyInFunc(func(func([]byte) error) error {
		t.Error("data was asked for")
		return nil
	})
	if err := s.FailCopy("changed my mind"); err != nil {
		t.Fatal(err)
	}
	err := s.exec("COPY t FROM STDIN")
	equal(t, "code", code(err), "57014")
	if !strings.Contains(err.Error(), "changed my mind") {
		t.Errorf("got %v", err)
	}
	if _, err := s.CopyDone(); err != nil {
		t.Errorf("CopyDone: %v", err)
	}
	// It is not left over for the next one.
	s.CopyIn(strings.NewReader("1\n"))
	s.must("COPY t FROM STDIN")
	if _, err := s.CopyDone(); err != nil {
		t.Errorf("CopyDone: %v", err)
	}
	s.usable()
}

// TestServerCopyInBehindRefused has a COPY wait for data whose predecessor in the
// same string was refused.
func TestServerCopyInBehindRefused(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	equal(t, "code", code(s.exec("COPY t TO STDOUT; COPY t FROM STDIN")), "0A000")
	if _, err := s.CopyDone(); err != wire.ErrNoCopyWriter {
		t.Errorf("CopyDone: %v", err)
	}
	s.usable()
}
