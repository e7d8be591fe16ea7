package psyco

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// LargeObjectMode says what a large object is opened for. The values are the
// server's (libpq/libpq-fs.h: INV_READ and INV_WRITE).
type LargeObjectMode int32

const (
	// LargeObjectRead: the content is that of the moment of opening; what is
	// written later, even in the same transaction, does not show.
	LargeObjectRead LargeObjectMode = 0x40000
	// LargeObjectWrite: the server allows reading, too.
	LargeObjectWrite LargeObjectMode = 0x20000
	// LargeObjectReadWrite: what is read is the current content.
	LargeObjectReadWrite = LargeObjectRead | LargeObjectWrite
)

// largeObjectChunk is how many bytes go in one round trip.
const largeObjectChunk = 512 << 10

// A LargeObjectStore is the large objects of the server, as a transaction sees
// them. What it does becomes visible to others with the transaction's commit,
// and is undone by its rollback.
type LargeObjectStore struct{ tx *sql.Tx }

// LargeObjects gives access to the server's large objects in a transaction:
// PostgreSQL knows an open large object only until the end of the transaction.
// Behind Wrap it works, too.
func LargeObjects(tx *sql.Tx) LargeObjectStore { return LargeObjectStore{tx} }

// Create makes an empty large object and returns its oid: the given one, or one
// that the server chooses if that is 0. The error for an oid that is taken is
// the server's, 23505.
func (s LargeObjectStore) Create(ctx context.Context, oid uint32) (uint32, error) {
	err := s.tx.QueryRowContext(ctx, "SELECT lo_create($1::oid)", oid).Scan(&oid)
	if err != nil {
		return 0, explainTxDone(err)
	}
	return oid, nil
}

// Open opens a large object, at its beginning. With oid 0 it creates one; OID
// then says which. The methods of the [LargeObject] use ctx: those of io.Reader and
// the like have none of their own. The error for an object that does not exist
// is the server's, 42704, and like every error of the server fails the
// transaction.
func (s LargeObjectStore) Open(ctx context.Context, oid uint32, mode LargeObjectMode) (*LargeObject, error) {
	if mode&LargeObjectReadWrite == 0 || mode&^LargeObjectReadWrite != 0 {
		return nil, fmt.Errorf("psyco: opening large object %d: %#x is not a mode: use LargeObjectRead, LargeObjectWrite or LargeObjectReadWrite", oid, int32(mode))
	}
	if oid == 0 {
		// Not in one statement: its snapshot would not have the new object.
		var err error
		if oid, err = s.Create(ctx, 0); err != nil {
			return nil, err
		}
	}
	o := &LargeObject{tx: s.tx, ctx: ctx, oid: oid, mode: mode}
	err := s.tx.QueryRowContext(ctx, "SELECT lo_open($1::oid, $2::int4)", oid, int32(mode)).Scan(&o.fd)
	if err != nil {
		return nil, explainTxDone(err)
	}
	return o, nil
}

// Unlink deletes a large object. The error for one that does not exist is the
// server's, 42704.
func (s LargeObjectStore) Unlink(ctx context.Context, oid uint32) error {
	_, err := s.tx.ExecContext(ctx, "SELECT lo_unlink($1::oid)", oid)
	return explainTxDone(err)
}

// Import makes a large object of what r holds and returns its oid. If r fails,
// the object holds what came before; its oid is returned with r's error, so that
// it can be unlinked in a transaction that goes on.
func (s LargeObjectStore) Import(ctx context.Context, r io.Reader) (oid uint32, err error) {
	o, err := s.Open(ctx, 0, LargeObjectWrite)
	if err != nil {
		return 0, err
	}
	_, err = o.ReadFrom(r)
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	return o.oid, err
}

// Export writes the content of a large object to w and returns how many bytes
// that were.
func (s LargeObjectStore) Export(ctx context.Context, oid uint32, w io.Writer) (n int64, err error) {
	o, err := s.Open(ctx, oid, LargeObjectRead)
	if err != nil {
		return 0, err
	}
	n, err = o.WriteTo(w)
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	return n, err
}

