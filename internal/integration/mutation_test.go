package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/internal/testsize"
)

// errWrong is the error of an operation that was told something wrong without an error.
var errWrong = errors.New("a wrong result")

// wants returns errWrong where an operation has got something else than it should.
func wants(got, want any) error {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		return fmt.Errorf("%w: %.100s in place of %.100s", errWrong, g, w)
	}
	return nil
}

// rowsAre reads all rows, their columns joined with commas.
func rowsAre(rows *sql.Rows, err error, want ...string) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	var got []string
	for {
		for rows.Next() {
			names, err := rows.Columns()
			if err != nil {
				return err
			}
			cells := make([]sql.NullString, len(names))
			dest := make([]any, len(names))
			for i := range cells {
				dest[i] = &cells[i]
			}
			if err := rows.Scan(dest...); err != nil {
				return err
			}
			var line []string
			for _, c := range cells {
				line = append(line, c.String)
			}
			got = append(got, strings.Join(line, ","))
		}
		if !rows.NextResultSet() {
			break
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return wants(got, want)
}

// affects checks how many rows a statement has affected.
func affects(res sql.Result, err error, want int64) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	return wants(n, want)
}

// in runs f in a transaction as programs do: with Rollback deferred.
func in(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// probeText is what the next user of the pool asks for.
const probeText = "the next"

const threeRows = "(VALUES (1, 'x'), (2, NULL), (3, 'yy')) v (a, b)"

// operation is what a program may do. It checks what it gets.
type operation struct {
	name    string
	dsn     string // in addition
	connect bool   // the messages of connecting are those of interest
	drops   bool   // it does not look at all rows
	run     func(ctx context.Context, db *sql.DB, c *psyco.Connector) error
}

var operations = []operation{
	{name: "connect", connect: true, run: connect},
	{name: "connect to a primary", dsn: "target_session_attrs=read-write", connect: true,
		run: connect},
	{name: "query", run: query("")},
	{name: "query, native", run: query("", "$1")},
	{name: "query, psycopg", run: query("", "%s")},
	{name: "query, cached", dsn: "prepare_threshold=1", run: query("", "%s", "%s")},
	{name: "query, uncached", dsn: "statement_cache_capacity=0", run: query("", "%s", "%s")},
	{name: "query, binary parameters", dsn: "binary_parameters=yes", run: query("", "%s", "$1")},
	{name: "query, client binding", dsn: "binding=client", run: query("", "%s")},
	{name: "query, long rows", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		for _, q := range []string{"SELECT repeat('x', 50000) FROM generate_series(1, 3)", "SELECT repeat('x', $1) FROM generate_series(1, 3)"} {
			var args []any
			if strings.Contains(q, "$1") {
				args = append(args, 50_000)
			}
			long := strings.Repeat("x", 50_000)
			rows, err := db.QueryContext(ctx, q, args...)
			if err := rowsAre(rows, err, long, long, long); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "query, given up", drops: true, run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		rows, err := db.QueryContext(ctx, "SELECT i FROM generate_series(1, $1) i", 2000)
		if err != nil {
			return err
		}
		rows.Next()
		return rows.Close()
	}},
	{name: "several statements", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		rows, err := db.QueryContext(ctx, "SELECT 1; SELECT 2, 3; SELECT 4 WHERE false")
		return rowsAre(rows, err, "1", "2,3")
	}},
	{name: "exec", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		res, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1), (2)")
		if err := affects(res, err, 2); err != nil {
			return err
		}
		res, err = db.ExecContext(ctx, "INSERT INTO t SELECT %s::int RETURNING a", 7)
		return affects(res, err, 1)
	}},
	{name: "an error and a notice", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		for _, args := range [][]any{nil, {0}} {
			_, err := db.ExecContext(ctx, "SELECT 1 / "+[]string{"0", "$1::int"}[len(args)], args...)
			if pe := pq.As(err); err != nil && (pe == nil || pe.Code != "22012") {
				return err
			} else if err == nil {
				return wants("no error", "an error")
			}
			if _, err := db.ExecContext(ctx, "DO $$ BEGIN RAISE NOTICE 'heard'; END $$"); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "prepared", run: prepared},
	{name: "prepared, binary parameters", dsn: "binary_parameters=yes", run: prepared},
	{name: "transaction", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		return in(ctx, db, func(tx *sql.Tx) error {
			res, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (%s)", 1)
			if err := affects(res, err, 1); err != nil {
				return err
			}
			rows, err := tx.QueryContext(ctx, "SELECT a, b FROM "+threeRows)
			if err := rowsAre(rows, err, "1,x", "2,", "3,yy"); err != nil {
				return err
			}
			return psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				rows, err := tx.QueryContext(ctx, "SELECT a FROM "+threeRows+" WHERE a > %s", 1)
				return rowsAre(rows, err, "2", "3")
			})
		})
	}},
	{name: "Batch", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		var b psyco.Batch
		var got []string
		first := b.Queue("INSERT INTO t VALUES (%s)", 1)
		b.Queue("SELECT a, b FROM "+threeRows+" WHERE a >= %s", 2).Each(func(row *sql.Rows) error {
			var a int
			var s sql.NullString
			err := row.Scan(&a, &s)
			got = append(got, fmt.Sprintf("%d %s", a, s.String))
			return err
		})
		b.Queue("SELECT 1")
		if err := b.Run(ctx, db); err != nil {
			return err
		}
		n, err := first.RowsAffected()
		return cmpErr(err, wants(n, 1), wants(got, []string{"2 ", "3 yy"}))
	}},
	{name: "ExecMany", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		n, err := psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%s)", psyco.SliceRows([][]any{{1}, {2}, {3}}))
		return cmpErr(err, wants(n, 3))
	}},
	{name: "ExecValues", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		n, err := psyco.ExecValues(ctx, db, "INSERT INTO t VALUES %s", psyco.SliceRows([][]any{{1}, {2}, {3}}), nil)
		return cmpErr(err, wants(n, 3))
	}},
	{name: "CopyFrom", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		n, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", strings.NewReader("1\n2\n"))
		return cmpErr(err, wants(n, 2))
	}},
	{name: "CopyTo", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		var b bytes.Buffer
		n, err := psyco.CopyTo(ctx, db, &b, "COPY (SELECT a, b FROM "+threeRows+") TO STDOUT")
		return cmpErr(err, wants(n, 3), wants(b.String(), "1\tx\n2\t\\N\n3\tyy\n"))
	}},
	{name: "CopyRows", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"a"}, psyco.SliceRows([][]any{{1}, {2}, {3}}))
		return cmpErr(err, wants(n, 3))
	}},
	{name: "pq.CopyIn", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		return in(ctx, db, func(tx *sql.Tx) error {
			//lint:ignore SA1019 programs use it
			st, err := tx.PrepareContext(ctx, pq.CopyIn("t", "a"))
			if err != nil {
				return err
			}
			defer st.Close()
			for i := range 3 {
				if _, err := st.ExecContext(ctx, i); err != nil {
					return err
				}
			}
			res, err := st.ExecContext(ctx)
			return affects(res, err, 3)
		})
	}},
	{name: "Cursor", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		return in(ctx, db, func(tx *sql.Tx) error {
			cur, err := psyco.DeclareCursor(ctx, tx, "c", nil, "SELECT a, b FROM "+threeRows+" WHERE a > %s", 0)
			if err != nil {
				return err
			}
			rows, err := cur.Fetch(ctx, 2)
			if err := rowsAre(rows, err, "1,x", "2,"); err != nil {
				return err
			}
			n, err := cur.Move(ctx, 1)
			return cmpErr(err, wants(n, 1), cur.Close(ctx))
		})
	}},
	{name: "ServerSide", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		rows, err := db.QueryContext(ctx, "SELECT a, b FROM "+threeRows, psyco.ServerSide(2))
		return rowsAre(rows, err, "1,x", "2,", "3,yy")
	}},
	{name: "large object", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		return in(ctx, db, func(tx *sql.Tx) error {
			store := psyco.LargeObjects(tx)
			oid, err := store.Import(ctx, strings.NewReader("some data"))
			if err != nil {
				return err
			}
			var b bytes.Buffer
			n, err := store.Export(ctx, oid, &b)
			return cmpErr(err, wants(n, 9), wants(b.String(), "some data"), store.Unlink(ctx, oid))
		})
	}},
	{name: "Listener", run: func(ctx context.Context, db *sql.DB, c *psyco.Connector) error {
		l := psyco.NewListener(c, &psyco.ListenerOptions{PingInterval: mutationLimit, ReconnectMin: time.Second})
		defer l.Close()
		if err := l.Listen(ctx, "news"); err != nil {
			return err
		}
		if err := psyco.Notify(ctx, db, "news", "extra"); err != nil {
			return err
		}
		for n, err := range l.Notifications(ctx) {
			return cmpErr(err, wants(n.Payload, "extra"))
		}
		return ctx.Err()
	}},
	{name: "cancel", run: func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		if err := connect(ctx, db, nil); err != nil {
			return err
		}
		for _, q := range []string{"SELECT pg_sleep(10)", "SELECT pg_sleep(%s)"} {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			_, err := db.ExecContext(short, q, slices.Repeat([]any{10}, strings.Count(q, "%s"))...)
			cancel()
			if err == nil {
				return wants("no error", "an error")
			}
		}
		return nil
	}},
}

