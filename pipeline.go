package psyco

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/stmtcache"
	"github.com/psyco-go/psyco/internal/wire"
)

// pipeline gathers executions of statements and sends them in one round trip,
// with one Sync at the end: outside a transaction they are one of their own.
type pipeline struct {
	planner
	messages  []byte
	plans     []*plan // of each execution; nil without arguments
	described []bool  // and whether its rows are wanted
	riders    int     // statements that rode in front

	// What send has learned.
	answered int         // executions that are complete; after an error, the next one has failed
	affected []int64     // by each of them
	sets     []resultSet // of those whose rows are wanted
	bound    bool        // the server has accepted the arguments of the next
	open     bool        // the last of sets is not complete

	fields []wire.Field // scratch: the columns of the open set
	cells  [][]byte
}

func newPipeline(c *conn) *pipeline { return &pipeline{planner: newPlanner(c)} }

// reset makes room for the next executions.
func (p *pipeline) reset() {
	p.messages, p.plans, p.described = p.messages[:0], p.plans[:0], p.described[:0]
	p.bound = false
	p.answered, p.affected, p.sets = 0, p.affected[:0], nil
	p.open, p.apart = false, false
}

// reserve makes room for n executions in all, each as long as the first.
func (p *pipeline) reserve(n int) {
	more := n - len(p.plans)
	p.messages = slices.Grow(p.messages, more*len(p.messages)/max(1, len(p.plans)))
	p.plans, p.described = slices.Grow(p.plans, more), slices.Grow(p.described, more)
	p.affected = slices.Grow(p.affected, n)
}

// addPrepared adds an execution and prepares its plan, in a round trip of its
// own, if there is none.
func (p *pipeline) addPrepared(ctx context.Context, st *statement) error {
	pl := p.find(st)
	if pl != nil && !pl.ready {
		if _, err := p.prepare(ctx); err != nil {
			return err
		}
	}
	return p.add(st, pl, false)
}

// add adds an execution of st; pl is its plan, which is ready, or nil if it has
// no arguments. rows says that its rows are wanted.
func (p *pipeline) add(st *statement, pl *plan, rows bool) (err error) {
	b := p.messages
	if pl != nil {
		b, err = appendBind(b, pl.server, pl.params, spread(st.args, pl.split), allText, pl.literal())
	} else if err = checkNUL(st.sql); err == nil {
		if b, err = wire.AppendParse(b, "", st.sql, nil); err == nil {
			b, err = appendBind(b, "", nil, nil, allText, false)
		}
	}
	if err != nil {
		return err
	}
	if rows {
		b = wire.AppendDescribe(b, 'P', "")
	}
	p.messages = wire.AppendExecute(b, "", 0)
	p.plans, p.described = append(p.plans, pl), append(p.described, rows)
	return nil
}

// allText are the result formats of a pipeline.
var allText = []byte{0, 0}

// checkNUL refuses what would end a string of the protocol early.
func checkNUL(sql string) error {
	if strings.IndexByte(sql, 0) >= 0 {
		return fmt.Errorf("psyco: the statement has a NUL byte: %.60q", sql)
	}
	return nil
}

// send runs what was added.
func (p *pipeline) send(ctx context.Context) error {
	c := p.c
	p.riders = len(c.queue)
	c.text, c.hidden = "", p.hidden
	k := c.watch(ctx)
	err := c.exchange(p.messages, p.answer)
	complete := p.answered == len(p.described)
	p.apart = err != nil && (complete || p.riders > 0 && c.wire.PrefixOutcome().Failed || c.lost != nil)
	if err == nil && !complete {
		err = fmt.Errorf("psyco: %w: the server answered %d of %d statements", wire.ErrProtocol, p.answered, len(p.described))
		c.wire.Break(err)
	}
	err = c.finish(k, err)
	if complete && pq.As(err) != nil && c.lost == nil && !c.inTransaction() {
		return &atCommitError{err} // which is the Sync's
	}
	return err
}

