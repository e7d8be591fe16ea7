package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/psyco-go/psyco"
)

// Limits of what is read and shown of an answer.
const (
	bytesLimit    = 32 << 20
	messagesLimit = 200
	textLimit     = 400
)

// message is one of the protocol, as the page shows it.
type message struct {
	Out   bool   `json:"out"` // to the server
	Name  string `json:"name"`
	Text  string `json:"text"`
	Bytes int    `json:"bytes"`
	Count int    `json:"count"` // of rows that follow one another
	Trip  int    `json:"trip"`  // the round trip that it belongs to, from 1
}

// step is what psyco did for the program: BEGIN, the query.
type step struct {
	Name       string  `json:"name"`
	RoundTrips uint64  `json:"roundTrips"`
	CacheHit   bool    `json:"cacheHit"`
	Millis     float64 `json:"ms"`
}

// recording is what went over the wire for one query.
type recording struct {
	messages []message
	hidden   int // messages beyond the limit
	bytes    int
	tag      string   // what the server says it did: SELECT 2
	sql      string   // the text that the server ran
	declared []uint32 // the types that psyco declared for its parameters; 0 leaves one to the server
	values   []parameter
	bound    bool // it was sent with Bind
	paused   bool
	steps    []step
}

// parameter is a value as it was sent.
type parameter struct {
	Text   string `json:"text"`
	Null   bool   `json:"null"`
	Binary bool   `json:"binary"`
}

// recorder listens to all connections of a connector, and to what psyco says of its operations.
type recorder struct {
	mu  sync.Mutex
	now *recording // nil: nothing is recorded, such as logging in
}

// start begins a recording; stop ends it.
func (r *recorder) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = new(recording)
}

// pause ends what is recorded; what the recording has stays until stop.
func (r *recorder) pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.paused = true
}

func (r *recorder) stop() *recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := r.now
	r.now = nil
	return done
}

// TraceStart is half of psyco.Tracer.
func (r *recorder) TraceStart(ctx context.Context, _ *psyco.Trace) context.Context { return ctx }

// TraceEnd is the other half.
func (r *recorder) TraceEnd(_ context.Context, t *psyco.Trace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != nil && !r.now.paused {
		r.now.steps = append(r.now.steps, step{t.Operation(), t.RoundTrips, t.CacheHit, t.Duration.Seconds() * 1000})
	}
}

// dial is a psyco.DialFunc.
func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &tap{Conn: c, recorder: r, out: stream{started: false}, in: stream{started: true}, prepared: map[string]prepared{}}, nil
}

// tap is a connection that shows its messages to a recorder.
type tap struct {
	net.Conn
	recorder *recorder
	out, in  stream
	prepared map[string]prepared
}

// prepared is a statement that the server keeps.
type prepared struct {
	sql      string
	declared []uint32
}

// stream is one direction of a connection.
type stream struct {
	started bool // messages have types: all but the client's first one do
	rest    []byte
}

func (t *tap) Write(b []byte) (int, error) {
	if err := t.hear(&t.out, b); err != nil {
		return 0, err
	}
	return t.Conn.Write(b)
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if tooLarge := t.hear(&t.in, b[:n]); tooLarge != nil {
		return 0, tooLarge
	}
	return n, err
}

// hear takes the messages out of what was sent or received.
func (t *tap) hear(s *stream, b []byte) error {
	t.recorder.mu.Lock()
	defer t.recorder.mu.Unlock()
	if now := t.recorder.now; now != nil {
		if now.bytes += len(b); now.bytes > bytesLimit {
			t.Conn.Close()
			return fmt.Errorf("the playground reads no more than %d MiB of an answer", bytesLimit>>20)
		}
	}
	s.rest = append(s.rest, b...)
	for {
		head := 4
		if s.started {
			head = 5
		}
		if len(s.rest) < head {
			return nil
		}
		size := head - 4 + int(binary.BigEndian.Uint32(s.rest[head-4:]))
		if len(s.rest) < size || size < head {
			return nil
		}
		if s.started {
			t.note(s == &t.out, s.rest[0], body(s.rest[head:size]), size)
		}
		s.started = true
		s.rest = s.rest[size:]
	}
}