// cmpErr is the first of errors.
func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func connect(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
	_, err := db.ExecContext(ctx, "SELECT 1")
	return err
}

// query asks for three rows, once with each of some placeholders.
func query(cast string, placeholders ...string) func(context.Context, *sql.DB, *psyco.Connector) error {
	return func(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
		if len(placeholders) == 0 {
			rows, err := db.QueryContext(ctx, "SELECT a, b FROM "+threeRows)
			return rowsAre(rows, err, "1,x", "2,", "3,yy")
		}
		for _, p := range placeholders {
			rows, err := db.QueryContext(ctx, "SELECT a, b FROM "+threeRows+" WHERE a > "+p, 0)
			if err := rowsAre(rows, err, "1,x", "2,", "3,yy"); err != nil {
				return err
			}
		}
		return nil
	}
}

func prepared(ctx context.Context, db *sql.DB, _ *psyco.Connector) error {
	for _, p := range []string{"$1", "%s"} {
		st, err := db.PrepareContext(ctx, "SELECT a, b FROM "+threeRows+" WHERE a > "+p)
		if err != nil {
			return err
		}
		defer st.Close()
		for range 2 {
			rows, err := st.QueryContext(ctx, 1)
			if err := rowsAre(rows, err, "2,", "3,yy"); err != nil {
				return err
			}
		}
	}
	return nil
}