// answer takes a message of the server.
func (p *pipeline) answer(typ byte, payload []byte) error {
	if p.answered == len(p.described) {
		return fmt.Errorf("psyco: %w: message %q after the last answer", wire.ErrProtocol, typ)
	}
	switch typ {
	case wire.BindComplete:
		p.bound = true
	case wire.CommandComplete:
		tag := payload[:max(0, len(payload)-1)]
		n, _ := wire.RowsAffected(string(tag)) // none is 0
		p.complete(n)
	case wire.EmptyQueryResponse:
		p.complete(0)
	case wire.RowDescription:
		return p.columns(payload)
	case wire.DataRow:
		if p.described[p.answered] {
			return p.row(payload)
		}
	case wire.CopyOutResponse:
		return errNoCopy
	}
	return nil
}

func (p *pipeline) complete(affected int64) {
	if p.described[p.answered] && !p.open {
		p.sets = append(p.sets, resultSet{header: &header{}}) // a statement without rows
	}
	p.open, p.bound = false, false
	p.answered++
	p.affected = append(p.affected, affected)
}

// columns begins a result set.
func (p *pipeline) columns(payload []byte) (err error) {
	p.fields, err = wire.ParseRowDescription(p.fields[:0], payload)
	if err != nil {
		return err
	}
	p.sets = append(p.sets, resultSet{header: describeColumns(p.fields)})
	p.open, p.c.values = true, valueDecoder{c: p.c}
	return nil
}

func (p *pipeline) row(payload []byte) (err error) {
	p.cells, err = wire.ParseDataRow(p.cells[:0], payload)
	if err != nil {
		return err
	}
	if !p.open || len(p.cells) != len(p.fields) {
		return errShortRow
	}
	row, err := p.c.values.row(p.cells, p.fields)
	set := &p.sets[len(p.sets)-1]
	switch {
	case set.err != nil:
	case err != nil:
		set.err = err // the statement has run nevertheless
	default:
		set.rows = append(set.rows, row)
	}
	return nil
}

// failed ends an operation's pipeline that met an error: it forgets plans that
// may be the reason, and reports whether the server refused one because it is
// outdated while nothing has been done that outlasts the error.
func (p *pipeline) failed(err error) (outdated bool) {
	// A plan that was prepared a moment ago cannot be outdated.
	fresh := p.answered >= len(p.plans) || p.plans[p.answered] == nil || p.plans[p.answered].entry == nil
	p.keep()
	if pq.As(err) == nil || p.c.lost != nil {
		return false
	}
	outdated = p.c.evict(err, p.bound || fresh, func() {
		for _, pl := range p.all {
			if pl.entry != nil {
				p.c.plans.Remove(pl.entry)
			}
		}
	})
	return outdated && (p.answered == 0 || !p.mayCommit)
}

// pipelined reports whether the connection can do pipelines. Behind Wrap there
// is no wire, and behind a pooler or with binding=client nothing may be prepared.
func (c *conn) pipelined() bool {
	return c.wire != nil && !c.clientBinding() && c.mayPrepare()
}

// exchangePiece is about how many bytes of an exchange are handed out at a time.
const exchangePiece = 32 << 10

// exchange sends messages and a Sync, and passes on every answer but errors and
// ReadyForQuery. The queued small statements ride in front.
func (c *conn) exchange(messages []byte, answer func(typ byte, payload []byte) error) error {
	c.ride()
	err := c.exchangeAlone(messages, answer)
	c.rode(err)
	return err
}

// exchangeAlone is exchange without what waits to ride in front: that might fail, and
// the messages with it.
func (c *conn) exchangeAlone(messages []byte, answer func(typ byte, payload []byte) error) error {
	var refused error
	c.wire.Exchange(wire.Exchange{
		Next: func(b []byte) ([]byte, bool) {
			n := 0
			for n < len(messages) && n < exchangePiece {
				n += 1 + int(binary.BigEndian.Uint32(messages[n+1:]))
			}
			b = append(b, messages[:n]...)
			messages = messages[n:]
			return b, len(messages) > 0
		},
		Handle: func(typ byte, payload []byte) error {
			switch typ {
			case wire.ReadyForQuery:
				return nil
			case wire.ErrorResponse:
				e, err := wire.ParseError(payload)
				if err == nil {
					refused = pqError(e)
				}
				return err
			}
			return answer(typ, payload)
		},
	})
	err := c.simple("-- psyco: a pipeline")
	unanswered := c.wire.ExchangeDone()
	return cmp.Or(err, unanswered, refused)
}