// note adds a message to the recording. The mutex is held.
func (t *tap) note(out bool, kind byte, b body, size int) {
	r := t.recorder.now
	if r != nil && r.paused {
		r = nil
	}
	m := message{Out: out, Bytes: size, Count: 1}
	if out {
		m.Name, m.Text = t.sent(r, kind, b)
	} else {
		m.Name, m.Text = received(r, kind, b)
	}
	if r == nil {
		return
	}
	m.Trip = 1
	if n := len(r.messages); n > 0 {
		last := &r.messages[n-1]
		if m.Trip = last.Trip; out && !last.Out {
			m.Trip++
		}
		if m.Name == "DataRow" && last.Name == m.Name {
			last.Count++
			last.Bytes += size
			return
		}
		if n >= messagesLimit {
			r.hidden++
			return
		}
	}
	r.messages = append(r.messages, m)
}

// sent describes a message of the client.
func (t *tap) sent(r *recording, kind byte, b body) (name, text string) {
	if r == nil {
		r = new(recording) // prepared statements are remembered all the same
	}
	switch kind {
	case 'Q':
		r.sql, r.declared, r.values, r.bound = b.string(), nil, nil, false
		return "Query", short(r.sql)
	case 'P':
		statement := b.string()
		p := prepared{sql: b.string()}
		for range b.int16() {
			p.declared = append(p.declared, uint32(b.int32()))
		}
		t.prepared[statement] = p
		return "Parse", named(statement) + short(p.sql)
	case 'B':
		b.string() // the portal
		statement := b.string()
		p := t.prepared[statement]
		r.sql, r.declared, r.values, r.bound = p.sql, p.declared, b.parameters(p.declared), true
		texts := make([]string, len(r.values))
		for i, v := range r.values {
			texts[i] = fmt.Sprintf("$%d = %s", i+1, v)
		}
		return "Bind", named(statement) + strings.Join(texts, ", ")
	case 'D':
		what := b.byte()
		return "Describe", strings.TrimSpace(map[byte]string{'S': "statement ", 'P': "portal "}[what] + b.string())
	case 'E':
		return "Execute", b.string()
	case 'C':
		what := b.byte()
		return "Close", strings.TrimSpace(map[byte]string{'S': "statement ", 'P': "portal "}[what] + b.string())
	case 'S':
		return "Sync", ""
	case 'H':
		return "Flush", ""
	case 'X':
		return "Terminate", ""
	case 'd':
		return "CopyData", short(string(b))
	case 'c':
		return "CopyDone", ""
	case 'f':
		return "CopyFail", b.string()
	}
	return "message " + strconv.QuoteRune(rune(kind)), ""
}

// received describes a message of the server.
func received(r *recording, kind byte, b body) (name, text string) {
	switch kind {
	case '1':
		return "ParseComplete", ""
	case '2':
		return "BindComplete", ""
	case '3':
		return "CloseComplete", ""
	case 'T':
		names := make([]string, 0, 8)
		for range b.int16() {
			names = append(names, b.string())
			b.skip(18)
		}
		return "RowDescription", short(strings.Join(names, ", "))
	case 'D':
		values := make([]string, 0, 8)
		for range b.int16() {
			values = append(values, b.value(false, 0).String())
		}
		return "DataRow", short(strings.Join(values, ", "))
	case 'C':
		tag := b.string()
		if r != nil {
			r.tag = tag
		}
		return "CommandComplete", tag
	case 'Z':
		return "ReadyForQuery", map[byte]string{'I': "idle", 'T': "in a transaction", 'E': "in a failed transaction"}[b.byte()]
	case 'E', 'N':
		var code, text string
		for field := b.byte(); field != 0; field = b.byte() {
			switch value := b.string(); field {
			case 'C':
				code = value
			case 'M':
				text = value
			}
		}
		return map[byte]string{'E': "ErrorResponse", 'N': "NoticeResponse"}[kind], short(code + " " + text)
	case 't':
		return "ParameterDescription", ""
	case 'n':
		return "NoData", ""
	case 's':
		return "PortalSuspended", ""
	case 'I':
		return "EmptyQueryResponse", ""
	case 'S':
		return "ParameterStatus", b.string() + " = " + b.string()
	case 'A':
		return "NotificationResponse", ""
	case 'G':
		return "CopyInResponse", ""
	case 'H':
		return "CopyOutResponse", ""
	case 'd':
		return "CopyData", short(string(b))
	case 'c':
		return "CopyDone", ""
	}
	return "message " + strconv.QuoteRune(rune(kind)), ""
}