// mutation is something to do to a message of the server.
type mutation struct {
	name string
	do   func(m []byte, r *rand.Rand) faultproxy.Rewrite
	// wrong reports whether a message of the type, so changed, cannot be taken for
	// a right one by anybody.
	wrong func(typ byte) bool
	// silent reports whether nobody can know that something is wrong.
	silent func(typ byte) bool
}

func never(byte) bool           { return false }
func always(byte) bool          { return true }
func data(typ byte) bool        { return strings.IndexByte("DdNASKvGH", typ) >= 0 }
func butCopyData(typ byte) bool { return typ != 'd' && typ != 'K' } // keys have any length

// resized gives a message another payload, and the length of that.
func resized(m []byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{m[0]}, uint32(4+len(payload))), payload...)
}

// samples are messages that are right in themselves.
func samples() (list [][]byte) {
	for _, s := range []string{"ZI", "ZT", "CSELECT 1\x00", "D\x00\x01\x00\x00\x00\x01x", "D\x00\x00", "ESERROR\x00C22012\x00Mfoo\x00\x00",
		"ESFATAL\x00C57P01\x00Mfoo\x00\x00", "NMfoo\x00\x00", "A\x00\x00\x00\x01a\x00\x00", "Sa\x00b\x00", "K\x00\x00\x00\x01\x00\x00\x00\x02",
		"R\x00\x00\x00\x00", "R\x00\x00\x00\x05salt", "T\x00\x00", "t\x00\x00", "n", "1", "2", "3", "s", "I", "G\x00\x00\x00", "H\x00\x00\x00",
		"W\x00\x00\x00", "dx", "c", "V\xff\xff\xff\xff", "v\x00\x00\x00\x00\x00\x00\x00\x00", "xx"} {
		list = append(list, resized([]byte(s[:1]), []byte(s[1:])))
	}
	return list
}

