package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
)

// CopyFrom runs a COPY … FROM STDIN statement with what r gives as its data, in
// the format that the statement asks for: text, CSV or binary. It returns the
// number of rows loaded (psycopg: cursor.copy_expert, copy.write). args are for
// the placeholders of the statement; [CopyProgress] may be among them. h may be a *sql.DB, *sql.Conn or *sql.Tx;
// ExecContext with r as the last argument does the same.
//
// The rows are loaded all or not at all. Of a row that the server refuses, the
// *pq.Error has the place in its field Where and at the end of its message: COPY t, line 3,
// column price: "cheap"; and, if r has a method Name as *os.File has, that name. An error of r makes the statement fail and is in the returned error's
// chain; so is ctx.Err() if ctx ends. In a transaction a failed COPY fails the
// transaction, outside of one the connection stays usable. Memory use does not
// depend on the size of the data.
//
// r is read in another goroutine than CopyFrom's, which waits for it. Only if
// the COPY ends early, because the server refuses a row or ctx ends, a Read that
// is in progress may still be running when CopyFrom returns; what it
// reads is dropped. The connection is taken meanwhile: r must not use h if that is a
// *sql.Tx or *sql.Conn.
func CopyFrom(ctx context.Context, h Handle, sql string, r io.Reader, args ...any) (rows int64, err error) {
	if r == nil {
		return 0, errors.New("psyco: CopyFrom was given a nil io.Reader")
	}
	return doCopy(ctx, h, "CopyFrom", func(ctx context.Context, c *conn) (int64, error) {
		return c.copyFrom(c.announce(ctx, sql), "CopyFrom", sql, r, numbered(nil, args))
	})
}

// placed adds the place of a refused row, which the server says in the error's context, to
// the message, with the name of r if that has one.
func placed(err error, r io.Reader) error {
	pe, ok := err.(*pq.Error)
	if !ok || pe.Where == "" {
		return err
	}
	moved := *pe
	moved.Message += "; " + pe.Where[strings.LastIndexByte(pe.Where, '\n')+1:] // what it is within comes last
	if named, ok := r.(interface{ Name() string }); ok && named.Name() != "" { // os.File
		moved.Message += "; reading " + named.Name()
	}
	return &moved
}

// CopyTo runs a COPY … TO STDOUT statement and writes the data that the server
// sends to w, in the format that the statement asks for: text, CSV or binary. It
// returns the number of rows (psycopg: cursor.copy_expert, copy.read). args are
// for the placeholders of the statement, and [CopyProgress] may be among them:
//
//	CopyTo(ctx, db, w, "COPY (SELECT * FROM event WHERE day = %s) TO STDOUT (FORMAT csv)", day)
//
// h may be a *sql.DB, *sql.Conn or *sql.Tx; ExecContext with w as the last
// argument does the same.
//
// w gets the data in pieces of up to 64 KiB, in CopyTo's goroutine; memory use
// does not depend on the size of the data. An error of w stops the statement and
// is in the returned error's chain; so is ctx.Err() if ctx ends, for which CopyTo
// does not interrupt a Write in progress. After an error w may have got a part of
// the data. In a transaction a COPY that failed or was stopped fails the
// transaction, outside of one the connection stays usable. The connection is taken
// meanwhile: w must not use h if that is a *sql.Tx or *sql.Conn.
func CopyTo(ctx context.Context, h Handle, w io.Writer, sql string, args ...any) (rows int64, err error) {
	if w == nil {
		return 0, errors.New("psyco: CopyTo was given a nil io.Writer")
	}
	return doCopy(ctx, h, "CopyTo", func(ctx context.Context, c *conn) (int64, error) {
		return c.copyTo(c.announce(ctx, sql), "CopyTo", sql, w, numbered(nil, args))
	})
}

// doCopy runs a COPY on h's connection. An error of the program's own reader,
// writer or rows must not pass through database/sql: one that wraps
// driver.ErrBadConn, because the data comes from another database, would make it
// run the operation again, with what is left of the data.
func doCopy(ctx context.Context, h Handle, name string, op func(ctx context.Context, c *conn) (int64, error)) (rows int64, err error) {
	var failed *streamError
	_, err = do(ctx, h, name, func(ctx context.Context, c *conn) (driver.Result, error) {
		rows, err = op(ctx, c)
		if errors.As(err, &failed) {
			return hiddenError{driver.RowsAffected(0), failed}, nil
		}
		return driver.RowsAffected(rows), err
	})
	if failed != nil {
		return 0, failed
	}
	if err != nil {
		return 0, err
	}
	return rows, nil
}

