package wire

import (
	"encoding/binary"
	"sync"
)

// phase is how far the conversation is: what the server was asked and has not
// answered. Each of its messages must be what may come next (libpq: conn->asyncStatus
// and the command queue). It is a value, so that one can look ahead with a copy.
type phase struct {
	authenticated bool // AuthenticationOk has come
	negotiated    bool // NegotiateProtocolVersion has come
	keyed         bool // BackendKeyData has come
	ready         bool // the first ReadyForQuery has come

	asked   []want // what waits for its answer; during an exchange there may be more in the queue
	part    part   // how far the answer to the first of them is
	done    bool   // of a Query, a statement is complete
	failed  bool   // there was an ErrorResponse: what was asked up to ReadyForQuery is skipped
	rows    bool   // a DataRow may be next
	columns int    // of the rows that may come, or unknown, or none
	given   int    // the same, for rows that the server does not describe
	riding  int    // outcomes of what rides in front, whose rows may have any number of columns
}

// want is an answer that is waited for, named like the message that completes it.
type want byte

const (
	wantParsed  want = ParseComplete
	wantBound   want = BindComplete
	wantClosed  want = CloseComplete
	wantParams  want = ParameterDescription
	wantColumns want = RowDescription // or NoData
	wantOutcome want = CommandComplete
	wantReady   want = ReadyForQuery
	wantQuery   want = frontQuery // any number of outcomes, and ReadyForQuery
)

// part is the state of an outcome.
type part uint8

const (
	partStart   part = iota
	partRows         // described by the answer to a Query
	partCopyOut      // data comes
	partCopied       // the data is complete
	partCopyIn       // the server takes data
)

// Special numbers of columns.
const (
	// ColumnsUnknown is for rows that may have any number of them.
	ColumnsUnknown = -1
	columnsNone    = -2 // there can be no rows
)

// queue holds what the goroutine of an exchange has asked, for the one that reads.
type queue struct {
	mu    sync.Mutex
	asked []want
	spare []want // so that asking allocates nothing
	room  []want // the same, for phase.asked outside of exchanges
}

// add notes what a packet asks for, before it is sent.
func (q *queue) add(packet []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = appendWants(q.asked, packet)
}

// expect is add for the goroutine that also reads. The packet is head and tail, and
// may be cut in between, but not inside of what is looked at.
func (c *Conn) expect(head, tail []byte) {
	p := &c.phase
	if len(p.asked) > 0 {
		p.asked = appendWants(p.asked, head, tail)
		return
	}
	c.asked.room = appendWants(c.asked.room[:0], head, tail)
	p.asked = c.asked.room
}

// appendWants appends what the messages of a packet ask for.
func appendWants(asked []want, parts ...[]byte) []want {
	skip := 0 // bytes of a message that began in the first part
	for _, b := range parts {
		i := skip
		for ; len(b)-i >= headerSize; i += 1 + int(binary.BigEndian.Uint32(b[i+1:])) {
			switch b[i] {
			case frontParse:
				asked = append(asked, wantParsed)
			case frontBind:
				asked = append(asked, wantBound)
			case frontClose:
				asked = append(asked, wantClosed)
			case frontDescribe:
				if len(b)-i > headerSize && b[i+headerSize] == 'S' {
					asked = append(asked, wantParams)
				}
				asked = append(asked, wantColumns)
			case frontExecute:
				asked = append(asked, wantOutcome)
			case frontSync:
				asked = append(asked, wantReady)
			case frontQuery:
				asked = append(asked, wantQuery)
			}
		}
		skip = max(i-len(b), 0)
	}
	return asked
}

// forget drops what was asked in a packet that was not sent, and all before it.
func (c *Conn) forget() {
	c.asked.mu.Lock()
	defer c.asked.mu.Unlock()
	c.asked.asked = c.asked.asked[:0]
	c.phase.restart()
}

