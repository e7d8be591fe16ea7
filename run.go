package psyco

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/stmtcache"
	"github.com/psyco-go/psyco/internal/wire"
)

// statement is a query text with its arguments, ready to be sent.
type statement struct {
	sql      string
	args     []driver.NamedValue // values that lib/pq encodes
	types    []uint32            // declared parameter types, 0: the server infers; nil for native queries
	fallback []uint32            // types with the zeros replaced, in case the server cannot infer; nil if there are none
	trial    *trial              // literals that are not known to do without a cast

	origin
	params  []uint32 // the parameters' types, where the server was asked for them
	counted bool     // the text has as many parameters as there are arguments

	redefines bool // see sqllex.Redefines

	wanted *wanted // see query_direct.go
	parsed bool    // it goes by way of Parse though it has no arguments, see parses
	afresh bool    // but not by what was prepared: what goes in front may change how its times are read
}

// literal reports whether the placeholders are psycopg's, see appendBind.
func (st *statement) literal() bool { return len(st.types) > 0 }

// prepared is a server-side statement of the cache.
type prepared struct {
	stmt driver.Stmt
	name string // without the connection's prefix
	// assumed are the types that were declared, with those that the server could not
	// infer; nil if there are none of these.
	assumed []uint32
	split   []int // which parameter of the query each one is, see statement.splitUp; nil if they are the same
	description
	direct []*description // the same for rows that are wanted as Ts, see query_direct.go
}

// fits reports whether st may be run with p, which was prepared for the same text and
// declared types: values of other types must not be read as those that p assumes.
func (p *prepared) fits(st *statement) bool {
	if p.assumed != nil && len(p.assumed) != len(st.types) {
		return false
	}
	for i, t := range p.assumed {
		if t != 0 && st.types[i] == 0 && t != st.fallback[i] {
			return false
		}
	}
	return true
}

// assume notes what p was prepared for.
func (p *prepared) assume(s *search) {
	p.literal, p.split = s.of.literal(), s.split
	switch {
	case s.split != nil:
		p.assumed = slices.Clone(s.of.types)
		for i, t := range s.types {
			p.assumed[s.split[i]] = max(p.assumed[s.split[i]], t)
		}
	case !slices.Equal(s.types, s.of.types):
		p.assumed = slices.Clone(s.types)
	}
}

// mode is the one difference between Exec and Query.
type mode[R any] interface {
	text(c *conn, sql string, args []driver.NamedValue) (R, error)
	prepared(c *conn, s driver.Stmt, args []driver.NamedValue) (R, error)
	replied(c *conn) R
	hasRows() bool
}

type execMode struct{}

func (execMode) text(c *conn, sql string, args []driver.NamedValue) (driver.Result, error) {
	return c.counted(c.base.(driver.ExecerContext).ExecContext(background, sql, args))
}

func (execMode) prepared(c *conn, s driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	return c.counted(s.(driver.StmtExecContext).ExecContext(background, args))
}

func (execMode) replied(c *conn) driver.Result { return c.reply.Result() }

func (execMode) hasRows() bool { return false }

type queryMode struct{}

func (queryMode) text(c *conn, sql string, args []driver.NamedValue) (driver.Rows, error) {
	return c.base.(driver.QueryerContext).QueryContext(background, sql, args)
}

func (queryMode) prepared(_ *conn, s driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	return s.(driver.StmtQueryContext).QueryContext(background, args)
}

func (queryMode) replied(c *conn) driver.Rows { return &c.reply }

func (queryMode) hasRows() bool { return true }

// run sends a statement the cheapest way that is safe: without arguments as a
// simple query, as lib/pq does; through a prepared statement of the cache in
// one round trip, once the text has been used often enough to be worth it; else
// through the unnamed statement.
func run[R any](c *conn, m mode[R], st *statement) (R, error) {
	res, err := dispatch(c, m, st)
	if err != nil {
		err = c.explain(st, err)
	}
	return res, err
}