// plan is a statement that was prepared for pipelines. Its Parse is psyco's
// own, because a pipeline must know the types of the parameters to encode them,
// and lib/pq keeps those to itself.
type plan struct {
	statement          // without arguments
	name      string   // without the connection's prefix
	server    string   // the server's name for it
	params    []uint32 // the types of the parameters, as the server sees them
	split     []int    // see statement.splitUp
	ready     bool
	renewals  int                     // conn.renewals when it was prepared
	entry     *stmtcache.Entry[*plan] // nil for one that is not in the cache
}

// fits reports whether the plan can run st, which has the same text. NULL is of
// any type.
func (pl *plan) fits(st *statement) bool {
	if len(pl.types) != len(st.types) {
		return false
	}
	for i, t := range st.types {
		if st.args[i].Value == nil {
			continue
		}
		if pl.types[i] != t || t == 0 && pl.fallback[i] != st.fallback[i] {
			return false
		}
	}
	return true
}

// key is what the plan is found by in the cache, together with its text.
func (pl *plan) key() []uint32 { return slices.Concat(pl.types, pl.fallback) }

// planner finds and makes the plans of one operation. New ones stay out of the
// cache until its end, so that none evicts another that is in use.
type planner struct {
	c         *conn
	all       []*plan
	bySQL     map[string][]*plan
	last      *plan
	forgotten int  // c.forgotten at the start
	mayCommit bool // a statement among them can end the transaction it runs in
	apart     bool // the last error is not that of one of the statements
	hidden    bool // a statement among them may change what names mean without telling
}

func newPlanner(c *conn) planner {
	return planner{c: c, bySQL: make(map[string][]*plan), forgotten: c.forgotten}
}

// find returns a plan for st, which may have to be prepared, or nil if st has no
// arguments: then its text goes with the pipeline.
func (p *planner) find(st *statement) *plan {
	if len(st.args) == 0 {
		p.mayCommit = p.mayCommit || sqllex.MayCommit(st.sql)
		p.hidden = p.hidden || sqllex.Redefines(st.sql)
		return nil
	}
	p.hidden = p.hidden || st.redefines
	if p.last != nil && p.last.sql == st.sql && p.last.fits(st) {
		return p.last
	}
	known := p.bySQL[st.sql]
	i := slices.IndexFunc(known, func(pl *plan) bool { return pl.fits(st) })
	if i >= 0 {
		p.last = known[i]
		return p.last
	}
	p.mayCommit = p.mayCommit || sqllex.MayCommit(st.sql)
	types, fallback := slices.Clone(st.types), slices.Clone(st.fallback)
	adopt(types, fallback, st, known)
	pl := &plan{statement: statement{sql: st.sql, types: types, fallback: fallback}}
	if e := p.cached(pl); e != nil && e.Ready {
		pl = e.Stmt
		p.c.stats.CacheHits++
	} else {
		p.c.stats.CacheMisses++
	}
	p.all = append(p.all, pl)
	p.bySQL[st.sql] = append(known, pl)
	p.last = pl
	return pl
}

// cached returns the entry of an earlier operation's plan that is like pl, or nil. One
// that may be on another server than the transaction at hand is not used: its absence
// would fail the transaction.
func (p *planner) cached(pl *plan) *stmtcache.Entry[*plan] {
	if p.c.mayMiss() {
		return nil
	}
	return p.c.plans.Find(pl.sql, pl.key())
}

// adopt gives the NULLs of st the types that other rows have in their place, so
// that not each pattern of NULLs needs a plan of its own.
func adopt(types, fallback []uint32, st *statement, known []*plan) {
	for i := range types {
		if types[i] != 0 || st.args[i].Value != nil {
			continue
		}
		for _, pl := range known {
			if i < len(pl.types) && pl.types[i] != 0 {
				types[i] = pl.types[i]
				fallback[i] = pl.types[i]
				break
			}
		}
	}
}

// maxKeptPlan is how long the text of a plan may be that is kept for the next
// operation; longer ones are lists of values that hardly ever come again.
const maxKeptPlan = 16 << 10