// hiddenError is a result in place of an error that must not pass through
// database/sql. A tracer sees the error.
type hiddenError struct {
	driver.Result
	err error
}

// execCopy runs a COPY statement whose last argument is its reader or writer. It
// reports false for everything else.
func (c *conn) execCopy(ctx context.Context, text string, args []driver.NamedValue) (res driver.Result, ok bool, err error) {
	last := len(args) - 1
	if !isStream(args[last].Value) || sqllex.Keyword(text) != "COPY" {
		return nil, false, nil
	}
	r, isReader := args[last].Value.(io.Reader)
	w, isWriter := args[last].Value.(io.Writer)
	var rows int64
	if isReader && (!isWriter || copyDirection(text) == copyFromClient) {
		rows, err = c.copyFrom(ctx, "COPY", text, r, args[:last])
	} else {
		rows, err = c.copyTo(ctx, "COPY", text, w, args[:last])
	}
	var failed *streamError
	if errors.As(err, &failed) && errors.Is(err, driver.ErrBadConn) {
		err = errors.New(failed.Error()) // see doCopy
	}
	if err != nil {
		return nil, true, err
	}
	return driver.RowsAffected(rows), true, nil
}

func (c *conn) copyFrom(ctx context.Context, name, text string, r io.Reader, args []driver.NamedValue) (int64, error) {
	args, p, err := takeProgress(name, args)
	if err != nil {
		return 0, err
	}
	st, err := c.copyStatement(name, text, args, copyFromClient)
	if err != nil {
		return 0, err
	}
	c.wire.CopyIn(p.reader(r))
	rows, err := c.runCopy(ctx, name+": the reader failed", st)
	p.end(rows, err)
	return rows, placed(err, r)
}

func (c *conn) copyTo(ctx context.Context, name, text string, w io.Writer, args []driver.NamedValue) (int64, error) {
	args, p, err := takeProgress(name, args)
	if err != nil {
		return 0, err
	}
	st, err := c.copyStatement(name, text, args, copyToClient)
	if err != nil {
		return 0, err
	}
	c.wire.CopyOut(p.writer(w), c.abortCopy)
	rows, err := c.runCopy(ctx, name+": the writer failed", st)
	p.end(rows, err)
	return rows, err
}

// copyProgress tells a function of CopyProgress how far a COPY is whose data the program reads
// or writes. A nil one tells nobody.
type copyProgress struct {
	f           func(rows, bytes int64)
	bytes, told int64
	over        atomic.Bool // a Read may outlast the COPY
}

// takeProgress takes the options out of the arguments of a COPY statement.
func takeProgress(name string, args []driver.NamedValue) (rest []driver.NamedValue, p *copyProgress, err error) {
	var o copyOptions
	rest = args
	for i := len(rest) - 1; i >= 0; i-- {
		if option, ok := rest[i].Value.(CopyOption); ok {
			option(&o)
			rest = without(rest, i)
		}
	}
	switch {
	case o.text:
		return nil, nil, fmt.Errorf("psyco: CopyTextFormat is for CopyRows: %s takes the format that the statement says, and text is what it is without one", name)
	case o.progress == nil:
		return rest, nil, nil
	}
	return rest, &copyProgress{f: o.progress}, nil
}

func (p *copyProgress) reader(r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return progressReader{r, p}
}

func (p *copyProgress) writer(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return progressWriter{w, p}
}

func (p *copyProgress) add(n int) {
	p.bytes += int64(n)
	if p.bytes-p.told >= copyFrame && !p.over.Load() {
		p.told = p.bytes
		p.f(0, p.bytes)
	}
}

// end is for the goroutine of CopyFrom or CopyTo.
func (p *copyProgress) end(rows int64, err error) {
	if p == nil {
		return
	}
	if p.over.Store(true); err == nil {
		p.f(rows, p.bytes)
	}
}

type progressReader struct {
	r io.Reader
	p *copyProgress
}

func (r progressReader) Read(b []byte) (n int, err error) {
	n, err = r.r.Read(b)
	r.p.add(n)
	return n, err
}

type progressWriter struct {
	w io.Writer
	p *copyProgress
}

func (w progressWriter) Write(b []byte) (n int, err error) {
	n, err = w.w.Write(b)
	w.p.add(n)
	return n, err
}

