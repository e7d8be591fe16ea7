package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/dial/dialtest"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// dialect is what a server that speaks PostgreSQL's protocol without being PostgreSQL may
// do otherwise: what comes in place of one of its messages. started says that the
// session was opened before.
type dialect struct {
	name    string
	rewrite func(m []byte, started bool) []byte
	dsn     string
	trickle bool // one byte at a time
}

// fields are those of an ErrorResponse or NoticeResponse.
func fields(m []byte) (pairs [][]byte) {
	for _, f := range bytes.Split(bytes.TrimRight(m[5:], "\x00"), []byte{0}) {
		if len(f) > 0 {
			pairs = append(pairs, f)
		}
	}
	return pairs
}

func ofFields(typ byte, pairs ...[]byte) []byte {
	return dialtest.Message(typ, string(bytes.Join(pairs, []byte{0}))+"\x00\x00")
}

var (
	anotherNotice = ofFields('N', []byte("SNOTICE"), []byte("C00000"), []byte("Mby the way"))
	anotherStatus = dialtest.Message('S', "crdb_version\x00v26.3\x00")
	negotiation   = func(minor uint32) []byte {
		return dialtest.Message('v', string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, minor), 0)))
	}
)

// greeting puts what is said before the first message.
func greeting(said []byte) func(m []byte, started bool) []byte {
	return func(m []byte, started bool) []byte {
		if m[0] == 'v' {
			return nil // the server's own
		}
		if m[0] == 'R' && !started {
			return append(slices.Clone(said), m...)
		}
		return m
	}
}

var dialects = []dialect{
	{name: "no parameters reported", rewrite: func(m []byte, _ bool) []byte {
		if m[0] == 'S' {
			return nil
		}
		return m
	}},
	{name: "the version alone reported", rewrite: func(m []byte, _ bool) []byte {
		if m[0] == 'S' && !bytes.HasPrefix(m[5:], []byte("server_version\x00")) {
			return nil
		}
		return m
	}},
	{name: "parameters that nobody knows, at any time", rewrite: func(m []byte, started bool) []byte {
		if started {
			return append(slices.Clone(anotherStatus), m...)
		}
		return m
	}},
	{name: "a version of the server's own", rewrite: func(m []byte, _ bool) []byte {
		if m[0] == 'S' && bytes.HasPrefix(m[5:], []byte("server_version\x00")) {
			return dialtest.Message('S', "server_version\x0015.2-YB-2.25.0.0-b0\x00")
		}
		return m
	}},
	{name: "no key for cancel requests", rewrite: func(m []byte, _ bool) []byte {
		if m[0] == 'K' {
			return nil
		}
		return m
	}},
	{name: "fields of errors that nobody knows", rewrite: func(m []byte, _ bool) []byte {
		if m[0] == 'E' || m[0] == 'N' {
			return ofFields(m[0], append([][]byte{[]byte("Znode 7"), []byte("!")}, append(fields(m), []byte("zmore"))...)...)
		}
		return m
	}},
	{name: "errors of few fields", rewrite: func(m []byte, _ bool) []byte {
		if m[0] != 'E' && m[0] != 'N' {
			return m
		}
		return ofFields(m[0], slices.DeleteFunc(fields(m), func(f []byte) bool { return f[0] != 'S' && f[0] != 'C' && f[0] != 'M' })...)
	}},
	{name: "notices anywhere", rewrite: func(m []byte, started bool) []byte {
		if started {
			return append(slices.Clone(anotherNotice), m...)
		}
		return m
	}},
	{name: "types that nobody knows", rewrite: func(m []byte, started bool) []byte {
		if m[0] != 'T' {
			return m
		}
		// A type with the values of text, in both formats.
		return bytes.ReplaceAll(slices.Clone(m), []byte("\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff"), []byte("\x00\x01\x5f\x91\xff\xff\xff\xff\xff\xff"))
	}},
	{name: "a negotiation that nobody asked for", rewrite: greeting(negotiation(0))},
	{name: "a negotiation of the whole version", rewrite: greeting(negotiation(3 << 16)), dsn: " max_protocol_version=latest"},
	{name: "pieces of messages", trickle: true, rewrite: func(m []byte, _ bool) []byte { return m }},
}