// heldName is the mutation for which rewrite keeps a message until the next one.
const heldName = "in the place of the next"

func mutations() (list []mutation) {
	add := func(name string, wrong, silent func(byte) bool, do func(m []byte, r *rand.Rand) faultproxy.Rewrite) {
		list = append(list, mutation{name, do, wrong, silent})
	}
	give := func(b ...[]byte) faultproxy.Rewrite { return faultproxy.Rewrite{Bytes: bytes.Join(b, nil)} }
	add("cut before", never, never, func(m []byte, _ *rand.Rand) faultproxy.Rewrite { return faultproxy.Rewrite{Cut: true} })
	add("cut inside", never, never, func(m []byte, r *rand.Rand) faultproxy.Rewrite {
		return faultproxy.Rewrite{Bytes: m[:1+r.IntN(len(m)-1)], Cut: true}
	})
	add("cut behind", never, never, func(m []byte, _ *rand.Rand) faultproxy.Rewrite { return faultproxy.Rewrite{Bytes: m, Cut: true} })
	add("silence inside", never, never, func(m []byte, r *rand.Rand) faultproxy.Rewrite {
		return faultproxy.Rewrite{Bytes: m[:r.IntN(len(m))], Mute: true}
	})
	for name, length := range map[string]func(n uint32) uint32{
		"length + 1": func(n uint32) uint32 { return n + 1 }, "length - 1": func(n uint32) uint32 { return n - 1 },
		"length 0": func(uint32) uint32 { return 0 }, "length 3": func(uint32) uint32 { return 3 },
		"length 2^31 - 1": func(uint32) uint32 { return 1<<31 - 1 }, "length 1 GiB": func(uint32) uint32 { return 1 << 30 },
		"length -1": func(uint32) uint32 { return 1<<32 - 1 }, "length 30 MB": func(uint32) uint32 { return 30 << 20 },
	} {
		add(name, never, func(typ byte) bool { return typ == 'd' || typ == 'D' }, func(m []byte, _ *rand.Rand) faultproxy.Rewrite {
			m = bytes.Clone(m)
			binary.BigEndian.PutUint32(m[1:], length(binary.BigEndian.Uint32(m[1:])))
			return give(m)
		})
	}
	add("1 GiB promised", never, never, func(m []byte, _ *rand.Rand) faultproxy.Rewrite {
		return faultproxy.Rewrite{Bytes: []byte{m[0], 0x3f, 0xff, 0xff, 0xff}, Mute: true}
	})
	for _, typ := range []byte("DEZCTtRGHWdcN1K\x00xI") {
		add(fmt.Sprintf("the type %q", typ), func(old byte) bool {
			return typ != old && strings.IndexByte("RWK\x00x", typ) >= 0
		}, never, func(m []byte, _ *rand.Rand) faultproxy.Rewrite {
			m = bytes.Clone(m)
			m[0] = typ
			return give(m)
		})
	}
	add("a byte too many", butCopyData, func(typ byte) bool { return typ == 'd' }, func(m []byte, r *rand.Rand) faultproxy.Rewrite {
		return give(resized(m, append(bytes.Clone(m[5:]), byte(r.IntN(256)))))
	})
	add("a byte too few", func(typ byte) bool { return strings.IndexByte("dDTtZES", typ) >= 1 }, data, func(m []byte, _ *rand.Rand) faultproxy.Rewrite {
		return give(resized(m, m[5:max(5, len(m)-1)]))
	})
	add("no payload", func(typ byte) bool { return strings.IndexByte("DTtZES", typ) >= 0 }, data, func(m []byte, _ *rand.Rand) faultproxy.Rewrite {
		return give(resized(m, nil))
	})
	add("another count", func(typ byte) bool { return strings.IndexByte("DTt", typ) >= 0 }, always, func(m []byte, r *rand.Rand) faultproxy.Rewrite {
		m = bytes.Clone(m)
		if len(m) >= 7 {
			binary.BigEndian.PutUint16(m[5:], binary.BigEndian.Uint16(m[5:])+uint16(1+r.IntN(65_535)))
		}
		return give(m)
	})
	add("a length inside", never, always, func(m []byte, r *rand.Rand) faultproxy.Rewrite {
		m = bytes.Clone(m)
		if len(m) >= 11 {
			copy(m[7:], []string{"\xff\xff\xff\xfe", "\x7f\xff\xff\xff", "\x80\x00\x00\x00", "\x00\x00\xff\xff"}[r.IntN(4)])
		}
		return give(m)
	})
	add("a field less", never, always, func(m []byte, r *rand.Rand) faultproxy.Rewrite {
		fields := bytes.SplitAfter(m[5:], []byte{0})
		i := r.IntN(len(fields))
		return give(resized(m, bytes.Join(slices.Delete(fields, i, i+1), nil)))
	})
	for range 4 {
		add("a byte changed", never, always, func(m []byte, r *rand.Rand) faultproxy.Rewrite {
			m = bytes.Clone(m)
			m[r.IntN(len(m))] ^= byte(1 + r.IntN(255))
			return give(m)
		})
	}
	add("removed", never, data, func(m []byte, _ *rand.Rand) faultproxy.Rewrite { return give() })
	add("repeated", never, data, func(m []byte, _ *rand.Rand) faultproxy.Rewrite { return give(m, m) })
	add(heldName, never, data, func(m []byte, _ *rand.Rand) faultproxy.Rewrite { return give() })
	for _, s := range samples() {
		add(fmt.Sprintf("behind %.16q", s), func(byte) bool { return strings.IndexByte("RKWVx", s[0]) >= 0 },
			func(byte) bool { return strings.IndexByte("EDdNASIHGTCnstKRZ", s[0]) >= 0 }, func(m []byte, _ *rand.Rand) faultproxy.Rewrite { return give(s, m) })
	}
	add("behind 60 long parameters", never, data, func(m []byte, _ *rand.Rand) faultproxy.Rewrite {
		var b []byte
		for i := range 60 {
			b = append(b, resized([]byte("S"), []byte(fmt.Sprintf("p%d\x00%s\x00", i, strings.Repeat("v", 20_000))))...)
		}
		return give(b, m)
	})
	return list
}