// restart is for a conversation in which nothing is waited for.
func (p *phase) restart() {
	p.asked, p.part, p.done, p.failed, p.rows, p.columns, p.riding = p.asked[:0], partStart, false, false, false, ColumnsUnknown, 0
}

// load makes sure that the next want is at hand, if there is one.
func (c *Conn) load() {
	p, q := &c.phase, &c.asked
	if len(p.asked) > 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	p.asked, q.asked, q.spare = q.asked, q.spare[:0], q.asked
}

// skipAsked drops what the server has skipped after an error.
func (c *Conn) skipAsked() {
	p := &c.phase
	for w := p.await(); w != 0 && w != wantReady && w != wantQuery; w = p.await() {
		p.asked = p.asked[1:]
		c.load()
	}
}

// mayCome reports whether a message may come now of which only the header is there.
func (c *Conn) mayCome(typ byte) bool {
	c.load()
	ahead := c.phase
	return typ == ReadyForQuery || ahead.step(typ, nil)
}

// await returns what is waited for first, 0 for nothing.
func (p *phase) await() want {
	if len(p.asked) > 0 {
		return p.asked[0]
	}
	return 0
}

// answered is called when what was waited for has come.
func (p *phase) answered() {
	p.asked, p.part, p.done, p.rows = p.asked[1:], partStart, false, false
	if len(p.asked) > 0 {
		p.rows = p.asked[0] == wantOutcome && p.width() != columnsNone
	}
}

// width is the number of columns of rows that may come.
func (p *phase) width() int {
	switch {
	case p.columns != ColumnsUnknown:
		return p.columns
	case p.riding > 0:
		return ColumnsUnknown
	}
	return p.given
}

// step goes on by one message and reports whether it may come now. payload, which
// check has found to be right, may be nil to ask only.
func (p *phase) step(typ byte, payload []byte) bool {
	if !p.ready {
		return p.startup(typ, payload)
	}
	if asynchronous(typ) {
		return true
	}
	switch typ {
	case ErrorResponse:
		p.failed, p.rows = true, false
		return true
	case ReadyForQuery:
		return p.synced()
	}
	if p.failed {
		return false
	}
	switch w := p.await(); w {
	case wantParsed, wantBound, wantClosed, wantParams:
		if typ != byte(w) {
			return false
		}
		p.answered()
	case wantColumns:
		switch typ {
		case RowDescription:
			p.columns = countOf(payload)
		case NoData:
			p.columns = columnsNone
		default:
			return false
		}
		p.answered()
	case wantOutcome, wantQuery:
		return p.outcome(w, typ, payload)
	default:
		return false
	}
	return true
}

// synced is step for ReadyForQuery.
func (p *phase) synced() bool {
	w := p.await()
	if w != wantReady && (w != wantQuery || !p.failed && (!p.done || p.part != partStart)) {
		return false
	}
	p.answered()
	p.failed, p.columns, p.rows, p.riding = false, ColumnsUnknown, false, 0
	return true
}

// outcome is step for what the server says of an Execute or a Query.
func (p *phase) outcome(w want, typ byte, payload []byte) bool {
	switch p.part {
	case partStart, partRows:
		switch {
		case typ == DataRow:
			return p.part == partRows || w == wantOutcome && p.width() != columnsNone
		case typ == CommandComplete:
		case typ == PortalSuspended && w == wantOutcome:
		case p.part == partRows:
			return false
		case typ == EmptyQueryResponse && (w == wantQuery || p.width() <= 0):
		case typ == RowDescription && w == wantQuery:
			p.part, p.rows, p.columns = partRows, true, countOf(payload)
			return true
		case typ == CopyOutResponse:
			p.part, p.rows = partCopyOut, false
			return true
		case typ == backCopyInResponse:
			p.part, p.rows = partCopyIn, false
			return true
		default:
			return false
		}
	case partCopyOut:
		if typ == msgCopyDone {
			p.part = partCopied
			return true
		}
		return typ == msgCopyData
	default: // partCopied, partCopyIn
		if typ != CommandComplete || payload != nil && !hasPrefix(payload, "COPY") {
			return false // or it is the next statement's
		}
	}
	p.columns = ColumnsUnknown
	if w == wantQuery {
		p.part, p.rows, p.done = partStart, false, true
		return true
	}
	p.riding = max(p.riding-1, 0)
	p.answered()
	return true
}