// TestDialects speaks with servers that are not quite PostgreSQL, in each way of sending a
// statement, and gets what PostgreSQL's own words give.
func TestDialects(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			direct := pgserver.TestDSN(t)
			mustExec(t, open(t, direct), "CREATE TABLE t (k int PRIMARY KEY, v text)")
			for _, mode := range []string{"", " prepare_threshold=1", " statement_cache_capacity=0", " binary_parameters=yes", " binding=client"} {
				want := speak(t, open(t, direct+mode))
				p := testdb.Proxy(t)
				started := make(map[int]bool)
				p.Rewrite(func(link int, m []byte) faultproxy.Rewrite {
					r := faultproxy.Rewrite{Bytes: d.rewrite(m, started[link])}
					started[link] = started[link] || m[0] == 'Z'
					return r
				})
				if d.trickle {
					p.Trickle(faultproxy.ToClient, 1, 0)
				}
				db := open(t, direct+" "+p.ConnInfo()+mode+d.dsn)
				db.SetMaxOpenConns(1)
				if got := speak(t, db); !slices.Equal(got, want) {
					t.Errorf("%s:\ngot  %q\nwant %q", mode, got, want)
				}
			}
		})
	}
}

// speak uses what programs use most, and returns what came of it.
func speak(t *testing.T, db *sql.DB) (got []string) {
	t.Helper()
	ctx := t.Context()
	note := func(v ...any) {
		text := fmt.Sprint(v...)
		for i, x := range v {
			if err, ok := x.(error); ok {
				v[i] = code(err)
				text = fmt.Sprint(v...)
			}
		}
		got = append(got, text)
	}
	conn := mustConn(t, db)
	mustExec(t, conn, "TRUNCATE t")
	for i := range 3 {
		_, err := conn.ExecContext(ctx, "INSERT INTO t VALUES (%s, %s)", i, fmt.Sprint("v", i))
		note(err)
		var k int
		var v string
		var at sql.NullTime
		err = conn.QueryRowContext(ctx, "SELECT k, v, '2024-02-29 12:00Z'::timestamptz FROM t WHERE k = %s", i).Scan(&k, &v, &at)
		note(k, v, at.Time.Unix(), err)
		_, err = conn.ExecContext(ctx, "INSERT INTO t VALUES ($1, $2)", 0, "again")
		note(err)
		rows, err := psyco.QueryAll[struct {
			K int
			V string
		}](ctx, conn, "SELECT k, v FROM t WHERE k >= %s ORDER BY k", 0)
		note(rows, err)
	}
	_, err := conn.ExecContext(ctx, "SELECT 1; SELECT nonsense; SELECT 2")
	note(err)
	err = psyco.InTx(ctx, conn, nil, func(tx *sql.Tx) error {
		mustExec(t, tx, "UPDATE t SET v = v || %s", "!")
		return psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
			mustExec(t, tx, "DELETE FROM t WHERE k > %s", -1)
			return psyco.Rollback("")
		})
	})
	note(err)
	var b psyco.Batch
	b.Queue("INSERT INTO t VALUES (%s, 'batch')", 10)
	b.Queue("SELECT v FROM t WHERE k = %s", 10).Each(func(rows *sql.Rows) error {
		var v string
		err := rows.Scan(&v)
		note(v)
		return err
	})
	note(b.Run(ctx, conn))
	n, err := psyco.ExecMany(ctx, conn, "INSERT INTO t VALUES (%s, 'many')", argRows(3, func(i int) []any { return []any{20 + i} }))
	note(n, err)
	n, err = psyco.CopyRows(ctx, conn, psyco.Identifier{"t"}, []string{"k", "v"}, argRows(3, func(i int) []any { return []any{30 + i, "copied"} }))
	note(n, err)
	var out strings.Builder
	n, err = psyco.CopyTo(ctx, conn, &out, "COPY (SELECT k, v FROM t ORDER BY k) TO STDOUT")
	note(n, out.String(), err)
	note(conn.PingContext(ctx))
	return got
}

// TestServerWithoutCancelKey has a context end on a server that statements cannot be
// cancelled on: the call returns, and nobody gets the connection that is still at work.
func TestServerWithoutCancelKey(t *testing.T) {
	direct := pgserver.TestDSN(t)
	admin := open(t, direct)
	p := testdb.Proxy(t)
	p.Rewrite(func(_ int, m []byte) (r faultproxy.Rewrite) {
		if m[0] != 'K' {
			r.Bytes = m
		}
		return r
	})
	for query, args := range map[string][]any{"SELECT pg_sleep(60)": nil, "SELECT pg_sleep(61 + %s)": {0}} {
		db := open(t, direct+" "+p.ConnInfo(), psyco.WithCancelGrace(50*time.Millisecond))
		db.SetMaxOpenConns(1)
		ctx, cancel := context.WithCancel(t.Context())
		whenWaiting(t, admin, query[:len("SELECT pg_sleep(60")], cancel)
		if _, err := db.ExecContext(ctx, query, args...); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", query, err)
		}
		if got := all(t, db, "SELECT %s::int", 1); !slices.Equal(got, []string{"1"}) {
			t.Errorf("afterwards: %q", got)
		}
		db.Close()
		terminateOthers(t, admin) // those that still sleep
	}
}

