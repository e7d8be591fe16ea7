package psyco

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/stmtcache"
	"github.com/psyco-go/psyco/internal/wire"
)

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
		if pl.types[i] != t || t == 0 && pl.open[i] != st.open[i] {
			return false
		}
	}
	return true
}

// key is what the plan is found by in the cache, together with its text.
func (pl *plan) key() []uint32 { return slices.Concat(pl.types, pl.open) }

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
		p.mayCommit = p.mayCommit || mayCommit(st.sql)
		p.hidden = p.hidden || redefines(st.sql)
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
	p.mayCommit = p.mayCommit || mayCommit(st.sql)
	types, open := slices.Clone(st.types), slices.Clone(st.open)
	adopt(types, open, st, known)
	pl := &plan{statement: statement{sql: st.sql, types: types, open: open}}
	if e := p.c.plans.Find(st.sql, pl.key()); e != nil && e.Ready {
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

// adopt gives the NULLs of st the types that other rows have in their place, so
// that not each pattern of NULLs needs a plan of its own.
func adopt(types, open []uint32, st *statement, known []*plan) {
	for i := range types {
		if types[i] != 0 || st.args[i].Value != nil {
			continue
		}
		for _, pl := range known {
			if i < len(pl.types) && pl.types[i] != 0 {
				types[i] = pl.types[i]
				open[i] = pl.types[i]
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
		c.wire.PrefixClose(pl.name)
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
	if done < len(plans) && pq.As(err) != nil && !(riders && c.wire.PrefixOutcome().Failed) {
		refused = plans[done]
	}
	return done, refused, err
}
