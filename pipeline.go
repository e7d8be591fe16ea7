package psyco

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
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
	p.apart = err != nil && (complete || p.riders > 0 && c.wire.PrefixOutcome().Failed)
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
	p.open = true
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
	row, err := decodeRow(p.cells, p.fields, p.c.location)
	set := &p.sets[len(p.sets)-1]
	switch {
	case set.err != nil:
	case err != nil:
		set.err = err // the statement has run all the same
	default:
		set.rows = append(set.rows, row)
	}
	return nil
}

// failed ends an operation's pipeline that met an error: it forgets plans that
// may be the reason, and reports whether the server refused one because it is
// outdated while nothing has been done that outlasts the error.
func (p *pipeline) failed(err error) (outdated bool) {
	// One that was prepared a moment ago is none of that.
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

// mayCommit reports whether a statement can end the transaction it runs in.
func mayCommit(sql string) bool { return !isQuery(sql) && !isDefinition(sql) }

func isQuery(sql string) bool {
	switch sqllex.Keyword(sql) {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "WITH", "TABLE":
		return true
	}
	return false
}

func isDefinition(sql string) bool {
	switch sqllex.Keyword(sql) {
	case "CREATE", "ALTER", "DROP", "TRUNCATE", "GRANT", "REVOKE", "COMMENT", "SET", "NOTIFY":
		return true
	}
	return false
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
	var refused error
	c.ride()
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
	err = cmp.Or(err, unanswered, refused)
	c.rode(err)
	return err
}