// keep puts the new plans into the cache.
func (p *planner) keep() {
	c := p.c
	if c.lost != nil || p.forgotten != c.forgotten {
		return // the server has none of them any more
	}
	for _, pl := range p.all {
		if pl.entry != nil || !pl.ready {
			continue
		}
		if len(pl.sql) <= maxKeptPlan && pl.renewals == c.renewals {
			pl.sql = strings.Clone(pl.sql)
			if e := c.plans.Use(pl.sql, pl.key()); e != nil && !e.Ready {
				e.Stmt, e.Ready = pl, true
				pl.entry = e
				continue
			}
		}
		c.discard(pl.name)
	}
}

// prepare has the server parse all plans that are not ready yet, in one round
// trip as a rule. What the server cannot infer it is told, see conn.prepare. If
// it refuses a plan, that is returned with the error.
func (p *planner) prepare(ctx context.Context) (refused *plan, err error) {
	return p.prepareSome(ctx, p.all)
}

// outdate has a plan prepared again.
func (p *planner) outdate(pl *plan) {
	if pl.entry == nil {
		p.c.wire.PrefixClose(pl.name)
	}
	pl.ready, pl.entry = false, nil // that of the cache was closed by renew
}

// prepareSome is prepare for some plans; those that are nil need none.
func (p *planner) prepareSome(ctx context.Context, plans []*plan) (refused *plan, err error) {
	var todo []*plan
	for _, pl := range plans {
		if pl != nil && pl.ready && pl.renewals != p.c.renewals {
			p.outdate(pl)
		}
		if pl != nil && !pl.ready && !slices.Contains(todo, pl) {
			todo = append(todo, pl)
		}
	}
	if len(todo) == 0 {
		return nil, nil
	}
	k := p.c.watch(ctx)
	refused, err = p.c.preparePlans(todo)
	p.apart = err != nil && refused == nil
	return refused, p.c.finish(k, err)
}

func (c *conn) preparePlans(todo []*plan) (refused *plan, err error) {
	var s search // of todo[0], if that was refused before
	var guard parseGuard
	defer func() {
		if err == nil {
			guard.release()
		}
	}()
	for len(todo) > 0 {
		searches := make([]search, len(todo))
		unknown := false
		for i, pl := range todo {
			searches[i] = c.search(&pl.statement)
			unknown = unknown || !searches[i].known
		}
		if s.st != nil {
			searches[0] = s
		}
		if guard.c == nil {
			guard = c.guardParse(unknown)
		}
		done, refused, err := c.describe(todo, searches)
		if done > 0 {
			s = search{}
		}
		if err != nil {
			if refused == nil || pq.As(err) == nil {
				return refused, err
			}
			s = searches[done]
			if !s.retry(err) {
				return refused, s.error(err)
			}
			if err := guard.undo(); err != nil {
				return nil, err
			}
		}
		for i, pl := range todo[:done] {
			if err := c.acceptPlan(pl, &searches[i], guard); err != nil {
				return nil, err
			}
		}
		todo = todo[done:]
	}
	return nil, nil
}

// acceptPlan notes that a plan is ready. One that has a list for a single value is
// prepared once more, if that is possible.
func (c *conn) acceptPlan(pl *plan, s *search, guard parseGuard) error {
	misread, found := *pl, *s
	if s.retryRead(pl.params) {
		_, _, err := c.describe([]*plan{pl}, []search{*s})
		switch {
		case err == nil:
			c.wire.PrefixClose(misread.name)
		case pq.As(err) == nil:
			return err // of the connection
		default:
			if err := guard.undo(); err != nil {
				return err
			}
			*pl, *s = misread, found
		}
	}
	pl.split = s.split
	s.accepted()
	return nil
}