// named shows the name of a statement or a portal.
func named(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}

// short is the beginning of a text, as one can read it.
func short(s string) string {
	cut := len(s) > textLimit
	if cut {
		s = s[:textLimit]
	}
	s = strings.ToValidUTF8(s, "·")
	if cut {
		s += "…"
	}
	return s
}

func (p parameter) String() string {
	switch {
	case p.Null:
		return "NULL"
	case p.Binary:
		return p.Text
	}
	return "'" + p.Text + "'"
}

// body is what is left of a message. What is missing at its end is 0.
type body []byte

func (b *body) skip(n int) []byte {
	n = max(0, min(n, len(*b)))
	skipped := (*b)[:n]
	*b = (*b)[n:]
	return skipped
}

func (b *body) byte() byte {
	if s := b.skip(1); len(s) == 1 {
		return s[0]
	}
	return 0
}

func (b *body) int16() int {
	return int(binary.BigEndian.Uint16(append(bytes.Clone(b.skip(2)), 0, 0)))
}

func (b *body) int32() int32 {
	return int32(binary.BigEndian.Uint32(append(bytes.Clone(b.skip(4)), 0, 0, 0, 0)))
}

func (b *body) string() string {
	n := bytes.IndexByte(*b, 0)
	if n < 0 {
		n = len(*b)
	}
	s := string(b.skip(n))
	b.skip(1)
	return s
}

// value reads a parameter or a column. The type tells how to show the binary form.
func (b *body) value(binaryForm bool, oid uint32) parameter {
	n := b.int32()
	if n < 0 {
		return parameter{Null: true}
	}
	raw := b.skip(int(n))
	if !binaryForm {
		return parameter{Text: short(string(raw))}
	}
	switch {
	case oid == 16 && len(raw) == 1: // bool
		return parameter{Text: strconv.FormatBool(raw[0] != 0), Binary: true}
	case oid == 21 && len(raw) == 2: // smallint
		return parameter{Text: fmt.Sprint(int16(binary.BigEndian.Uint16(raw))), Binary: true}
	case oid == 23 && len(raw) == 4: // integer
		return parameter{Text: fmt.Sprint(int32(binary.BigEndian.Uint32(raw))), Binary: true}
	case oid == 20 && len(raw) == 8: // bigint
		return parameter{Text: fmt.Sprint(int64(binary.BigEndian.Uint64(raw))), Binary: true}
	case oid == 701 && len(raw) == 8: // double precision
		return parameter{Text: fmt.Sprint(math.Float64frombits(binary.BigEndian.Uint64(raw))), Binary: true}
	}
	return parameter{Text: fmt.Sprintf("0x%x", raw[:min(len(raw), textLimit)]), Binary: true}
}

// parameters reads those of a Bind message for a statement with these types.
func (b *body) parameters(types []uint32) []parameter {
	formats := make([]bool, 0, 8)
	for range b.int16() {
		formats = append(formats, b.int16() == 1)
	}
	var list []parameter
	for i := range b.int16() {
		var oid uint32
		if i < len(types) {
			oid = types[i]
		}
		list = append(list, b.value(len(formats) == 1 && formats[0] || i < len(formats) && formats[i], oid))
	}
	return list
}