const (
	// mutationLimit is how long an operation may take, and mutationGrace how long psyco
	// may wait for the server after that.
	mutationLimit = 300 * time.Millisecond
	mutationGrace = 100 * time.Millisecond
	// mutationSlack is for a machine that has other things to do.
	mutationSlack = 10 * time.Second
	// mutationHeap is how much memory all of them may use at a time.
	mutationHeap = 32 << 20
)

// TestMutations does every operation while one message of the server is changed, for
// each message and each way to change it. Whatever the server says, nothing panics or
// waits for longer than it may, memory grows with what has come only, who is told
// nothing of it has the right result, and the next user of the pool does not meet it.
func TestMutations(t *testing.T) {
	testsize.Slow(t)
	dsn := pgserver.TestDSN(t)
	direct := open(t, dsn)
	mustExec(t, direct, "CREATE TABLE t (a int)")

	type job struct {
		op, message, mutation int
	}
	var jobs []job
	all := mutations()
	first := newMutator(t, dsn)
	for op := range operations {
		n := first.messages(t, &operations[op])
		if n == 0 {
			t.Fatalf("%s: no messages", operations[op].name)
		}
		for message := range n {
			for m := range all {
				jobs = append(jobs, job{op, message, m})
			}
		}
	}
	total := len(jobs)
	rnd := rand.New(rand.NewPCG(7, 16))
	rnd.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	jobs = jobs[:min(total, testsize.Cases(120, 3000))]

	heap := watchHeap()
	var next, reached, refused, failures atomic.Int64
	var workers sync.WaitGroup
	start := time.Now()
	for range 8 {
		m := newMutator(t, dsn)
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) || failures.Load() >= 10 {
					return
				}
				j := jobs[i]
				op, mut := &operations[j.op], &all[j.mutation]
				hit, failed, err := m.try(op, j.message, mut, uint64(i))
				if hit {
					reached.Add(1)
				}
				if failed {
					refused.Add(1)
				}
				if err != nil {
					failures.Add(1)
					t.Errorf("%s, message %d (%q), %s: %v", op.name, j.message, m.typ, mut.name, err)
				}
			}
		})
	}
	workers.Wait()
	peak := heap()
	t.Logf("%d of %d cases in %v: %d messages changed, %d operations told an error; heap %d KB",
		len(jobs), total, time.Since(start).Round(time.Millisecond), reached.Load(), refused.Load(), peak>>10)
	if peak > mutationHeap {
		t.Errorf("the heap has grown by %d MB", peak>>20)
	}
}