// copyStatement checks a COPY statement and puts its arguments into it.
func (c *conn) copyStatement(name, text string, args []driver.NamedValue, want copyKind) (*statement, error) {
	switch {
	case c.wire == nil:
		return nil, wrappedError(name)
	case copyDirection(text) == want:
	case want == copyFromClient:
		return nil, fmt.Errorf("psyco: %s with an io.Reader needs a COPY … FROM STDIN statement, not %.60q", name, text)
	default:
		return nil, fmt.Errorf("psyco: %s with an io.Writer needs a COPY … TO STDOUT statement, not %.60q", name, text)
	}
	st := &statement{sql: text}
	if len(args) == 0 {
		return st, nil
	}
	q, err := c.con.rewriter.lookup(text)
	if err != nil {
		return nil, err
	}
	l, err := c.literals(q, args)
	if err != nil {
		return nil, err
	}
	st.sql, _, err = l.sql(nil)
	st.origin = origin{q: q, expanded: l.made, literals: l}
	return st, err
}

func wrappedError(name string) error {
	return fmt.Errorf("psyco: %s needs psyco's own connection, not one behind Wrap", name)
}

// copyKind says where a COPY statement's data comes from or goes to.
type copyKind uint8

const (
	copyOther      copyKind = iota // a file or program of the server, or no COPY at all
	copyFromClient                 // COPY … FROM STDIN
	copyToClient                   // COPY … TO STDOUT
)

// copyDirection finds out what kind of COPY the first statement of a text is.
// The server takes STDIN and STDOUT for the same (PostgreSQL: copy_file_name).
func copyDirection(text string) copyKind {
	if sqllex.Keyword(text) != "COPY" {
		return copyOther
	}
	kind, depth := copyOther, 0
	for s := sqllex.NewScanner(text); ; {
		t := s.Next()
		switch {
		case t.Kind.IsSpace():
			continue
		case kind != copyOther:
			word := sqllex.Upper(t.Text(text))
			if t.Kind == sqllex.Word && (word == "STDIN" || word == "STDOUT") {
				return kind
			}
			return copyOther
		case t.Kind == sqllex.End:
			return copyOther
		case t.Kind == sqllex.Symbol:
			switch t.Text(text) {
			case "(":
				depth++
			case ")":
				depth--
			case ";":
				if depth == 0 {
					return copyOther
				}
			}
		case t.Kind == sqllex.Word && depth == 0:
			switch sqllex.Upper(t.Text(text)) {
			case "FROM":
				kind = copyFromClient
			case "TO":
				kind = copyToClient
			}
		}
	}
}

// strayCopy refuses a text with a COPY whose data nobody gives or takes, before
// anything of it runs: a COPY TO STDOUT could only be dropped, and what stands
// beside or inside of it be committed all the same.
func strayCopy(text string, args []driver.NamedValue) error {
	several := sqllex.Several(text)
	if !several && sqllex.Keyword(text) != "COPY" {
		return nil
	}
	for statement := range sqllex.Statements(text) {
		kind := copyDirection(statement)
		switch {
		case kind == copyOther:
		case several:
			if kind == copyFromClient {
				return errors.New("psyco: COPY FROM STDIN is not supported among other statements: run it by itself, with an io.Reader as the argument of Exec, or with CopyFrom")
			}
			return errors.New("psyco: COPY TO is not supported among other statements: run it by itself, with an io.Writer as the argument of Exec, or with CopyTo")
		case len(args) > 0 && isStream(args[len(args)-1].Value):
			return errors.New("psyco: COPY returns no rows: run it with Exec, CopyFrom or CopyTo, not with Query")
		case kind == copyFromClient:
			return wire.ErrNoCopyReader
		default:
			return wire.ErrNoCopyWriter
		}
	}
	return nil
}

func isStream(v any) bool {
	switch v.(type) {
	case io.Reader, io.Writer:
		return true
	}
	return false
}

// runCopy sends a COPY statement for which the wire has been armed, and returns
// the number of rows. what says whose error it is if it is not the server's.
func (c *conn) runCopy(ctx context.Context, what string, st *statement) (int64, error) {
	// The wire is armed before the context is watched, so that a context which
	// ends before the server begins the COPY stops it too.
	k := c.watch(ctx)
	err := c.flush()
	if err == nil {
		err = c.explain(st, c.simple(st.sql))
	}
	rows, _ := wire.RowsAffected(c.wire.CopyTag())
	err = c.finish(k, err)
	_, cause := c.wire.CopyDone()
	c.observe()
	if err = streamOutcome(what, cause, err); err != nil {
		return 0, err
	}
	return rows, nil
}

