package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The Append functions build messages of the frontend. Strings in them must not
// contain NUL bytes.

// Begin appends the header of a message; [End] completes it.
func Begin(b []byte, typ byte) (_ []byte, start int) {
	return append(b, typ, 0, 0, 0, 0), len(b)
}

// End writes the length of the message that [Begin] put at start. A message
// longer than 1 GiB, which no server accepts, is an error.
func End(b []byte, start int) ([]byte, error) {
	n := len(b) - start - 1
	if n > longLimit {
		return b[:start], fmt.Errorf("psyco: a message of %d bytes is longer than the protocol's limit of 1 GiB", n)
	}
	binary.BigEndian.PutUint32(b[start+1:], uint32(n))
	return b, nil
}

// endShort is End for messages that are known to be short.
func endShort(b []byte, start int) {
	binary.BigEndian.PutUint32(b[start+1:], uint32(len(b)-start-1))
}

func appendString(b []byte, s string) []byte { return append(append(b, s...), 0) }

func appendFormats(b []byte, formats []int16) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(formats)))
	for _, f := range formats {
		b = binary.BigEndian.AppendUint16(b, uint16(f))
	}
	return b
}

// AppendQuery appends a simple Query.
func AppendQuery(b []byte, sql string) ([]byte, error) {
	b, start := Begin(b, frontQuery)
	return End(appendString(b, sql), start)
}

// AppendParse appends a Parse with the types of its first parameters; 0 and
// missing ones are inferred by the server.
func AppendParse(b []byte, statement, sql string, types []uint32) ([]byte, error) {
	if len(types) > math.MaxUint16 {
		return b, tooMany(len(types))
	}
	b, start := Begin(b, frontParse)
	b = appendString(appendString(b, statement), sql)
	b = appendTypes(b, types)
	return End(b, start)
}

func appendTypes(b []byte, types []uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(types)))
	for _, t := range types {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return b
}

// BeginBind appends the head of a Bind to the unnamed portal, up to and without
// the parameter formats; [End] completes it.
func BeginBind(b []byte, statement string) (_ []byte, start int) {
	b, start = Begin(b, frontBind)
	return appendString(append(b, 0), statement), start
}

// AppendBind appends a Bind. A nil parameter is NULL. There are no formats (all
// text), one for all, or one each: 0 is text, 1 binary.
func AppendBind(b []byte, portal, statement string, formats []int16, params [][]byte, results []int16) ([]byte, error) {
	if n := max(len(params), len(formats), len(results)); n > math.MaxUint16 {
		return b, tooMany(n)
	}
	b, start := Begin(b, frontBind)
	b = appendString(appendString(b, portal), statement)
	b = appendFormats(b, formats)
	b = binary.BigEndian.AppendUint16(b, uint16(len(params)))
	for _, p := range params {
		if p == nil {
			b = binary.BigEndian.AppendUint32(b, math.MaxUint32)
			continue
		}
		if len(p) > longLimit {
			return b[:start], fmt.Errorf("psyco: a parameter of %d bytes is longer than the protocol's limit of 1 GiB", len(p))
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return End(appendFormats(b, results), start)
}

// AppendDescribe appends a Describe of a statement ('S') or portal ('P').
func AppendDescribe(b []byte, kind byte, name string) []byte {
	return appendNamed(b, frontDescribe, kind, name)
}

// AppendClose appends a Close of a statement ('S') or portal ('P').
func AppendClose(b []byte, kind byte, name string) []byte {
	return appendNamed(b, frontClose, kind, name)
}

func appendNamed(b []byte, typ, kind byte, name string) []byte {
	b, start := Begin(b, typ)
	b = appendString(append(b, kind), name)
	endShort(b, start)
	return b
}

// AppendExecute appends an Execute; maxRows 0 means no limit.
func AppendExecute(b []byte, portal string, maxRows uint32) []byte {
	b, start := Begin(b, frontExecute)
	b = binary.BigEndian.AppendUint32(appendString(b, portal), maxRows)
	endShort(b, start)
	return b
}

// AppendSync appends a Sync, which the server answers with ReadyForQuery.
func AppendSync(b []byte) []byte { return append(b, frontSync, 0, 0, 0, 4) }

// AppendFlush appends a Flush, which makes the server send what it has buffered.
func AppendFlush(b []byte) []byte { return append(b, frontFlush, 0, 0, 0, 4) }

// AppendCancelRequest appends a CancelRequest: the whole conversation of a
// connection of its own.
func AppendCancelRequest(b []byte, pid uint32, key []byte) []byte {
	const code = 1234<<16 | 5678
	b = binary.BigEndian.AppendUint32(b, uint32(12+len(key)))
	b = binary.BigEndian.AppendUint32(b, code)
	b = binary.BigEndian.AppendUint32(b, pid)
	return append(b, key...)
}

// AppendSSLRequest appends an SSLRequest, which the server answers with the byte
// 'S' or 'N', or with an ErrorResponse if it doesn't know it.
func AppendSSLRequest(b []byte) []byte {
	const code = 1234<<16 | 5679
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 8), code)
}

func appendCopyFail(b []byte, reason string) []byte {
	const longest = 4000 // leave room for the server's own words around it
	b, start := Begin(b, msgCopyFail)
	b = append(cleanText(b, reason[:min(len(reason), longest)]), 0)
	endShort(b, start)
	return b
}

// cleanText appends s without NUL bytes and broken UTF-8, either of which would
// replace the reason by a complaint of the server about the reason.
func cleanText(b []byte, s string) []byte {
	for _, r := range s {
		if r != 0 && r != 0xFFFD {
			b = append(b, string(r)...)
		}
	}
	return b
}

func tooMany(n int) error {
	return fmt.Errorf("psyco: %d parameters, but the protocol allows %d at most", n, math.MaxUint16)
}
