package wire

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// checkShape reports what is wrong with a message of the server: lib/pq, and whoever
// else reads it afterwards, takes what is in it for granted. columns is for DataRow.
func checkShape(typ byte, payload []byte, columns int) error {
	switch typ {
	case ParseComplete, BindComplete, CloseComplete, NoData, PortalSuspended, EmptyQueryResponse, msgCopyDone:
		if len(payload) > 0 {
			return protocolErrorf("message %q with %d bytes too many", typ, len(payload))
		}
	case DataRow:
		if !rowFits(payload, columns) {
			return rowError(payload, columns)
		}
	case RowDescription:
		return checkRowDescription(payload)
	case ParameterDescription:
		// The server counts more than 65,535 parameters modulo 65,536.
		if n := len(payload) - 2; n < 0 || n%4 != 0 || n/4&0xffff != countOf(payload) {
			return protocolErrorf("ParameterDescription of %d bytes for %d parameters", len(payload), countOf(payload))
		}
	case CommandComplete:
		return checkTag(payload)
	case ReadyForQuery:
		if len(payload) != 1 || payload[0] != 'I' && payload[0] != 'T' && payload[0] != 'E' {
			return protocolErrorf("ReadyForQuery with status %q", payload)
		}
	case ErrorResponse, backNotice:
		return checkFields(payload)
	case backNotification:
		if len(payload) < 4 || !areStrings(payload[4:], 2) {
			return protocolErrorf("NotificationResponse of %d bytes that cannot be read", len(payload))
		}
	case backParameterStatus:
		if !areStrings(payload, 2) {
			return protocolErrorf("ParameterStatus without terminator")
		}
	case CopyOutResponse, backCopyInResponse:
		return checkCopyResponse(payload)
	case backKeyData:
		if len(payload) < 8 || len(payload) > 4+256 {
			return protocolErrorf("BackendKeyData of %d bytes", len(payload))
		}
	case backAuthentication:
		return checkAuthentication(payload)
	case backNegotiate:
		if len(payload) < 8 || !areStrings(payload[8:], int(binary.BigEndian.Uint32(payload[4:]))) {
			return protocolErrorf("NegotiateProtocolVersion of %d bytes that cannot be read", len(payload))
		}
	}
	return nil
}

// areStrings reports whether b is n strings, each with its terminator.
func areStrings(b []byte, n int) bool {
	return bytes.Count(b, []byte{0}) == n && (n == 0 && len(b) == 0 || n > 0 && b[len(b)-1] == 0)
}

// rowFits reports whether the payload of a DataRow has so many columns, which may be
// ColumnsUnknown.
func rowFits(p []byte, columns int) bool {
	if len(p) < 2 {
		return false
	}
	n := int(binary.BigEndian.Uint16(p))
	return (n == columns || columns == ColumnsUnknown) && cellsEnd(p, 2, n) == len(p)
}

// cellsEnd returns where n columns end that begin at p[i], -1 if they cannot be right
// or are not all there.
func cellsEnd(p []byte, i, n int) int {
	for ; n > 0; n-- {
		if uint(i)+4 > uint(len(p)) {
			return -1
		}
		size := int(int32(binary.BigEndian.Uint32(p[i:])))
		i += 4
		if size > 0 {
			i += size
		} else if size < -1 {
			return -1
		}
	}
	return i
}

// wholeRows returns how many bytes at the start of b are whole rows that fit. There
// are many of them, and all else is left to others: it takes some nanoseconds a row.
func wholeRows(b []byte, columns int) int {
	whole := 0
	for {
		m := b[whole:]
		if len(m) < headerSize+2 || m[0] != DataRow {
			return whole
		}
		size := uint(binary.BigEndian.Uint32(m[1:]))
		if size >= uint(len(m)) {
			return whole
		}
		n := int(binary.BigEndian.Uint16(m[headerSize:]))
		if n != columns && columns != ColumnsUnknown || cellsEnd(m[:size+1], headerSize+2, n) != int(size)+1 {
			return whole
		}
		whole += int(size) + 1
	}
}

// rowError says why a row does not fit.
func rowError(p []byte, columns int) *protocolError {
	if n := countOf(p); n != columns && n >= 0 && columns != ColumnsUnknown {
		return protocolErrorf("a row of %d columns where %d were described", n, max(columns, 0))
	}
	return protocolErrorf("a row whose %d bytes are not what its lengths say", len(p))
}