// streamOutcome decides between the error of the program's side of a COPY and
// the statement's.
func streamOutcome(what string, cause, err error) error {
	var canceled *canceledError
	switch {
	case cause == nil, errors.Is(cause, wire.ErrNoCopyReader), errors.Is(cause, wire.ErrNoCopyWriter):
		return err
	case errors.As(err, &canceled):
		return err
	case pq.As(err) != nil && pq.As(err, pqerror.QueryCanceled) == nil:
		return err // the server had found something first
	}
	return &streamError{what: what, cause: cause, err: err}
}

// streamError is the failure of a COPY for which the program's reader, writer or
// rows are the reason.
type streamError struct {
	what       string
	cause, err error // err is the statement's, nil if it had ended by then
}

func (e *streamError) Error() string {
	text := "psyco: " + e.what + ": " + strings.TrimPrefix(e.cause.Error(), "psyco: ")
	if e.err != nil && pq.As(e.err) == nil {
		text += " (" + strings.TrimPrefix(e.err.Error(), "psyco: ") + ")" // the connection was lost too
	}
	return text
}

func (e *streamError) Unwrap() error { return e.cause }

// abortCopy makes the server stop a COPY TO STDOUT whose data nobody takes. If
// that does not work the connection is cut: reading on to the end could take for
// ever, and the request could still hit the next statement.
func (c *conn) abortCopy() {
	if err := c.sess.cancelWithin(c.con.grace); err != nil {
		c.lost = err
		c.wire.SetDeadline(time.Unix(1, 0))
	}
}

var (
	_ driver.Stmt            = (*copyStmt)(nil)
	_ driver.StmtExecContext = (*copyStmt)(nil)
)

// copyStmt is the statement that lib/pq makes of COPY … FROM STDIN, usually
// written by pq.CopyIn: each Exec with arguments adds a row, an Exec without
// arguments sends what is left and ends the COPY.
type copyStmt struct {
	c    *conn
	base driver.Stmt
}

func (c *conn) prepareCopy(ctx context.Context, text string) (driver.Stmt, error) {
	if err := c.checkEncoding(); err != nil {
		return nil, err
	}
	k := c.watch(ctx)
	if err := c.flush(); err != nil {
		return nil, c.finish(k, err)
	}
	c.wire.AllowCopyIn(true)
	base, err := c.base.(driver.ConnPrepareContext).PrepareContext(background, text)
	c.wire.AllowCopyIn(false)
	if err = c.finish(k, err); err != nil {
		return nil, err
	}
	c.copy = &copyStmt{c: c, base: base}
	return c.copy, nil
}

// NumInput leaves the number of values to the server.
func (s *copyStmt) NumInput() int { return -1 }

// ExecContext adds a row, or, without arguments, ends the COPY and returns the
// number of rows that were loaded. When ctx ends, the COPY fails.
func (s *copyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(args))
	for i := range args {
		if err := s.c.nativeValue(&args[i]); err != nil {
			return nil, err
		}
		values[i] = args[i].Value
	}
	k := s.c.watch(ctx)
	//lint:ignore SA1019 the only method lib/pq's statement has
	res, err := s.base.Exec(values)
	if len(args) == 0 {
		s.over()
	}
	return res, s.c.finish(k, err)
}

// Exec is ExecContext without a context.
func (s *copyStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(background, namedValues(args))
}

// Query is refused, as lib/pq does.
func (s *copyStmt) Query([]driver.Value) (driver.Rows, error) { return nil, pq.ErrNotSupported }

// CopyData adds a line that is in COPY's text format already, as lib/pq's
// statement does.
func (s *copyStmt) CopyData(ctx context.Context, line string) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	res, err := s.base.(interface {
		CopyData(context.Context, string) (driver.Result, error)
	}).CopyData(background, line)
	return res, s.c.fault(err)
}

// Close before the COPY was ended with an Exec without arguments fails it:
// half of the rows must not look like all of them.
func (s *copyStmt) Close() error {
	if s.c.copy != s {
		return s.base.Close()
	}
	s.c.wire.FailCopy("psyco: the COPY statement was closed before its last Exec without arguments")
	err := s.base.Close()
	s.over()
	return s.c.fault(err)
}

func (s *copyStmt) over() {
	if s.c.copy == s {
		s.c.copy = nil
	}
}
