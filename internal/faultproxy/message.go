package faultproxy

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Direction says which way bytes travel. Directions combine with |.
type Direction uint8

const (
	ToServer Direction = 1 << iota // from the client (frontend) to the server (backend)
	ToClient
	Both = ToServer | ToClient
)

func (d Direction) String() string {
	switch d {
	case ToServer:
		return "to server"
	case ToClient:
		return "to client"
	case Both:
		return "both ways"
	}
	return "nowhere"
}

// Types of what has no type byte of its own in the protocol. All other types
// are the protocol's ('Q', 'Z', …). Once a connection is encrypted, each TLS
// record counts as a message whose type is the record's content type.
const (
	StartupMessage  byte = 1
	SSLRequest      byte = 2
	GSSENCRequest   byte = 3
	CancelRequest   byte = 4
	EncryptAnswer   byte = 5 // the single byte that answers SSLRequest or GSSENCRequest
	TLSChangeCipher byte = 20
	TLSAlert        byte = 21
	TLSHandshake    byte = 22
	TLSData         byte = 23
)

// Message is one protocol message, or one TLS record, on its way through the
// proxy.
type Message struct {
	Dir  Direction
	Type byte
	Len  int    // bytes on the wire, header included
	Conn int    // the number of the connection, from 1 in the order of accepting
	Body []byte // at most peekLen bytes after the header; valid during the call only
}

// SQL is the statement text of a Query or Parse message, and "" for any other.
func (m Message) SQL() string {
	if m.Dir != ToServer {
		return ""
	}
	body := m.Body
	switch m.Type {
	case 'Q':
	case 'P':
		_, rest, found := bytes.Cut(body, []byte{0})
		if !found {
			return ""
		}
		body = rest
	default:
		return ""
	}
	text, _, _ := bytes.Cut(body, []byte{0})
	return string(text)
}

// peekLen is how much of a message is gathered before matches see it, so that
// they can look at statement texts and column values.
const peekLen = 4096

type phase uint8

const (
	startup phase = iota // packets without a type byte (client), or the answer to one (server)
	typed
	records // TLS
	opaque  // nothing known: GSS encryption, or not PostgreSQL at all
)

// framer finds the message boundaries of one direction by headers alone.
type framer struct {
	dir   Direction
	phase phase
	// asked holds how many SSLRequest and GSSENCRequest packets wait for their
	// one-byte answer. Both framers of a connection share it; the client's one
	// adds before its bytes are forwarded, so the server's one never misses it.
	asked *int
}

// next looks at the head of a message. ok is false while more bytes are
// needed; a message of length 0 means that the rest is opaque.
func (f *framer) next(b []byte) (m Message, ok bool) {
	if len(b) == 0 {
		return m, false
	}
	m.Dir = f.dir
	if f.phase == startup {
		if b[0] >= TLSChangeCipher && b[0] <= TLSData {
			f.phase = records
		} else if f.dir == ToClient {
			return f.firstAnswer(b)
		} else {
			return f.untyped(b)
		}
	}
	switch f.phase {
	case typed:
		return f.withHeader(b, 5, func() int { return 1 + int(int32(binary.BigEndian.Uint32(b[1:]))) })
	case records:
		return f.withHeader(b, 5, func() int { return 5 + int(binary.BigEndian.Uint16(b[3:])) })
	}
	return m, true
}

// withHeader is for messages that start with a type byte.
func (f *framer) withHeader(b []byte, header int, length func() int) (Message, bool) {
	m := Message{Dir: f.dir, Type: b[0]}
	if len(b) < header {
		return m, false
	}
	return f.finish(m, b, header, length())
}

// finish sets what is known of a message when its header is there.
func (f *framer) finish(m Message, b []byte, header, length int) (Message, bool) {
	if length < header {
		f.phase = opaque
		return Message{Dir: f.dir}, true
	}
	m.Len = length
	peek := min(length, peekLen)
	if len(b) < peek {
		return m, false
	}
	m.Body = b[header:peek]
	return m, true
}

// untyped frames what a client sends before the server knows it.
func (f *framer) untyped(b []byte) (Message, bool) {
	if len(b) < 8 {
		return Message{}, false
	}
	const (
		cancel = 1234<<16 | 5678
		ssl    = 1234<<16 | 5679
		gss    = 1234<<16 | 5680
	)
	m := Message{Dir: f.dir, Type: StartupMessage}
	length, code := int(int32(binary.BigEndian.Uint32(b))), binary.BigEndian.Uint32(b[4:])
	m, ok := f.finish(m, b, 8, length)
	if !ok || m.Len == 0 {
		return m, ok
	}
	switch {
	case code == cancel:
		m.Type = CancelRequest
	case code == ssl:
		m.Type = SSLRequest
		*f.asked++
	case code == gss:
		m.Type = GSSENCRequest
		*f.asked++
	case code>>16 == 3:
		f.phase = typed
	default:
		f.phase = opaque
		return Message{Dir: f.dir}, true
	}
	return m, true
}

// firstAnswer frames what a server says to the packets of untyped.
func (f *framer) firstAnswer(b []byte) (Message, bool) {
	if *f.asked > 0 && strings.IndexByte("SNG", b[0]) >= 0 {
		*f.asked--
		switch b[0] {
		case 'S':
			f.phase = records
		case 'G':
			f.phase = opaque
		}
		return Message{Dir: f.dir, Type: EncryptAnswer, Len: 1, Body: b[1:1]}, true
	}
	f.phase = typed
	return f.next(b)
}