// watchHeap looks at the heap until the function it returns is called, which tells
// by how much it has grown.
func watchHeap() func() uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // measure what is in use, not what waits for the collector
	debug.FreeOSMemory()
	old := debug.SetGCPercent(20)
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before := read()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		peak := before
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, read())
			case <-stop:
				done <- peak - before
				return
			}
		}
	}()
	return func() uint64 {
		defer debug.SetGCPercent(old)
		close(stop)
		return <-done
	}
}

// mutator is a proxy that changes one message.
type mutator struct {
	proxy *faultproxy.Proxy
	dsn   string

	mu     sync.Mutex
	op     *operation
	at     int // the message to change; -1: none
	change *mutation
	rnd    *rand.Rand
	seen   int
	ready  map[int]bool // links that have connected
	typ    byte         // of the message that was changed
	link   int          // on which it was, 0: on none yet
	held   []byte
	probed int // the link of the next statement
}

func newMutator(t *testing.T, dsn string) *mutator {
	t.Helper()
	p := testdb.Proxy(t)
	m := &mutator{proxy: p, dsn: dsn + " " + p.ConnInfo()}
	p.Rewrite(m.rewrite)
	return m
}

func (m *mutator) rewrite(link int, message []byte) faultproxy.Rewrite {
	m.mu.Lock()
	defer m.mu.Unlock()
	if bytes.Contains(message, []byte(probeText)) {
		m.probed = link
	}
	if m.held != nil && link == m.link {
		held := m.held
		m.held = nil
		return faultproxy.Rewrite{Bytes: append(bytes.Clone(message), held...)}
	}
	connecting := !m.ready[link]
	if message[0] == 'Z' {
		m.ready[link] = true
	}
	if m.op == nil || connecting != m.op.connect {
		return faultproxy.Rewrite{Bytes: message}
	}
	m.seen++
	if m.seen-1 != m.at {
		return faultproxy.Rewrite{Bytes: message}
	}
	m.typ, m.link = message[0], link
	if m.change.name == heldName {
		m.held = bytes.Clone(message)
	}
	return m.change.do(message, m.rnd)
}