func dispatch[R any](c *conn, m mode[R], st *statement) (R, error) {
	var zero R
	if st.trial != nil {
		return runTrial(c, m, st)
	}
	if len(st.args) > placeholder.MaxParams {
		// lib/pq reports it too, but then takes no further statement.
		return zero, fmt.Errorf("pq: got %d parameters but PostgreSQL only supports %d parameters", len(st.args), placeholder.MaxParams)
	}
	c.text = st.sql
	if len(st.args) == 0 && !st.parsed {
		if err := c.flush(); err != nil {
			return zero, err
		}
		c.letGo()
		c.hidden = sqllex.Redefines(st.sql)
		if m.hasRows() && !hasInfinity() {
			c.takeTextRows()
		}
		res, err := m.text(c, st.sql, nil)
		if err != nil {
			c.wire.LeaveRows()
		}
		c.observe()
		return res, err
	}
	c.hidden = st.redefines
	var e *stmtcache.Entry[*prepared]
	if st.counted && !st.afresh && !c.mayMiss() {
		e = c.cache.Use(st.sql, st.types)
		if e != nil && e.Ready && !e.Stmt.fits(st) {
			e = c.cache.Use(st.sql, st.fallback)
			if e != nil && e.Ready && !e.Stmt.fits(st) {
				e = nil
			}
		}
	}
	fresh := false
	switch {
	case e == nil, !e.Ready && e.Uses+st.early() < c.sess.cfg.PrepareThreshold:
		c.stats.CacheMisses++
		return runUncached(c, m, st)
	case e.Ready:
		c.stats.CacheHits++
	case !c.mayPrepare():
		return runUncached(c, m, st)
	default:
		if res, ran, err := runNew(c, m, st, e); ran || err != nil {
			return res, err
		}
		fresh = true
	}
	riders := len(c.queue)
	c.ride()
	res, err := runPrepared(c, m, e.Stmt, st.wanted, st.sql, st.args)
	c.rode(err)
	if err == nil {
		return res, nil
	}
	outdated := c.evict(err, fresh || c.wire.Bound(), func() { c.cache.Remove(e) })
	if !outdated || !c.again(riders) {
		return zero, err
	}
	c.behindPooler()
	return runUncached(c, m, st)
}

// once runs a statement by itself. rows says that its rows are wanted.
func (c *conn) once(ctx context.Context, st *statement, rows bool) (affected int64, set resultSet, err error) {
	if rows {
		return c.onceRows(ctx, st)
	}
	var res driver.Result
	if c.wire == nil {
		res, err = c.baseOnce(ctx, st)
	} else {
		k := c.watch(ctx)
		res, err = run(c, execMode{}, st)
		err = c.finish(k, err)
	}
	if err != nil {
		return 0, set, err
	}
	affected, err = res.RowsAffected()
	if err != nil {
		affected = 0 // of a statement that counts no rows
	}
	return affected, set, nil
}

// onceRows runs a statement and reads its rows into memory.
func (c *conn) onceRows(ctx context.Context, st *statement) (affected int64, set resultSet, err error) {
	if c.wire == nil {
		return c.baseRows(ctx, st)
	}
	k := c.watch(ctx)
	base, err := run(c, queryMode{}, st)
	if err != nil {
		return 0, set, c.finish(k, err)
	}
	r := c.newRowsFor(st, base, k, st.sql)
	r.buffer()
	set = r.sets[0]
	set.err = r.Close()
	if pq.As(set.err) != nil || c.lost != nil {
		return 0, set, set.err
	} // else it is about a value, and the statement has run all the same
	affected, err = r.Result().RowsAffected()
	if err != nil {
		affected = 0
	}
	return affected, set, nil
}

// runNew prepares a statement for the cache and runs it, in one packet. Where that
// is not possible it only prepares it.
func runNew[R any](c *conn, m mode[R], st *statement, e *stmtcache.Entry[*prepared]) (res R, ran bool, err error) {
	s := c.search(st)
	if !s.known && c.inTransaction() {
		return res, false, c.prepareEntry(st, e)
	}
	renewals := c.renewals
	for {
		c.statementNames++
		name := "s" + strconv.Itoa(c.statementNames)
		server := c.wire.StatementName(name)
		request, ok := c.appendWhole(c.request[:0], server, s.st, s.types, m.hasRows())
		if !ok {
			return res, false, c.prepareEntry(st, e)
		}
		c.ride()
		res, err = ask(c, m, st.sql, request, nil)
		c.rode(err)
		d := c.wire.Description()
		p := c.describeStatement(server, d)
		there := d.Params != nil && p.server != "" && err != driver.ErrBadConn
		switch {
		case there && (misreadAt(err, "", nil) < 0 || !s.retry(err)):
			if c.renewals == renewals {
				entry := &prepared{name: name, description: p}
				entry.assume(&s)
				c.enter(e, entry)
			} else {
				c.wire.PrefixClose(name) // it has changed what it means itself
			}
			s.accepted()
			if err = s.error(err); err != nil {
				c.evict(err, true, func() { c.cache.Remove(e) })
			}
			return res, true, err
		case there:
			c.wire.PrefixClose(name)
		case !s.retry(err):
			c.wire.PrefixClose(name) // if there is one
			c.cache.Remove(e)
			return res, true, s.error(err)
		}
	}
}

