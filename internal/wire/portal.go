package wire

// portal is an armed fetch.
type portal struct {
	name string // "": none is armed
	rows uint32
}

// FetchPortal arms a fetch: the next simple Query that lib/pq sends is replaced
// by a Describe and an Execute of a portal, for at most so many rows. A cursor is
// a portal, and unlike FETCH, for which the server first collects all rows that
// were asked for, Execute sends each as soon as it is there. To lib/pq the answer
// looks like that of a Query; statements of [Conn.Prefix] go in front. An empty
// name disarms.
func (c *Conn) FetchPortal(name string, rows uint32) {
	c.session.portal = portal{name, rows}
}

// PortalSuspended reports whether the last request was a fetch that ended at its
// number of rows, so that there may be more.
func (c *Conn) PortalSuspended() bool { return c.session.suspended }

// startFetch sends the armed fetch in place of the Query p.
func (c *Conn) startFetch(p []byte) (int, error) {
	f := c.session.portal
	c.session.portal = portal{}
	c.writer.extended = true
	b, err := c.appendPrefix(c.writer.scratch[:0])
	if err != nil {
		return 0, err
	}
	b = AppendDescribe(b, 'P', f.name)
	b = AppendExecute(b, f.name, f.rows)
	n, err := c.request(AppendSync(b), nil)
	if err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}

// suspend tells lib/pq, which never asks for a part of the rows, that the Query
// is complete.
func (c *Conn) suspend(total int) (verdict, error) {
	c.session.suspended = true
	b, start := Begin(nil, CommandComplete)
	b = appendString(b, "FETCH")
	endShort(b, start)
	return c.replace(total, b)
}