var (
	_ io.ReadWriteSeeker = (*LargeObject)(nil)
	_ io.ReaderAt        = (*LargeObject)(nil)
	_ io.WriterAt        = (*LargeObject)(nil)
	_ io.ReaderFrom      = (*LargeObject)(nil)
	_ io.WriterTo        = (*LargeObject)(nil)
	_ io.Closer          = (*LargeObject)(nil)
)

// A LargeObject is an open large object. Each Read and Write is at least one
// round trip to the server: put a bufio.Reader or bufio.Writer around it where
// they are small. io.Copy, Import and Export move half a MiB in each.
//
// It is open until Close, the end of its transaction, or the rollback of the
// savepoint that it was opened under; after that the server may give its place
// to the next object that is opened, so it must not be used any more.
//
// Its methods may be called from several goroutines, but its transaction is
// still the one connection that all of them use.
type LargeObject struct {
	tx   *sql.Tx
	ctx  context.Context // Open's
	oid  uint32
	mode LargeObjectMode

	mu     sync.Mutex
	fd     int32
	offset int64 // the server's own is set with each request
	closed bool
}

// OID returns the object's oid, by which it is opened again.
func (o *LargeObject) OID() uint32 { return o.oid }

// Oid is the old name of OID.
//
// Deprecated: Use [LargeObject.OID].
func (o *LargeObject) Oid() uint32 { return o.oid }

// Read reads up to len(p) bytes, but no more than 512 KiB. At the end of the
// object it returns io.EOF, also together with the last bytes.
func (o *LargeObject) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.readChunk(p, o.offset)
	o.offset += int64(n)
	return n, err
}

// ReadAt reads len(p) bytes at an offset and leaves the position alone. If it
// returns fewer, it says why; at the end of the object that is io.EOF.
func (o *LargeObject) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, o.errorf("reading at the negative offset %d", offset)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for n < len(p) && err == nil {
		var m int
		m, err = o.readChunk(p[n:], offset+int64(n))
		n += m
	}
	if n == len(p) && err == io.EOF {
		err = nil
	}
	return n, err
}

// WriteTo writes what is between the position and the end of the object to w.
func (o *LargeObject) WriteTo(w io.Writer) (written int64, err error) {
	buf := make([]byte, largeObjectChunk)
	for {
		n, rerr := o.Read(buf)
		m, err := w.Write(buf[:n])
		written += int64(m)
		switch {
		case err != nil:
			return written, err
		case m < n:
			return written, io.ErrShortWrite
		case rerr == io.EOF:
			return written, nil
		case rerr != nil:
			return written, rerr
		}
	}
}

// readChunk reads into p with one request, in which the seeking stands in FROM
// so that it happens first. Fewer bytes than asked for are the last ones.
func (o *LargeObject) readChunk(p []byte, offset int64) (n int, err error) {
	if err := o.check(0); err != nil {
		return 0, err
	}
	p = p[:min(len(p), largeObjectChunk)]
	if len(p) == 0 {
		return 0, nil
	}
	rows, err := o.tx.QueryContext(o.ctx, "SELECT loread($1::int4, $3::int4) FROM lo_lseek64($1::int4, $2::int8, 0)", o.fd, offset, len(p))
	if err != nil {
		return 0, o.explain(err)
	}
	defer rows.Close()
	var data sql.RawBytes
	if rows.Next() {
		if err := rows.Scan(&data); err != nil {
			return 0, o.explain(err)
		}
		n = copy(p, data)
	}
	if err := rows.Close(); err != nil {
		return 0, o.explain(err)
	}
	if err := rows.Err(); err != nil {
		return 0, o.explain(err)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Write writes p at the position. The object grows as needed; a gap after its
// end is filled with zeros.
func (o *LargeObject) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.write(p, o.offset)
	o.offset += int64(n)
	return n, err
}

// WriteAt writes p at an offset and leaves the position alone.
func (o *LargeObject) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, o.errorf("writing at the negative offset %d", offset)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write(p, offset)
}

// ReadFrom writes what r holds at the position. If r fails, what came before is
// written.
func (o *LargeObject) ReadFrom(r io.Reader) (written int64, err error) {
	buf := make([]byte, largeObjectChunk)
	for {
		n, rerr := 0, error(nil)
		for n < len(buf) && rerr == nil {
			var m int
			m, rerr = r.Read(buf[n:])
			n += m
		}
		m, err := o.Write(buf[:n])
		written += int64(m)
		switch {
		case err != nil:
			return written, err
		case rerr == io.EOF:
			return written, nil
		case rerr != nil:
			return written, rerr
		}
	}
}