// TestServerWithoutSavepoints is CockroachDB before 20.1: there is one savepoint, of one
// name. The error is the server's, nothing runs outside of the savepoint that is not
// there, and the connection stays good.
func TestServerWithoutSavepoints(t *testing.T) {
	var ran []string
	at := dialtest.FakeServer(t, func(nc net.Conn) { serveWithoutSavepoints(nc, &ran) })
	db := open(t, at+" sslmode=disable password=x")
	db.SetMaxOpenConns(1)
	ctx := t.Context()
	for _, insert := range []struct {
		query string
		args  []any
	}{{"INSERT INTO t VALUES (1)", nil}, {"INSERT INTO t VALUES ($1)", []any{1}}} {
		err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
			return psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, insert.query, insert.args...)
				return err
			})
		})
		if pe := pq.As(err); pe == nil || pe.Code != "0A000" {
			t.Errorf("%s: %v", insert.query, err)
		}
		if err := db.PingContext(ctx); err != nil {
			t.Errorf("%s, afterwards: %v", insert.query, err)
		}
		err = psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
			for _, sql := range []string{"SAVEPOINT cockroach_restart", "SELECT 'allowed'", "RELEASE SAVEPOINT cockroach_restart"} {
				if _, err := tx.ExecContext(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("the one that there is: %v", err)
		}
	}
	for _, text := range ran {
		if strings.HasPrefix(text, "INSERT") {
			t.Errorf("ran %s", text)
		}
	}
}

// serveWithoutSavepoints answers statements as a server does that has no other savepoint
// than cockroach_restart, and notes those that it has run.
func serveWithoutSavepoints(nc net.Conn, ran *[]string) {
	dialtest.ReadPacket(nc)
	nc.Write(dialtest.Welcome("server_version", "9.5.0"))
	status, skip := byte('I'), false
	var text string
	ready := func() { nc.Write(dialtest.Message('Z', string(status))) }
	fail := func(code, message string) {
		nc.Write(ofFields('E', []byte("SERROR"), []byte("C"+code), []byte("M"+message)))
		if status == 'T' {
			status = 'E'
		}
	}
	run := func() bool {
		word, _, _ := strings.Cut(text, " ")
		switch {
		case word == "ROLLBACK" && !strings.Contains(text, "TO"):
			status = 'I'
		case status == 'E':
			fail("25P02", "current transaction is aborted")
			return false
		case word == "BEGIN":
			status = 'T'
		case word == "COMMIT":
			status = 'I'
		case word == "SAVEPOINT" && !strings.Contains(text, "cockroach_restart"):
			fail("0A000", "SAVEPOINT not supported except for cockroach_restart")
			return false
		}
		*ran = append(*ran, text)
		if text == "" {
			nc.Write(dialtest.Message('I', ""))
			return true
		}
		tag := word
		if word == "INSERT" {
			tag = "INSERT 0 1"
		} else if word == "SELECT" {
			tag = "SELECT 0"
			nc.Write(dialtest.Message('T', "\x00\x00"))
		}
		nc.Write(dialtest.Message('C', tag+"\x00"))
		return true
	}
	header := make([]byte, 5)
	for {
		if _, err := io.ReadFull(nc, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(nc, body); err != nil {
			return
		}
		switch typ := header[0]; {
		case typ == 'X':
			return
		case typ == 'S':
			skip = false
			ready()
		case skip:
		case typ == 'Q':
			for _, text = range strings.Split(string(bytes.TrimRight(body, "\x00")), ";") {
				if text = strings.TrimSpace(text); !run() {
					break
				}
			}
			ready()
		case typ == 'P':
			_, rest, _ := bytes.Cut(body, []byte{0})
			sent, _, _ := bytes.Cut(rest, []byte{0})
			if text = string(sent); status == 'E' {
				fail("25P02", "current transaction is aborted")
				skip = true
				continue
			}
			nc.Write(dialtest.Message('1', ""))
		case typ == 'B':
			nc.Write(dialtest.Message('2', ""))
		case typ == 'D' && body[0] == 'S':
			nc.Write(append(dialtest.Message('t', "\x00\x01\x00\x00\x00\x17"), dialtest.Message('n', "")...))
		case typ == 'D':
			nc.Write(dialtest.Message('n', ""))
		case typ == 'E':
			skip = !run()
		}
	}
}
