package bulk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/testsize"
)

func openLargeObject(t testing.TB, tx *sql.Tx, oid uint32, mode psyco.LargeObjectMode) *psyco.LargeObject {
	t.Helper()
	o, err := psyco.LargeObjects(tx).Open(context.Background(), oid, mode)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// noise is n bytes that do not repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestLargeObjectReader(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		content := noise(testsize.Cases(300, 3000))
		tx := mustBegin(t, db)
		oid, err := psyco.LargeObjects(tx).Import(t.Context(), bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(openLargeObject(t, tx, oid, psyco.LargeObjectRead), content); err != nil {
			t.Error(err)
		}
	})
}

// TestLargeObjectModel runs random operations on a large object and on a slice
// of bytes.
func TestLargeObjectModel(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		tx := mustBegin(t, db)
		o := openLargeObject(t, tx, 0, psyco.LargeObjectReadWrite)
		rnd := rand.New(rand.NewPCG(1, 2))
		var model []byte
		position := 0
		put := func(at int, p []byte) {
			if missing := at + len(p) - len(model); missing > 0 && len(p) > 0 {
				model = append(model, make([]byte, missing)...)
			}
			if len(p) > 0 {
				copy(model[at:], p)
			}
		}
		for step := range testsize.Cases(50, 150) {
			p := noise(rnd.IntN(5000))
			at := rnd.IntN(12000)
			var n, want int
			var err, wantErr error
			operation := rnd.IntN(8)
			switch operation {
			case 0, 1:
				n, err = o.Write(p)
				want = len(p)
				put(position, p)
				position += want
			case 2:
				n, err = o.WriteAt(p, int64(at))
				want = len(p)
				put(at, p)
			case 3:
				got := make([]byte, len(p))
				n, err = o.Read(got)
				want = copy(p, model[min(position, len(model)):])
				position += want
				if err == io.EOF && n < len(got) {
					err = nil // it may come with the last bytes
				}
				if !bytes.Equal(got[:n], p[:want]) {
					t.Fatalf("step %d: Read differs", step)
				}
			case 4:
				got := make([]byte, len(p))
				n, err = o.ReadAt(got, int64(at))
				want = copy(p, model[min(at, len(model)):])
				if want < len(p) {
					wantErr = io.EOF
				}
				if !bytes.Equal(got[:n], p[:want]) {
					t.Fatalf("step %d: ReadAt differs", step)
				}
			case 5:
				whence := rnd.IntN(3)
				base := []int{0, position, len(model)}[whence]
				var n64 int64
				n64, err = o.Seek(int64(at-base), whence)
				n, want = int(n64), at
				position = at
			case 6:
				err = o.Truncate(int64(at))
				if at > len(model) {
					model = append(model, make([]byte, at-len(model))...)
				}
				model = model[:at]
			case 7:
				var n64 int64
				n64, err = o.Size()
				n, want = int(n64), len(model)
			}
			if n != want || err != wantErr {
				t.Fatalf("step %d, operation %d: %d, %v; want %d, %v", step, operation, n, err, want, wantErr)
			}
			if o.Tell() != int64(position) {
				t.Fatalf("step %d: Tell says %d, want %d", step, o.Tell(), position)
			}
		}
		oid := o.OID()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		n, err := psyco.LargeObjects(mustBegin(t, db)).Export(t.Context(), oid, &got)
		if err != nil || n != int64(len(model)) || !bytes.Equal(got.Bytes(), model) {
			t.Errorf("Export: %d bytes, %v; want %d", n, err, len(model))
		}
	})
}