// describe sends Parse and Describe for plans, with the types of their searches, and
// returns how many of them are ready, and which one the error is about, if it is about
// one.
func (c *conn) describe(plans []*plan, searches []search) (done int, refused *plan, err error) {
	var messages []byte
	for i, pl := range plans {
		if err := checkNUL(pl.sql); err != nil {
			return 0, pl, err
		}
		c.planNames++
		pl.name = fmt.Sprintf("p%d", c.planNames)
		pl.server = c.wire.StatementName(pl.name)
		if messages, err = wire.AppendParse(messages, pl.server, searches[i].st.sql, searches[i].types); err != nil {
			return 0, pl, err
		}
		messages = wire.AppendDescribe(messages, 'S', pl.server)
	}
	riders := len(c.queue) > 0
	err = c.exchange(messages, func(typ byte, payload []byte) (err error) {
		if done == len(plans) {
			return fmt.Errorf("psyco: %w: message %q after the last description", wire.ErrProtocol, typ)
		}
		switch typ {
		case wire.ParameterDescription:
			plans[done].params, err = wire.ParseParameterDescription(nil, payload)
		case wire.RowDescription, wire.NoData:
			plans[done].ready, plans[done].renewals = true, c.renewals
			c.stats.Prepared++
			done++
		}
		return err
	})
	if done < len(plans) && pq.As(err) != nil && c.lost == nil && !(riders && c.wire.PrefixOutcome().Failed) {
		refused = plans[done]
	}
	return done, refused, err
}

// A RowError says which rows an error of [ExecMany] or [ExecValues] is about. The
// *pq.Error of the server, if it is the server's, is in its chain.
type RowError struct {
	Row  int // the first one, counted from 1
	Rows int // how many; more than 1 only if ExecValues sent them as one statement
	Err  error
}

func (e *RowError) Error() string {
	where := fmt.Sprintf("row %d", e.Row)
	if e.Rows > 1 {
		where = fmt.Sprintf("rows %d to %d", e.Row, e.Row+e.Rows-1)
	}
	return "psyco: " + where + ": " + strings.TrimPrefix(e.Err.Error(), "psyco: ")
}

func (e *RowError) Unwrap() error { return e.Err }

// rowSource reads rows of arguments, a chunk at a time, and one row ahead: it
// must be known whether a chunk is the last.
type rowSource struct {
	next func() ([]any, error, bool)
	stop func()

	ahead []any // the row after the chunk
	more  bool  // there is one
	first int   // how many rows came before the chunk

	values []any // of the chunk, row after row
	ends   []int // of each row in values
	args   []driver.NamedValue
}

const (
	chunkRows  = 4096
	chunkBytes = 1 << 20 // of strings and bytes
)

// newRowSource begins to read rows.
func newRowSource(rows iter.Seq2[[]any, error]) (*rowSource, error) {
	s := &rowSource{}
	s.next, s.stop = iter.Pull2(rows)
	if err := s.advance(0); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *rowSource) advance(row int) (err error) {
	s.ahead, err, s.more = s.next()
	if err != nil && s.more {
		return &RowError{Row: row + 1, Rows: 1, Err: err}
	}
	return nil
}

// fill reads the next chunk: at most limit rows.
func (s *rowSource) fill(limit int) error {
	s.first += len(s.ends)
	s.values, s.ends = s.values[:0], s.ends[:0]
	size := 0
	for s.more && len(s.ends) < limit && size < chunkBytes {
		for _, v := range s.ahead {
			switch x := v.(type) {
			case string:
				size += len(x)
			case []byte: // the iterator may use it again
				size += len(x)
				v = bytes.Clone(x)
			case sql.RawBytes:
				size += len(x)
				v = []byte(bytes.Clone(x))
			}
			s.values = append(s.values, v)
		}
		s.ends = append(s.ends, len(s.values))
		if err := s.advance(s.first + len(s.ends)); err != nil {
			return err
		}
	}
	return nil
}

func (s *rowSource) len() int { return len(s.ends) }

// row returns the values of a row of the chunk.
func (s *rowSource) row(i int) []any {
	start := 0
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.values[start:s.ends[i]]
}

// arguments returns the row's values as database/sql would pass them. They are
// valid until the next call.
func (s *rowSource) arguments(i int) []driver.NamedValue {
	s.args = numbered(s.args[:0], s.row(i))
	return s.args
}

// error says that err is about rows of the chunk.
func (s *rowSource) error(i, n int, err error) error {
	return &RowError{Row: s.first + i + 1, Rows: n, Err: err}
}
