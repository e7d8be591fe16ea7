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
	ready     bool
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
}

func newPlanner(c *conn) planner {
	return planner{c: c, bySQL: make(map[string][]*plan), forgotten: c.forgotten}
}

// find returns a plan for st, which may have to be prepared, or nil if st has no
// arguments: then its text goes with the pipeline.
func (p *planner) find(st *statement) *plan {
	if len(st.args) == 0 {
		p.mayCommit = p.mayCommit || mayCommit(st.sql)
		return nil
	}
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
		if len(pl.sql) <= maxKeptPlan {
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

// prepareSome is prepare for some plans; those that are nil need none.
func (p *planner) prepareSome(ctx context.Context, plans []*plan) (refused *plan, err error) {
	var todo []*plan
	for _, pl := range plans {
		if pl != nil && !pl.ready && !slices.Contains(todo, pl) {
			todo = append(todo, pl)
		}
	}
	if len(todo) == 0 {
		return nil, nil
	}
	k := p.c.watch(ctx)
	refused, err = p.c.preparePlans(todo)
	return refused, p.c.finish(k, err)
}

func (c *conn) preparePlans(todo []*plan) (refused *plan, err error) {
	var first error    // of todo[0], before the types for its fallback were tried
	var trial []uint32 // those types
	unknown := func(pl *plan) bool {
		_, known := c.con.inference.lookup(&pl.statement)
		return !known
	}
	for len(todo) > 0 {
		guard := c.guardParse(slices.ContainsFunc(todo, unknown))
		done, err := c.describe(todo, trial)
		if done > 0 {
			first, trial = nil, nil
			todo = todo[done:]
		}
		if err == nil {
			guard.release()
			continue
		}
		if len(todo) == 0 || pq.As(err) == nil {
			return nil, err // of the connection
		}
		if first != nil {
			return todo[0], first // about the query as the user wrote it
		}
		if trial = c.fallback(&todo[0].statement, !unknown(todo[0]), err); trial == nil {
			return todo[0], err
		}
		first = err
		if err := guard.undo(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// describe sends Parse and Describe for plans and returns how many of them are
// ready. trial, if not nil, are the types to declare for the first.
func (c *conn) describe(plans []*plan, trial []uint32) (done int, err error) {
	var messages []byte
	declared := make([][]uint32, len(plans))
	for i, pl := range plans {
		if err := checkNUL(pl.sql); err != nil {
			return 0, err
		}
		declared[i], _ = c.con.inference.lookup(&pl.statement)
		if i == 0 && trial != nil {
			declared[i] = trial
		}
		c.planNames++
		pl.name = fmt.Sprintf("p%d", c.planNames)
		pl.server = c.wire.StatementName(pl.name)
		if messages, err = wire.AppendParse(messages, pl.server, pl.sql, declared[i]); err != nil {
			return 0, err
		}
		messages = wire.AppendDescribe(messages, 'S', pl.server)
	}
	err = c.exchange(messages, func(typ byte, payload []byte) (err error) {
		switch typ {
		case wire.ParameterDescription:
			plans[done].params, err = wire.ParseParameterDescription(nil, payload)
		case wire.RowDescription, wire.NoData:
			pl := plans[done]
			pl.ready = true
			if len(pl.open) > 0 {
				c.con.inference.store(&pl.statement, declared[done])
			}
			c.stats.Prepared++
			done++
		}
		return err
	})
	return done, err
}