// begin prepares for an operation and opens a database for it.
func (m *mutator) begin(op *operation, at int, change *mutation, seed uint64) (*sql.DB, *psyco.Connector, error) {
	m.mu.Lock()
	m.op, m.at, m.change, m.rnd = op, at, change, rand.New(rand.NewPCG(seed, 1))
	m.seen, m.ready, m.typ, m.link, m.held = 0, make(map[int]bool), 0, 0, nil
	m.mu.Unlock()
	c, err := psyco.NewConnector(m.dsn+" "+op.dsn, psyco.WithCancelGrace(mutationGrace),
		psyco.WithNoticeHandler(func(e *pq.Error) { _ = e.Error() }), psyco.WithNotificationHandler(func(*pq.Notification) {}))
	if err != nil {
		return nil, nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	return db, c, nil
}

// end lets all messages pass.
func (m *mutator) end() (link int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.op, m.held, m.probed = nil, nil, 0
	return m.link
}

// messages counts the messages of an operation that is left alone.
func (m *mutator) messages(t *testing.T, op *operation) int {
	t.Helper()
	db, c, err := m.begin(op, -1, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), mutationSlack)
	defer cancel()
	if err := op.run(ctx, db, c); err != nil {
		t.Fatalf("%s: %v", op.name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.op = nil
	return min(m.seen, 60)
}

// try runs an operation with one message changed. hit says that it came to that, failed
// that the operation was told an error, and err what is wrong with psyco.
func (m *mutator) try(op *operation, at int, change *mutation, seed uint64) (hit, failed bool, err error) {
	db, c, err := m.begin(op, at, change, seed)
	if err != nil {
		return false, false, err
	}
	defer m.proxy.Cut()
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), mutationLimit)
	defer cancel()
	start := time.Now()
	got := runSafely(func() error { return op.run(ctx, db, c) })
	if took := time.Since(start); took > mutationLimit+mutationGrace+mutationSlack {
		return true, true, fmt.Errorf("it took %v", took)
	}
	link := m.end()
	hit = link != 0
	failed = got != nil
	switch pe := pq.As(got); {
	case got == nil:
	case errors.Is(got, errWrong):
		if !hit || !change.silent(m.typ) && !op.drops {
			return hit, failed, got
		}
	case errors.As(got, new(*panicked)):
		return hit, failed, got
	case pe != nil, errors.Is(got, context.DeadlineExceeded), errors.Is(got, pq.ErrInFailedTransaction), prefixed.MatchString(got.Error()):
	default:
		return hit, failed, fmt.Errorf("the error does not say what is wrong: %w", got)
	}

	// The next user of the pool.
	probe, cancel := context.WithTimeout(context.Background(), mutationSlack)
	defer cancel()
	var answer string
	err = runSafely(func() error { return db.QueryRowContext(probe, "SELECT 'the ' || %s::text", "next").Scan(&answer) })
	m.mu.Lock()
	now := m.probed
	m.mu.Unlock()
	switch {
	case errors.As(err, new(*panicked)):
		return hit, failed, fmt.Errorf("the next statement: %w", err)
	case err == nil && answer != probeText:
		return hit, failed, fmt.Errorf("the next statement has the result %q (this one: %v)", answer, got)
	case err == nil && hit && now == link && got != nil && strings.Contains(got.Error(), "protocol error"):
		return hit, failed, fmt.Errorf("the connection was used again after %w", got)
	case err == nil && hit && now == link && got == nil && change.wrong(m.typ) && !op.drops:
		return hit, failed, errors.New("nobody has noticed")
	}
	return hit, failed, nil
}

// prefixed matches errors that say whose they are; some of lib/pq's have no prefix.
var prefixed = regexp.MustCompile(`^(psyco|pq|sql|dial [a-z0-9]+ [^ ]*): |^unknown response during CopyIn|^no RowsAffected available`)

// panicked is a panic as an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

func runSafely(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v, debug.Stack()}
		}
	}()
	return f()
}