// prepareEntry prepares a statement for the cache.
func (c *conn) prepareEntry(st *statement, e *stmtcache.Entry[*prepared]) error {
	p, err := c.prepare(st)
	if err != nil {
		c.cache.Remove(e)
		return err
	}
	c.enter(e, &p)
	return nil
}

// enter puts a new statement into the cache.
func (c *conn) enter(e *stmtcache.Entry[*prepared], p *prepared) {
	e.Stmt, e.Ready = p, true
	c.stats.Prepared++
}

// runUncached sends a statement that has no prepared one in the cache.
func runUncached[R any](c *conn, m mode[R], st *statement) (R, error) {
	var zero R
	s := c.search(st)
	if !s.known && c.inTransaction() {
		// A type that the server cannot infer must not poison the transaction:
		// that takes a savepoint around Parse alone, so Parse goes by itself.
		params, s, err := tryTypes(c, st, func(sql string, types []uint32) (params, _ []uint32, err error) {
			params, err = c.analyze(sql, types)
			return params, params, err
		}, func([]uint32) {})
		if err != nil {
			return zero, err
		}
		s.st.params = params
		return runUnnamed(c, m, s.st, s.types)
	}
	for {
		res, err := runUnnamed(c, m, s.st, s.types)
		if err == nil {
			s.accepted()
			return res, nil
		}
		if s.retry(err) {
			s.st.params = nil // were those of other types
			continue
		}
		err = s.error(err)
		c.evict(err, true, func() {})
		return zero, err
	}
}

// prepare makes a named server-side statement.
func (c *conn) prepare(st *statement) (prepared, error) {
	p, s, err := tryTypes(c, st, func(sql string, types []uint32) (p prepared, params []uint32, err error) {
		p, err = c.parse(sql, types)
		return p, p.params, err
	}, func(p prepared) { c.wire.PrefixClose(p.name) })
	p.assume(&s)
	return p, err
}

// tryTypes has the server look at st, with other types for its open parameters until it
// accepts them. It returns what parse has made of it, and what the search has found; drop
// is given what was made in vain.
func tryTypes[P any](c *conn, st *statement, parse func(sql string, types []uint32) (p P, params []uint32, err error), drop func(P)) (P, search, error) {
	s := c.search(st)
	var misread *P // accepted, but with a list for a single value
	var found search
	guard := c.guardParse(!s.known)
	for {
		p, params, err := parse(s.st.sql, s.types)
		if err == nil {
			before := s
			if misread == nil && s.retryRead(params) {
				misread, found = &p, before
				continue
			}
			if misread != nil {
				drop(*misread)
			}
			s.accepted()
			guard.release()
			return p, s, nil
		}
		again := s.retry(err)
		if !again && (misread == nil || pq.As(err) == nil) {
			return p, s, s.error(err)
		}
		if err := guard.undo(); err != nil {
			return p, s, err
		}
		if !again { // another type is not possible: the error of the value is to the point
			found.accepted()
			guard.release()
			return *misread, found, nil
		}
	}
}

// parseGuard is the savepoint that keeps a query whose types the server cannot infer
// from failing the transaction. The zero parseGuard guards nothing.
type parseGuard struct{ c *conn }

// guardParse lets the savepoint ride in front of the next Parse, if the query needs
// one and there is a transaction.
func (c *conn) guardParse(needed bool) parseGuard {
	if !needed || !c.inTransaction() {
		return parseGuard{}
	}
	c.queue = append(c.queue, "SAVEPOINT psyco_parse")
	return parseGuard{c}
}

