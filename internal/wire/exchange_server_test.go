package wire_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/wire"
)

// pipeline is an exchange of count executions of one statement.
type pipeline struct {
	t        testing.TB
	sql      string
	count    int
	argument func(i int) string
	syncs    int // one after so many executions, besides the last

	sent    int
	tags    map[string]int
	errors  []*wire.Error
	ready   string
	columns int
	bytes   int
	handle  func(typ byte) error
}

func (p *pipeline) next(b []byte) ([]byte, bool) {
	var err error
	if p.sent == 0 {
		if b, err = wire.AppendParse(b, "x", p.sql, []uint32{25}); err != nil {
			p.t.Error(err)
		}
		b = wire.AppendDescribe(b, 'S', "x")
	}
	if b, err = wire.AppendBind(b, "", "x", nil, [][]byte{[]byte(p.argument(p.sent))}, nil); err != nil {
		p.t.Error(err)
	}
	b = wire.AppendExecute(b, "", 0)
	p.sent++
	if p.syncs > 0 && p.sent%p.syncs == 0 {
		b = wire.AppendSync(b)
	}
	if p.sent == p.count {
		return wire.AppendClose(b, 'S', "x"), false
	}
	return b, true
}

func (p *pipeline) answer(typ byte, payload []byte) error {
	switch typ {
	case wire.CommandComplete:
		tag, err := wire.ParseCommandComplete(payload)
		if err != nil {
			return err
		}
		p.tags[tag]++
	case wire.ErrorResponse:
		e, err := wire.ParseError(payload)
		if err != nil {
			return err
		}
		p.errors = append(p.errors, e)
	case wire.ReadyForQuery:
		if len(p.ready) < 100 {
			p.ready += string(payload)
		}
	case wire.RowDescription:
		fields, err := wire.ParseRowDescription(nil, payload)
		if err != nil {
			return err
		}
		p.columns = len(fields)
	case wire.ParameterDescription:
		types, err := wire.ParseParameterDescription(nil, payload)
		if err != nil {
			return err
		}
		if len(types) != 1 || types[0] != 25 {
			return fmt.Errorf("parameter types %v", types)
		}
	case wire.DataRow:
		values, err := wire.ParseDataRow(nil, payload)
		if err != nil {
			return err
		}
		if len(values) != p.columns {
			return fmt.Errorf("%d values", len(values))
		}
		for _, v := range values {
			p.bytes += len(v)
		}
	}
	if p.handle != nil {
		return p.handle(typ)
	}
	return nil
}

func (s *session) run(p *pipeline) error {
	p.t, p.tags = s.t, make(map[string]int)
	s.Exchange(wire.Exchange{Next: p.next, Handle: p.answer})
	return s.exec("-- replaced")
}

func (s *session) mustRun(p *pipeline) {
	s.t.Helper()
	if err := s.run(p); err != nil {
		s.t.Fatal(err)
	}
	if err := s.ExchangeDone(); err != nil {
		s.t.Fatal(err)
	}
}

func TestServerExchange(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int PRIMARY KEY CHECK (i <> 7000))")
	const count = 100_000
	insert := pipeline{sql: "INSERT INTO t VALUES ($1::int)", count: count, argument: func(i int) string { return fmt.Sprint(i + 10_000) }}

	p := insert
	s.Prefix("BEGIN")
	trips := s.trips(func() { s.mustRun(&p) })
	equal(t, "inserted", p.tags["INSERT 0 1"], count)
	equal(t, "ready", p.ready, "T")
	equal(t, "status", s.TxStatus(), 'T')
	equal(t, "outcome", s.PrefixOutcome(), wire.PrefixOutcome{Sent: 1, Done: 1})
	equal(t, "tag", s.CommandTag(), "INSERT 0 1")
	if trips > count/100 {
		t.Errorf("%d round trips", trips)
	}
	equal(t, "rows", s.rows("SELECT count(*) FROM t"), "100000")
	s.must("ROLLBACK")

	// Small ones are sent at once, without a goroutine.
	p = insert
	p.count = 10
	equal(t, "round trips", s.trips(func() { s.mustRun(&p) }), 1)

	// An error in the middle: the rest up to the Sync is skipped.
	s.must("DELETE FROM t")
	p = insert
	p.count, p.syncs = 10_000, 100
	p.argument = func(i int) string { return fmt.Sprint(i + 1) }
	s.mustRun(&p)
	equal(t, "inserted", p.tags["INSERT 0 1"], 9_999)
	equal(t, "errors", len(p.errors), 1)
	equal(t, "code", p.errors[0].Code, "23514")
	equal(t, "table", p.errors[0].Table, "t")
	equal(t, "ready", len(p.ready), 100)
	equal(t, "rows", s.rows("SELECT count(*) FROM t"), "9900") // a chunk is a transaction

	// Long in both directions, which deadlocks unless both are served.
	p = pipeline{sql: "SELECT $1", count: 2_000, argument: func(i int) string { return strings.Repeat("x", 20_000) }}
	s.mustRun(&p)
	equal(t, "bytes", p.bytes, 2_000*20_000)
	equal(t, "columns", p.columns, 1)

	// Handle fails: the connection stays in order.
	failed := errors.New("no")
	p = pipeline{sql: "SELECT $1", count: 50_000, argument: func(i int) string { return "x" }}
	p.handle = func(typ byte) error {
		if typ == wire.DataRow {
			return failed
		}
		return nil
	}
	if err := s.run(&p); err != nil {
		t.Fatal(err)
	}
	equal(t, "err", s.ExchangeDone(), failed)
	equal(t, "sent", p.sent, p.count)

	// As a query instead of an Exec.
	p = insert
	p.t, p.tags, p.count = t, map[string]int{}, 3
	p.argument = func(i int) string { return fmt.Sprint(i + 20_000) }
	s.Exchange(wire.Exchange{Next: p.next, Handle: p.answer})
	rows, err := s.query("-- replaced")
	if err != nil || len(rows) != 0 {
		t.Errorf("%q, %v", rows, err)
	}
	if err := s.ExchangeDone(); err != nil {
		t.Fatal(err)
	}
	equal(t, "inserted", p.tags["INSERT 0 1"], 3)

	s.Prefix("BEGIN ISOLATION LEVEL NONSENSE")
	p = insert
	p.count = 5
	s.mustRun(&p)
	equal(t, "errors", len(p.errors), 1)
	equal(t, "inserted", p.tags["INSERT 0 1"], 0)
	equal(t, "outcome", s.PrefixOutcome(), wire.PrefixOutcome{Sent: 1, Failed: true})
	s.usable()
}