// rowWalk is rowFits for a row too long to wait for, in the pieces in which it comes.
type rowWalk struct {
	columns int // still to come; see counted
	counted bool
	skip    int // bytes of the header or of a value
	number  [4]byte
	have    int // bytes of number
	active  bool
}

// next takes a piece and reports whether the row may still be right.
func (w *rowWalk) next(p []byte) bool {
	for {
		k := min(w.skip, len(p))
		w.skip -= k
		p = p[k:]
		if len(p) == 0 {
			return true
		}
		size := 4
		if !w.counted {
			size = 2
		} else if w.columns == 0 {
			return false // too many bytes
		}
		k = copy(w.number[w.have:size], p)
		p = p[k:]
		if w.have += k; w.have < size {
			return true
		}
		w.have = 0
		if !w.counted {
			n := int(binary.BigEndian.Uint16(w.number[:]))
			if n != w.columns && w.columns != ColumnsUnknown {
				return false
			}
			w.columns, w.counted = n, true
			continue
		}
		n := int(int32(binary.BigEndian.Uint32(w.number[:])))
		if n < -1 {
			return false
		}
		w.skip = max(n, 0)
		w.columns--
	}
}

// complete reports whether a row may end here.
func (w *rowWalk) complete() bool {
	return w.counted && w.columns == 0 && w.skip == 0 && w.have == 0
}

func checkRowDescription(payload []byte) error {
	const fixed = 18
	n, rest, err := cutCount(payload, "RowDescription")
	if err != nil {
		return err
	}
	for range n {
		end := bytes.IndexByte(rest, 0) + 1
		if end == 0 || len(rest)-end < fixed {
			return protocolErrorf("RowDescription of %d bytes is too short for %d columns", len(payload), n)
		}
		rest = rest[end:]
		if format := binary.BigEndian.Uint16(rest[fixed-2:]); format > 1 {
			return protocolErrorf("RowDescription with the format %d", format)
		}
		rest = rest[fixed:]
	}
	return trailing(rest, "RowDescription")
}

// checkTag also makes sure that a tag which lib/pq reads a count from has one: in
// the goroutine of pq.CopyIn it panics otherwise.
func checkTag(payload []byte) error {
	tag, err := commandTag(payload)
	if err != nil {
		return err
	}
	word, count, found := bytes.Cut(tag, []byte{' '})
	if !found {
		return nil
	}
	switch string(word) {
	case "INSERT":
		_, count, found = bytes.Cut(count, []byte{' '})
	case "SELECT", "UPDATE", "DELETE", "FETCH", "MOVE", "COPY":
	default:
		return nil
	}
	if !found || !isCount(count) {
		return protocolErrorf("CommandComplete with the tag %q", tag)
	}
	return nil
}

// isCount reports whether b is a number of rows.
func isCount(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	if len(b) < 19 {
		return len(b) > 0
	}
	_, err := strconv.ParseInt(string(b), 10, 64)
	return err == nil
}

// checkFields is for ErrorResponse and NoticeResponse.
func checkFields(payload []byte) error {
	var bad error
	last, err := errorFields(payload, func(typ byte, value []byte) {
		if typ == 'C' && len(value) != 5 {
			bad = protocolErrorf("an error with the code %q, which is not an SQLSTATE", value)
		}
	})
	if err == nil && bad == nil {
		bad = trailing(last, "ErrorResponse")
	}
	if err != nil {
		return err
	}
	return bad
}

func checkCopyResponse(payload []byte) error {
	if len(payload) < 3 || payload[0] > 1 || len(payload) != 3+2*int(binary.BigEndian.Uint16(payload[1:])) {
		return protocolErrorf("the answer to a COPY has %d bytes that cannot be read", len(payload))
	}
	return nil
}

// checkAuthentication checks a request for authentication.
func checkAuthentication(payload []byte) error {
	const (
		md5      = 5
		gssMore  = 8
		sasl     = 10
		saslMore = 11
		saslLast = 12
	)
	if len(payload) < 4 {
		return protocolErrorf("an authentication request of %d bytes", len(payload))
	}
	code, rest := binary.BigEndian.Uint32(payload), payload[4:]
	ok := false
	switch code {
	case md5:
		ok = len(rest) == 4
	case sasl: // names, and an empty one
		ok = len(rest) >= 2 && rest[len(rest)-1] == 0 && rest[len(rest)-2] == 0
	case gssMore, saslMore, saslLast:
		ok = true
	default:
		ok = len(rest) == 0
	}
	if !ok {
		return protocolErrorf("an authentication request, %d, of %d bytes", code, len(payload))
	}
	return nil
}
