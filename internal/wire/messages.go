package wire

import "encoding/binary"

// Message types of the frontend.
const (
	frontBind      = 'B'
	frontClose     = 'C'
	frontDescribe  = 'D'
	frontExecute   = 'E'
	frontFlush     = 'H'
	frontFunction  = 'F'
	frontParse     = 'P'
	frontQuery     = 'Q'
	frontSync      = 'S'
	frontTerminate = 'X'
)

// Message types of COPY, which both sides use.
const (
	msgCopyData = 'd'
	msgCopyDone = 'c'
	msgCopyFail = 'f'
)

// Message types of the backend. The exported ones are for an [Exchange].
const (
	ParseComplete        = '1'
	BindComplete         = '2'
	CloseComplete        = '3'
	CommandComplete      = 'C'
	DataRow              = 'D'
	ErrorResponse        = 'E'
	EmptyQueryResponse   = 'I'
	NoData               = 'n'
	ParameterDescription = 't'
	PortalSuspended      = 's'
	ReadyForQuery        = 'Z'
	RowDescription       = 'T'
	CopyOutResponse      = 'H'

	backAuthentication  = 'R'
	backNegotiate       = 'v' // NegotiateProtocolVersion
	backKeyData         = 'K'
	backParameterStatus = 'S'
	backNotice          = 'N'
	backNotification    = 'A'
	backCopyInResponse  = 'G'
	backCopyBoth        = 'W'
	backFunctionResult  = 'V'
)

const (
	headerSize = 5
	// shortLimit is the longest message of a type that is never long (libpq:
	// VALID_LONG_MESSAGE_TYPE), and the longest ErrorResponse lib/pq reads
	// (libpq: MAX_ERRLEN).
	shortLimit = 30_000
	// longLimit is the longest message of any type (PQ_LARGE_MESSAGE_LIMIT).
	longLimit = 0x3fffffff
	// authLimit is the longest message but errors before a session is authenticated.
	authLimit = 2_000
)

// acceptable reports whether a message of this type may have such a length, which
// counts itself. Before the server has authenticated the session, whoever it is, it may say
// very little.
func (p *phase) acceptable(typ byte, size uint64) bool {
	switch {
	case size < 4 || size > longLimit:
		return false
	case !p.authenticated && !p.ready && typ != ErrorResponse:
		return size <= authLimit
	}
	return size <= shortLimit || mayBeLong(typ)
}

// known reports whether the protocol knows messages of this type.
func known(typ byte) bool {
	switch typ {
	case ParseComplete, BindComplete, CloseComplete, CommandComplete, DataRow, ErrorResponse, EmptyQueryResponse, NoData,
		ParameterDescription, PortalSuspended, ReadyForQuery, RowDescription, CopyOutResponse, msgCopyData, msgCopyDone,
		backAuthentication, backNegotiate, backKeyData, backParameterStatus, backNotice, backNotification,
		backCopyInResponse, backCopyBoth, backFunctionResult:
		return true
	}
	return false
}

// mayBeLong reports whether messages of this type have no small upper limit.
func mayBeLong(typ byte) bool {
	switch typ {
	case RowDescription, DataRow, msgCopyData, backFunctionResult, ErrorResponse, backNotice,
		backNotification, ParameterDescription:
		return true
	}
	return false
}

// asynchronous reports whether the server sends messages of this type at any
// time, so that they never are the answer to something.
func asynchronous(typ byte) bool {
	return typ == backNotice || typ == backNotification || typ == backParameterStatus
}

// frameAt returns the type and the end of the message that starts at p[i].
func frameAt(p []byte, i int) (typ byte, end int, err error) {
	if len(p)-i < headerSize {
		return 0, 0, protocolErrorf("%d bytes are not the header of a message", len(p)-i)
	}
	n := binary.BigEndian.Uint32(p[i+1:])
	if n < 4 || uint64(n) > uint64(len(p)-i-1) {
		return 0, 0, protocolErrorf("message %q of %d bytes in a packet of %d", p[i], n, len(p))
	}
	return p[i], i + 1 + int(n), nil
}