const releaseParse = "RELEASE SAVEPOINT psyco_parse"

// release forgets the savepoint after success.
func (g parseGuard) release() {
	if g.c != nil {
		g.c.queue = append(g.c.queue, releaseParse)
	}
}

// undo goes back to the savepoint, which stays, if the transaction was begun at all.
func (g parseGuard) undo() error {
	switch {
	case g.c == nil:
		return nil
	case g.c.tx != nil && g.c.tx.failed != nil:
		return g.c.tx.failed
	}
	return g.c.simple("ROLLBACK TO SAVEPOINT psyco_parse")
}

// parse sends Parse and Describe for a new named statement.
func (c *conn) parse(sql string, types []uint32) (prepared, error) {
	c.ride()
	c.declare(types)
	c.wire.CaptureDescription()
	s, err := c.base.(driver.ConnPrepareContext).PrepareContext(background, sql)
	d := c.wire.Description()
	c.rode(err)
	if err != nil {
		return prepared{}, err
	}
	return prepared{stmt: s, name: d.Statement, description: c.describeStatement(c.wire.StatementName(d.Statement), d)}, nil
}

// declare hands the parameter types to the wire, if there is one to declare.
func (c *conn) declare(types []uint32) {
	for _, t := range types {
		if t != 0 {
			c.wire.DeclareTypes(types)
			return
		}
	}
}

// ride puts the queued small statements, and Close messages for evicted
// statements, in front of the Parse or Bind that is sent next.
func (c *conn) ride() {
	c.rideLeads()
	for _, sql := range c.queue {
		c.wire.Prefix(sql)
	}
	c.letGo()
}

// letGo has the statements closed that are not in the cache any more, in front of what
// is sent next.
func (c *conn) letGo() {
	for _, p := range c.cache.TakeEvicted() {
		c.wire.PrefixClose(p.name)
	}
	for _, p := range c.plans.TakeEvicted() {
		c.wire.PrefixClose(p.name)
	}
	c.closeOrphans()
}

// rode settles what rode along after its request has ended.
func (c *conn) rode(err error) {
	if c.wire.Flushed() {
		c.rodeLeads(err)
		c.queue = c.queue[:0]
	} else {
		// lib/pq refused the arguments before it sent anything.
		c.wire.TakePrefix()
	}
	c.began(err)
	c.observe()
}

func (c *conn) inTransaction() bool {
	return c.tx != nil || c.baseTx || c.wire != nil && c.wire.TxStatus() != 'I'
}

// statementPrefix makes the names of a connection's prepared statements unlike
// those of any other: a pooler in transaction mode may lend one server
// connection to several clients, and a statement must never run another one's
// text.
func statementPrefix() string {
	var b [6]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return "psyco_" + hex.EncodeToString(b[:]) + "_"
}

// lib/pq asks the server for the types of the parameters before it sends any, and
// so needs two round trips for a statement that is not prepared. It needs the types
// for one thing only: what goes into a bytea is written in another way. Where that
// makes no difference psyco sends Parse, Bind and Execute in one packet.

// appendWhole appends the packet that prepares and runs a statement, if both may go
// in one. For the unnamed statement, "", it describes the columns of the result; for
// one that is to stay, the parameters too.
func (c *conn) appendWhole(b []byte, name string, st *statement, types []uint32, columns bool) (_ []byte, ok bool) {
	if !st.counted || name != "" && hasInfinity() || strings.IndexByte(st.sql, 0) >= 0 {
		return b, false
	}
	if len(types) == 0 {
		types = c.untyped(len(st.args))
	}
	asked := false
	for i := range st.args {
		if types[i] != 0 || c.sameAsBytea(st.args[i].Value, st.literal()) {
			continue
		}
		if st.params == nil {
			return b, false
		}
		if !asked {
			types, asked = slices.Clone(types), true
		}
		types[i] = st.params[i]
	}
	b, err := wire.AppendParse(b, name, st.sql, types)
	if err != nil {
		return b, false // lib/pq says what is wrong
	}
	if name != "" {
		b = wire.AppendDescribe(b, 'S', name)
	}
	b, err = appendBind(b, name, types, st.args, textResults, st.literal())
	if err != nil || len(b) > maxDescribed && name != "" {
		return b, false
	}
	if name == "" && columns {
		b = wire.AppendDescribe(b, 'P', "")
	}
	return wire.AppendSync(wire.AppendExecute(b, "", 0)), true
}