// startup is step up to the first ReadyForQuery. There is no session before the
// server has said AuthenticationOk (libpq: PQconnectPoll).
func (p *phase) startup(typ byte, payload []byte) bool {
	switch typ {
	case ErrorResponse:
	case backAuthentication:
		if p.authenticated {
			return false
		}
		p.authenticated = len(payload) >= 4 && binary.BigEndian.Uint32(payload) == 0
	case backNegotiate:
		if p.authenticated || p.negotiated {
			return false
		}
		p.negotiated = payload != nil
	case backKeyData:
		if !p.authenticated || p.keyed {
			return false
		}
		p.keyed = payload != nil
	case backParameterStatus, backNotice, backNotification:
		return p.authenticated
	case ReadyForQuery:
		if !p.authenticated {
			return false
		}
		p.ready = payload != nil
	default:
		return false
	}
	return true
}

// countOf returns the count that a message begins with.
func countOf(payload []byte) int {
	if len(payload) < 2 {
		return ColumnsUnknown
	}
	return int(binary.BigEndian.Uint16(payload))
}

// outOfTurn is the error for a message that step does not allow.
func (c *Conn) outOfTurn(typ byte) *protocolError {
	p := &c.phase
	switch {
	case !known(typ):
		return protocolErrorf("the server sent a message of type %q, which the protocol does not know", typ)
	case !p.ready && !p.authenticated:
		return protocolErrorf("the server sent a message %q before it has authenticated the session", typ)
	case !p.ready:
		return protocolErrorf("the server sent a message %q while the session starts", typ)
	case p.failed:
		return protocolErrorf("the server sent a message %q between an error and the end of its answer", typ)
	case p.await() == 0:
		return protocolErrorf("the server sent a message %q that nothing was asked for", typ)
	case p.await() == wantOutcome || p.await() == wantQuery:
		return protocolErrorf("the server sent a message %q that cannot be in this place of a statement's answer", typ)
	}
	return protocolErrorf("the server sent a message %q where %q belongs", typ, byte(p.await()))
}

// statementColumns remembers how many columns the statements give that lib/pq has
// prepared: it executes them without having that described again.
type statementColumns struct {
	of      map[string]int
	name    string // what is being described
	waiting bool   // for the description
}

// described takes the number of columns of a description.
func (s *statementColumns) described(n int) {
	if s.waiting {
		s.waiting = false
		if s.of == nil {
			s.of = make(map[string]int)
		}
		s.of[s.name] = n
	}
}

// follow looks at a packet of lib/pq. It returns what is known of the rows of the
// statement that it executes.
func (s *statementColumns) follow(p []byte) int {
	width := ColumnsUnknown
	for i := 0; len(p)-i > headerSize; {
		typ, end, err := frameAt(p, i)
		if err != nil {
			return width
		}
		body := p[i+headerSize : end]
		switch {
		case typ == frontDescribe && len(body) > 0 && body[0] == 'S':
			name, _, _ := cutString(body[1:])
			s.name, s.waiting = string(name), true
		case typ == frontClose && len(body) > 0 && body[0] == 'S':
			name, _, _ := cutString(body[1:])
			delete(s.of, string(name))
		case typ == frontBind:
			_, rest, _ := cutString(body)
			name, _, _ := cutString(rest)
			if n, ok := s.of[string(name)]; ok {
				width = n
			}
		}
		i = end
	}
	return width
}