func (o *LargeObject) write(p []byte, offset int64) (n int, err error) {
	if err := o.check(LargeObjectWrite); err != nil {
		return 0, err
	}
	for n < len(p) {
		chunk := p[n:min(n+largeObjectChunk, len(p))]
		var m int
		err := o.tx.QueryRowContext(o.ctx, "SELECT lowrite($1::int4, $3::bytea) FROM lo_lseek64($1::int4, $2::int8, 0)", o.fd, offset+int64(n), chunk).Scan(&m)
		if err != nil {
			return n, o.explain(err)
		}
		n += m
		if m != len(chunk) {
			return n, io.ErrShortWrite
		}
	}
	return n, nil
}

// Seek sets the position for the next Read or Write and returns it. It may be
// after the end. Only with io.SeekEnd the server is asked.
func (o *LargeObject) Seek(offset int64, whence int) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.check(0); err != nil {
		return 0, err
	}
	base := int64(0)
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		base = o.offset
	case io.SeekEnd:
		var err error
		if base, err = o.size(); err != nil {
			return 0, err
		}
	default:
		return 0, o.errorf("seeking with whence %d: use io.SeekStart, io.SeekCurrent or io.SeekEnd", whence)
	}
	if offset < -base || offset+base < 0 {
		return 0, o.errorf("seeking to %d%+d, which is not an offset", base, offset)
	}
	o.offset = base + offset
	return o.offset, nil
}

// Tell returns the position, without asking the server.
func (o *LargeObject) Tell() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.offset
}

// Size returns how many bytes the object has.
func (o *LargeObject) Size() (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.check(0); err != nil {
		return 0, err
	}
	return o.size()
}

func (o *LargeObject) size() (size int64, err error) {
	err = o.tx.QueryRowContext(o.ctx, "SELECT lo_lseek64($1::int4, 0, 2)", o.fd).Scan(&size)
	return size, o.explain(err)
}

// Truncate makes the object size bytes long: it cuts off what is longer, or adds
// zeros. The position stays.
func (o *LargeObject) Truncate(size int64) error {
	if size < 0 {
		return o.errorf("truncating to the negative size %d", size)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.check(LargeObjectWrite); err != nil {
		return err
	}
	_, err := o.tx.ExecContext(o.ctx, "SELECT lo_truncate64($1::int4, $2::int8)", o.fd, size)
	return o.explain(err)
}

// Close closes the object. It does nothing where that has happened before, or
// the server does it anyway: after the end of the transaction, or in one that
// has failed.
func (o *LargeObject) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	_, err := o.tx.ExecContext(o.ctx, "SELECT lo_close($1::int4)", o.fd)
	if errors.Is(err, sql.ErrTxDone) || pq.As(err, pqerror.InFailedSQLTransaction, pqerror.UndefinedObject) != nil {
		return nil
	}
	return err
}

// check reports why the object cannot be used, for writing if need says so.
func (o *LargeObject) check(need LargeObjectMode) error {
	switch {
	case o.closed:
		return o.errorf("the object is closed: %w", fs.ErrClosed)
	case o.mode&need != need:
		return o.errorf("the object is open for reading only: open it with LargeObjectWrite or LargeObjectReadWrite")
	}
	return nil
}

// explain says what an error of the server means for an open object.
func (o *LargeObject) explain(err error) error {
	switch {
	case errors.Is(err, sql.ErrTxDone):
		return o.errorf("its transaction has ended, and the object with it: %w", err)
	case pq.As(err, pqerror.UndefinedObject) != nil:
		return o.errorf("it was unlinked, or is not open any more because its transaction, or the savepoint that it was opened under, has ended: %w", err)
	}
	return err
}

func (o *LargeObject) errorf(format string, args ...any) error {
	return fmt.Errorf("psyco: large object %d: "+format, append([]any{o.oid}, args...)...)
}

func explainTxDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("psyco: large objects need an open transaction, and this one has ended: %w", err)
	}
	return err
}