// maxDescribed is how long a packet may be that has more to come behind a Describe.
// The server might write a long description before it reads on, and would wait
// forever for a client that does not read before it has written all.
const maxDescribed = 8 << 10

// textResults is the end of a Bind that wants all results as text.
var textResults = []byte{0, 0}

// untyped returns a list of n types that are left to the server.
func (c *conn) untyped(n int) []uint32 {
	if cap(c.noTypes) < n {
		c.noTypes = make([]uint32, n)
	}
	return c.noTypes[:n]
}

// sameAsBytea reports whether a value is sent in the same way if its type turns out
// to be bytea. In a bytea's text only the backslash is special, but text is
// converted to the server's encoding. A string of psycopg's is text in any case.
func (c *conn) sameAsBytea(value any, literal bool) bool {
	switch x := value.(type) {
	case string:
		return literal || strings.IndexByte(x, '\\') < 0 && strings.IndexByte(x, 0) < 0 &&
			(isASCII(x) || utf8.ValidString(x) && c.isUTF8())
	case []byte:
		return bytes.IndexByte(x, '\\') < 0 && bytes.IndexByte(x, 0) < 0 &&
			(isASCII(x) || utf8.Valid(x) && c.isUTF8())
	}
	return true
}

// literalBytea returns args with the bytes that the texts of a bytea stand for.
func literalBytea(types []uint32, args []driver.NamedValue) ([]driver.NamedValue, error) {
	args = slices.Clone(args)
	for i := range min(len(types), len(args)) {
		if x, ok := args[i].Value.(string); ok && types[i] == pgform.OIDBytea {
			raw, err := pgform.ParseBytea(x)
			if err != nil {
				return nil, argumentError(&args[i], fmt.Errorf("%.40q is not the text of a bytea: %w", x, err))
			}
			args[i].Value = raw
		}
	}
	return args, nil
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isUTF8 reports whether text reaches the database as it is.
func (c *conn) isUTF8() bool {
	server, _ := c.wire.Parameter("server_encoding")
	client, _ := c.wire.Parameter("client_encoding")
	return server == "UTF8" && client == "UTF8"
}

// runUnnamed runs a statement by way of the server's unnamed one. What riding along
// needs is done in here.
func runUnnamed[R any](c *conn, m mode[R], st *statement, types []uint32) (res R, err error) {
	if c.binary || strings.IndexByte(st.sql, 0) >= 0 { // the server refuses a NUL
		c.ride()
		c.declare(types)
		res, err = m.text(c, st.sql, st.args)
		c.rode(err)
		return res, err
	}
	request, ok := c.appendWhole(c.request[:0], "", st, types, m.hasRows())
	if !ok {
		if request, err = c.askTypes(st, types, m.hasRows()); err != nil {
			return res, err
		}
	}
	c.ride()
	res, err = ask(c, m, st.sql, request, nil)
	c.rode(err)
	return res, err
}

// askTypes makes the request of appendWhole with the help of the server. It could not
// be sent as one packet with what lib/pq knows either: Parse goes first, and Bind may
// meet another server behind a pooler.
func (c *conn) askTypes(st *statement, types []uint32, columns bool) (request []byte, err error) {
	if st.params == nil {
		if st.params, err = c.analyze(st.sql, types); err != nil {
			return nil, err
		}
	}
	if len(st.params) != len(st.args) {
		return nil, fmt.Errorf("pq: got %d parameters but the statement requires %d", len(st.args), len(st.params))
	}
	st.counted = true
	request, ok := c.appendWhole(c.request[:0], "", st, types, columns)
	if ok {
		return request, nil
	}
	_, tooLong := wire.AppendParse(nil, "", st.sql, types)
	_, err = appendBind(nil, "", c.untyped(len(st.args)), st.args, textResults, st.literal())
	return nil, cmp.Or(tooLong, err, errUnsendable)
}

var errUnsendable = errors.New("psyco: the statement cannot be sent")