// TestLargeObjectChunks counts what large transfers cost.
func TestLargeObjectChunks(t *testing.T) {
	const chunk = 512 << 10
	ctx := context.Background()
	db := testDB(t)
	tx := mustBegin(t, db)
	store := psyco.LargeObjects(tx)
	for range 3 { // so that every statement is in the cache
		oid, err := store.Import(ctx, bytes.NewReader(noise(2*chunk+1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Export(ctx, oid, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{0, 1, chunk - 1, chunk, 8 * chunk, 8*chunk + 1} {
		content := noise(size)
		var oid uint32
		trips := roundTrips(t, tx, func() {
			var err error
			if oid, err = store.Import(ctx, iotest.OneByteReader(bytes.NewReader(content[:min(size, 100)]))); err != nil {
				t.Fatal(err)
			}
			if size > 100 {
				o := openLargeObject(t, tx, oid, psyco.LargeObjectWrite)
				if _, err := io.Copy(o, struct{ io.Reader }{bytes.NewReader(content)}); err != nil {
					t.Fatal(err)
				}
				if err := o.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
		want := uint64(3 + min(size, 1)) // create, open, write, close
		if size > 100 {
			want += uint64(2 + (size+chunk-1)/chunk)
		}
		if trips != want {
			t.Errorf("writing %d bytes: %d round trips, want %d", size, trips, want)
		}
		sum := sha256.New()
		trips = roundTrips(t, tx, func() {
			if n, err := store.Export(ctx, oid, sum); n != int64(size) || err != nil {
				t.Fatalf("Export of %d bytes: %d, %v", size, n, err)
			}
		})
		if want := uint64(2 + size/chunk + 1); trips != want {
			t.Errorf("reading %d bytes: %d round trips, want %d", size, trips, want)
		}
		if got, want := fmt.Sprintf("%x", sum.Sum(nil)), fmt.Sprintf("%x", sha256.Sum256(content)); got != want {
			t.Errorf("the content of %d bytes has changed", size)
		}
	}
}

func TestLargeObjectBeyond4GiB(t *testing.T) {
	tx := mustBegin(t, testDB(t))
	o := openLargeObject(t, tx, 0, psyco.LargeObjectReadWrite)
	const far = 5<<30 + 7
	if n, err := o.Seek(far, io.SeekStart); n != far || err != nil {
		t.Fatal(n, err)
	}
	if _, err := io.WriteString(o, "far away"); err != nil {
		t.Fatal(err)
	}
	if o.Tell() != far+8 {
		t.Errorf("Tell: %d", o.Tell())
	}
	if n, err := o.Size(); n != far+8 || err != nil {
		t.Errorf("Size: %d, %v", n, err)
	}
	p := make([]byte, 10)
	if n, err := o.ReadAt(p, far-2); n != 10 || err != nil || string(p) != "\x00\x00far away" {
		t.Errorf("ReadAt: %q, %v", p[:n], err)
	}
	if err := o.Truncate(far + 3); err != nil {
		t.Fatal(err)
	}
	if n, err := o.Seek(-3, io.SeekEnd); n != far || err != nil {
		t.Errorf("Seek: %d, %v", n, err)
	}
	if got, err := io.ReadAll(o); string(got) != "far" || err != nil {
		t.Errorf("ReadAll: %q, %v", got, err)
	}
	var sum int64
	mustScan(t, tx, "SELECT count(*) FROM pg_largeobject", &sum)
	if sum > 2 {
		t.Errorf("the gap takes %d pages", sum)
	}
}

func mustScan(t testing.TB, h interface {
	QueryRow(string, ...any) *sql.Row
}, query string, dest ...any) {
	t.Helper()
	if err := h.QueryRow(query).Scan(dest...); err != nil {
		t.Fatal(err)
	}
}

// TestLargeObjectMistakes: what psyco can see itself does not reach the server,
// and so does not fail the transaction.
func TestLargeObjectMistakes(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		tx := mustBegin(t, db)
		store := psyco.LargeObjects(tx)
		oid, err := store.Import(ctx, strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		o := openLargeObject(t, tx, oid, psyco.LargeObjectRead)
		closed := openLargeObject(t, tx, oid, psyco.LargeObjectReadWrite)
		for range 2 {
			if err := closed.Close(); err != nil {
				t.Fatal(err)
			}
		}
		tests := []struct {
			name string
			want string
			do   func() error
		}{
			{"Write", "is open for reading only", func() error { _, err := o.Write([]byte("x")); return err }},
			{"WriteAt", "is open for reading only", func() error { _, err := o.WriteAt([]byte("x"), 1); return err }},
			{"ReadFrom", "is open for reading only", func() error { _, err := o.ReadFrom(strings.NewReader("x")); return err }},
			{"Truncate", "is open for reading only", func() error { return o.Truncate(1) }},
			{"Truncate below 0", "negative size -1", func() error { return o.Truncate(-1) }},
			{"ReadAt below 0", "negative offset -1", func() error { _, err := o.ReadAt(nil, -1); return err }},
			{"WriteAt below 0", "negative offset -1", func() error { _, err := o.WriteAt(nil, -1); return err }},
			{"Seek below 0", "seeking to 7-8", func() error { _, err := o.Seek(-8, io.SeekEnd); return err }},
			{"Seek too far", "which is not an offset", func() error { o.Seek(1, 0); _, err := o.Seek(1<<63-1, io.SeekCurrent); return err }},
			{"Seek from elsewhere", "whence 3", func() error { _, err := o.Seek(0, 3); return err }},
			{"a mode of 0", "0x0 is not a mode", func() error { _, err := store.Open(ctx, oid, 0); return err }},
			{"another mode", "0x1 is not a mode", func() error { _, err := store.Open(ctx, oid, 1); return err }},
			{"Read after Close", "is closed", func() error { _, err := closed.Read(make([]byte, 1)); return err }},
			{"empty Read after Close", "is closed", func() error { _, err := closed.Read(nil); return err }},
			{"Write after Close", "is closed", func() error { _, err := closed.Write(nil); return err }},
			{"Seek after Close", "is closed", func() error { _, err := closed.Seek(0, 0); return err }},
			{"Size after Close", "is closed", func() error { _, err := closed.Size(); return err }},
			{"WriteTo after Close", "is closed", func() error { _, err := closed.WriteTo(io.Discard); return err }},
		}
		for _, test := range tests {
			err := test.do()
			if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", test.name, err, test.want)
			}
			if strings.HasSuffix(test.name, "after Close") && !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%s: %v is not fs.ErrClosed", test.name, err)
			}
		}
		if got, err := io.ReadAll(io.NewSectionReader(o, 0, 100)); string(got) != "content" || err != nil {
			t.Errorf("after the mistakes: %q, %v", got, err)
		}
	})
}

func TestLargeObjectServerErrors(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		tests := []struct {
			name string
			code pqerror.Code
			do   func(s psyco.LargeObjectStore) error
		}{
			{"Open", "42704", func(s psyco.LargeObjectStore) error {
				_, err := s.Open(ctx, 4294967295, psyco.LargeObjectRead)
				return err
			}},
			{"Unlink", "42704", func(s psyco.LargeObjectStore) error { return s.Unlink(ctx, 4294967295) }},
			{"Export", "42704", func(s psyco.LargeObjectStore) error { _, err := s.Export(ctx, 4294967295, io.Discard); return err }},
			{"Create", "23505", func(s psyco.LargeObjectStore) error {
				if oid, err := s.Create(ctx, 4294967294); oid != 4294967294 || err != nil {
					return fmt.Errorf("%d, %w", oid, err)
				}
				_, err := s.Create(ctx, 4294967294)
				return err
			}},
		}
		for _, test := range tests {
			err := test.do(psyco.LargeObjects(mustBegin(t, db)))
			if pe, ok := err.(*pq.Error); !ok || pe.Code != test.code {
				t.Errorf("%s: %v, want %s", test.name, err, test.code)
			}
		}
	})
}

func TestLargeObjectAfterTheEnd(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		ends := []struct {
			name string
			end  func(tx *sql.Tx) error
			is   error
		}{
			{"Commit", (*sql.Tx).Commit, sql.ErrTxDone},
			{"Rollback", (*sql.Tx).Rollback, sql.ErrTxDone},
			{"COMMIT", func(tx *sql.Tx) error { _, err := tx.Exec("COMMIT"); return err }, nil},
		}
		for _, e := range ends {
			tx := mustBegin(t, db)
			o := openLargeObject(t, tx, 0, psyco.LargeObjectReadWrite)
			if _, err := o.Write([]byte("content")); err != nil {
				t.Fatal(err)
			}
			if err := e.end(tx); err != nil {
				t.Fatal(err)
			}
			for name, use := range map[string]func() error{
				"ReadAt":   func() error { _, err := o.ReadAt(make([]byte, 1), 0); return err },
				"Write":    func() error { _, err := o.Write([]byte("x")); return err },
				"Truncate": func() error { return o.Truncate(0) },
				"Size":     func() error { _, err := o.Size(); return err },
			} {
				err := use()
				if err == nil || !strings.HasPrefix(err.Error(), "psyco: large object ") || !strings.Contains(err.Error(), "transaction") {
					t.Errorf("%s after %s: %v", name, e.name, err)
				}
				if e.is != nil && !errors.Is(err, e.is) || e.is == nil && pq.As(err, pqerror.UndefinedObject) == nil {
					t.Errorf("%s after %s: %v", name, e.name, err)
				}
			}
			if err := o.Close(); err != nil {
				t.Errorf("Close after %s: %v", e.name, err)
			}
			if e.is != nil {
				for name, err := range map[string]error{
					"Create": second(psyco.LargeObjects(tx).Create(ctx, 0)),
					"Open":   second(psyco.LargeObjects(tx).Open(ctx, 0, psyco.LargeObjectRead)),
					"Unlink": psyco.LargeObjects(tx).Unlink(ctx, 1),
					"Import": second(psyco.LargeObjects(tx).Import(ctx, strings.NewReader(""))),
				} {
					if !errors.Is(err, sql.ErrTxDone) || !strings.HasPrefix(err.Error(), "psyco: large objects need an open transaction") {
						t.Errorf("%s after %s: %v", name, e.name, err)
					}
				}
			}
		}

		tx := mustBegin(t, db)
		o := openLargeObject(t, tx, 0, psyco.LargeObjectRead)
		if _, err := tx.Exec("SELECT 1/0"); err == nil {
			t.Fatal("no error")
		}
		if _, err := o.Read(make([]byte, 1)); pq.As(err, pqerror.InFailedSQLTransaction) == nil {
			t.Errorf("Read in a failed transaction: %v", err)
		}
		if err := o.Close(); err != nil {
			t.Errorf("Close in a failed transaction: %v", err)
		}
	})
}

// TestLargeObjectCopyErrors: a reader's or writer's error comes out as it is, and
// the transaction goes on.
func TestLargeObjectCopyErrors(t *testing.T) {
	ctx := t.Context()
	tx := mustBegin(t, testDB(t))
	store := psyco.LargeObjects(tx)
	content := noise(1<<20 + 10)
	for _, cause := range []error{io.ErrUnexpectedEOF, errors.New("the disk is on fire")} {
		oid, err := store.Import(ctx, io.MultiReader(bytes.NewReader(content), iotest.ErrReader(cause)))
		if err != cause {
			t.Errorf("Import: %v, want %v", err, cause)
		}
		var got bytes.Buffer
		if n, err := store.Export(ctx, oid, &got); err != nil || n != int64(len(content)) || !bytes.Equal(got.Bytes(), content) {
			t.Errorf("what Import has written: %d bytes, %v", n, err)
		}
		if n, err := store.Export(ctx, oid, &brokenWriter{room: 700_000, err: cause}); err != cause || n != 700_000 {
			t.Errorf("Export: %d, %v", n, err)
		}
		if n, err := store.Export(ctx, oid, &brokenWriter{room: 700_000}); err != io.ErrShortWrite || n != 700_000 {
			t.Errorf("Export: %d, %v", n, err)
		}
		if err := store.Unlink(ctx, oid); err != nil {
			t.Error(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

type brokenWriter struct {
	room int
	err  error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	if w.room -= n; n < len(p) {
		return n, w.err
	}
	return n, nil
}

// TestLargeObjectOntoItself copies within an object, and between two of one
// transaction while one is being read.
func TestLargeObjectOntoItself(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		tx := mustBegin(t, db)
		content := noise(1<<20 + 1)
		a := openLargeObject(t, tx, 0, psyco.LargeObjectReadWrite)
		if _, err := a.Write(content); err != nil {
			t.Fatal(err)
		}
		b := openLargeObject(t, tx, 0, psyco.LargeObjectReadWrite)
		if n, err := io.Copy(b, io.NewSectionReader(a, 0, 1<<40)); n != int64(len(content)) || err != nil {
			t.Fatal(n, err)
		}
		if n, err := io.Copy(b, io.NewSectionReader(b, 0, 1<<20)); n != 1<<20 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := b.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if want := append(content, content[:1<<20]...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
		}
	})
}

// TestLargeObjectSnapshot: an object that was opened for reading stays as it was.
func TestLargeObjectSnapshot(t *testing.T) {
	tx := mustBegin(t, testDB(t))
	w := openLargeObject(t, tx, 0, psyco.LargeObjectReadWrite)
	if _, err := w.Write([]byte("before")); err != nil {
		t.Fatal(err)
	}
	r := openLargeObject(t, tx, w.OID(), psyco.LargeObjectRead)
	if _, err := w.WriteAt([]byte("after!"), 0); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 6)
	if _, err := r.ReadAt(p, 0); err != nil || string(p) != "before" {
		t.Errorf("read %q, %v", p, err)
	}
	if _, err := w.ReadAt(p, 0); err != nil || string(p) != "after!" {
		t.Errorf("read %q, %v", p, err)
	}
}

func TestLargeObjectConcurrency(t *testing.T) {
	tx := mustBegin(t, testDB(t))
	o := openLargeObject(t, tx, 0, psyco.LargeObjectReadWrite)
	const parts, size = 16, 5000
	content := noise(parts * size)
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			part := content[i*size : (i+1)*size]
			if _, err := o.WriteAt(part, int64(i*size)); err != nil {
				t.Error(err)
			}
			got := make([]byte, size)
			if _, err := o.ReadAt(got, int64(i*size)); err != nil || !bytes.Equal(got, part) {
				t.Errorf("part %d differs; %v", i, err)
			}
		})
	}
	wg.Wait()
}

// TestLargeObjectContext: the context of Open ends the methods that have none.
func TestLargeObjectContext(t *testing.T) {
	tx := mustBegin(t, testDB(t))
	ctx, cancel := context.WithCancel(context.Background())
	o, err := psyco.LargeObjects(tx).Open(ctx, 0, psyco.LargeObjectReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := o.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	if _, err := o.Write(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

// BenchmarkLargeObject moves 8 MiB to the server, or back.
func BenchmarkLargeObject(b *testing.B) {
	ctx := context.Background()
	content := noise(8 << 20)
	tx := mustBegin(b, testDB(b))
	store := psyco.LargeObjects(tx)
	oid, err := store.Import(ctx, bytes.NewReader(content))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Import", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		o := openLargeObject(b, tx, oid, psyco.LargeObjectWrite)
		for b.Loop() {
			o.Seek(0, io.SeekStart)
			if _, err := o.ReadFrom(bytes.NewReader(content)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Export", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			if _, err := store.Export(ctx, oid, io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}