func TestServerExchangeNotices(t *testing.T) {
	s := open(t)
	s.must("CREATE FUNCTION f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', repeat($1, 100); RETURN $1; END $$")
	p := pipeline{sql: "SELECT f($1)", count: 20_000, argument: func(i int) string { return "x" }}
	s.mustRun(&p)
	equal(t, "rows", p.bytes, 20_000)
	s.usable()
}

func TestServerExchangeTerminated(t *testing.T) {
	s := open(t)
	p := pipeline{sql: "SELECT CASE $1 WHEN '5000' THEN pg_terminate_backend(pg_backend_pid()) END", count: 10_000_000,
		argument: func(i int) string { return fmt.Sprint(i) }}
	if err := s.run(&p); err == nil {
		t.Error("no error")
	}
	if f := s.Fatal(); f == nil || f.Code != "57P01" {
		t.Errorf("fatal %v", f)
	}
	equal(t, "pending", s.Pending(), true)
	if err := s.ExchangeDone(); err != nil {
		t.Error(err)
	}
	if p.sent == p.count {
		t.Error("everything was sent")
	}
	if err := s.Alive(); err == nil {
		t.Error("alive")
	}
}

// TestServerAbortExchange has a Next that never returns, for which the server waits.
func TestServerAbortExchange(t *testing.T) {
	s := open(t)
	s.must("CREATE TABLE t (i int)")
	waiting := make(chan struct{})
	release := make(chan struct{})
	defer close(release)
	p := pipeline{t: t, tags: map[string]int{}, sql: "INSERT INTO t VALUES ($1::int)", count: 1_000_000, syncs: 10_000,
		argument: func(i int) string { return fmt.Sprint(i) }}
	s.Exchange(wire.Exchange{Handle: p.answer, Next: func(b []byte) ([]byte, bool) {
		if p.sent == 25_000 {
			close(waiting)
			<-release
		}
		return p.next(b)
	}})
	go func() {
		<-waiting
		s.AbortExchange()
	}()
	s.must("-- replaced")
	if err := s.ExchangeDone(); err != nil {
		t.Fatal(err)
	}
	s.AbortExchange()
	equal(t, "errors", len(p.errors), 1)
	equal(t, "code", p.errors[0].Code, "34000")
	equal(t, "ready", p.ready, "III")
	equal(t, "rows", s.rows("SELECT count(*) FROM t"), "20000")
	s.usable()

	// At any time: it makes the exchange fail or comes too late.
	for i := range 20 {
		p := pipeline{sql: "SELECT $1", count: 20_000, argument: func(i int) string { return "x" }}
		done := make(chan struct{})
		before := s.Stats().BytesSent
		go func() {
			defer close(done)
			for s.Stats().BytesSent < before+uint64(i)*10_000 {
				runtime.Gosched()
			}
			s.AbortExchange()
		}()
		s.mustRun(&p)
		<-done
		if p.tags["SELECT 1"] != p.count && len(p.errors) == 0 {
			t.Errorf("%d rows and no error", p.tags["SELECT 1"])
		}
		s.usable()
	}
}
