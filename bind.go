package psyco

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/wire"
)

// A parameter is sent in binary format where that is the same value as the text
// that lib/pq sends, else as that text.

// appendRequest appends Bind, Execute and Sync.
func appendRequest(b []byte, d *description, args []driver.NamedValue) ([]byte, error) {
	b, err := appendBind(b, d.server, d.params, args, d.formats, d.literal)
	if err != nil {
		return b, err
	}
	return wire.AppendSync(wire.AppendExecute(b, "", 0)), nil
}

// appendBind appends a Bind of a statement whose parameters have the given types.
// formats are those of the results with their number in front. literal says that the
// placeholders are psycopg's, for which a string is what a literal would be: the text of
// a bytea (\x4142), where lib/pq takes the string's bytes for the value.
func appendBind(b []byte, statement string, types []uint32, args []driver.NamedValue, formats []byte, literal bool) ([]byte, error) {
	if len(args) != len(types) || len(args) > math.MaxUint16 {
		return b, fmt.Errorf("psyco: got %d parameters but the statement requires %d", len(args), len(types))
	}
	b, start := wire.BeginBind(b, statement)
	b = binary.BigEndian.AppendUint16(b, uint16(len(args)))
	list := len(b)
	for range args {
		b = append(b, 0, 0)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(args)))
	for i := range args {
		size := len(b)
		b = append(b, 0, 0, 0, 0)
		var null, isBinary bool
		var err error
		if b, isBinary = appendBinary(b, args[i].Value, types[i], literal); isBinary {
			b[list+2*i+1] = 1
		} else if b, null, err = appendTextParameter(b, args[i].Value); err != nil {
			return b, argumentError(&args[i], err)
		}
		n := min(len(b)-size-4, math.MaxInt32) // more than that is an error of End
		if null {
			n = -1
		}
		binary.BigEndian.PutUint32(b[size:], uint32(int32(n)))
	}
	return wire.End(append(b, formats...), start)
}

// appendBinary appends a parameter in binary format, where that is the same value
// as the text that lib/pq sends, or reports that it is not.
func appendBinary(b []byte, value driver.Value, typ uint32, literal bool) (_ []byte, ok bool) {
	switch x := value.(type) {
	case int64:
		switch {
		case typ == pgform.OIDInt8:
			return pgform.AppendInt(b, x, 8), true
		case typ == pgform.OIDInt4 && x == int64(int32(x)):
			return pgform.AppendInt(b, x, 4), true
		case typ == pgform.OIDInt2 && x == int64(int16(x)):
			return pgform.AppendInt(b, x, 2), true
		}
	case float64:
		if typ == pgform.OIDFloat8 && !math.IsNaN(x) { // the server has one NaN, Go has many
			return pgform.AppendFloat8(b, x), true
		}
	case []byte:
		if typ == pgform.OIDBytea && x != nil {
			return append(b, x...), true
		}
	case string:
		if typ == pgform.OIDBytea && !literal {
			return append(b, x...), true
		}
	case bool:
		if typ == pgform.OIDBool {
			return pgform.AppendBool(b, x), true
		}
	case time.Time:
		if typ == pgform.OIDTimestamptz && !hasInfinity() {
			return appendInstant(b, x)
		}
	}
	return b, false
}

// appendInstant appends a timestamptz. The server rounds the nanoseconds of a
// text to microseconds by way of a float, so exact halves are left to it, and
// so are the years that are written in other ways.
func appendInstant(b []byte, t time.Time) ([]byte, bool) {
	if year := t.Year(); year < 1 || year > 9999 || t.Nanosecond()%1000 == 500 {
		return b, false
	}
	b, err := pgform.AppendMicros(b, t, 0)
	return b, err == nil
}

// appendTextParameter appends a parameter as text, to the letter as lib/pq does, or
// says that it is NULL. There infinity has a sign, bytes are themselves, and times are
// pq.FormatTimestamp's.
func appendTextParameter(b []byte, value driver.Value) (_ []byte, null bool, err error) {
	switch x := value.(type) {
	case float64:
		return strconv.AppendFloat(b, x, 'f', -1, 64), false, nil
	case []byte:
		return append(b, x...), x == nil, nil
	case time.Time:
		return appendTime(b, x), false, nil
	}
	return pgform.AppendText(b, value)
}

// appendTime is pq.FormatTimestamp, without its allocation for ordinary times.
func appendTime(b []byte, t time.Time) []byte {
	if _, offset := t.Zone(); offset%60 == 0 && t.Year() > 0 && !hasInfinity() {
		return t.AppendFormat(b, "2006-01-02 15:04:05.999999999Z07:00")
	}
	if s := infinityFor(t); s != "" {
		return append(b, s...)
	}
	return append(b, pq.FormatTimestamp(t)...)
}

// appendText is pgform's, with what pq.EnableInfinityTs says of a time.
func appendText(b []byte, value any) (_ []byte, null bool, err error) {
	if t, ok := value.(time.Time); ok {
		if s := infinityFor(t); s != "" {
			return append(b, s...), false, nil
		}
	}
	return pgform.AppendText(b, value)
}

// infinityState is what is known of pq.EnableInfinityTs, which must be called before the first
// connection: nothing before that, see hasInfinity.
var infinityState atomic.Int32

const (
	infinityOff = 1 + iota // when it was asked after the last connection was opened
	infinityOn             // and cannot be taken back
	infinityAsk            // a connection was opened since then
)

// hasInfinity reports whether pq.EnableInfinityTs was called. Before the first
// connection it asks each time, because the program may still call it.
func hasInfinity() bool {
	switch known := infinityState.Load(); known {
	case infinityOff, infinityOn:
		return known == infinityOn
	case infinityAsk:
		on := askInfinity()
		infinityState.CompareAndSwap(infinityAsk, infinityOff)
		return on
	}
	return askInfinity()
}

// askInfinity finds out whether pq.EnableInfinityTs was called.
func askInfinity() bool {
	on := arrayText(time.Unix(1<<55, 0)) == "infinity" && arrayText(time.Unix(-1<<55, 0)) == "-infinity"
	if on {
		infinityState.Store(infinityOn)
	}
	return on
}

// settleInfinity has hasInfinity ask once more, for a connection that begins and those
// that are there: with the first time that is written, because asking costs more than
// one.
func settleInfinity() {
	if known := infinityState.Load(); known != infinityOn && known != infinityAsk {
		infinityState.CompareAndSwap(known, infinityAsk)
	}
}

// infinityFor is "infinity" or "-infinity" if pq.EnableInfinityTs says that t stands
// for it, else "".
func infinityFor(t time.Time) string {
	if hasInfinity() {
		if s := arrayText(t); strings.HasSuffix(s, "infinity") {
			return s
		}
	}
	return ""
}

// arrayText is t as in an array: of lib/pq's functions only the one for those asks
// EnableInfinityTs.
func arrayText(t time.Time) string {
	text, err := pq.GenericArray{A: []time.Time{t}}.Value()
	if s, ok := text.(string); ok && err == nil {
		return strings.Trim(s, `{}"`) // versions of lib/pq differ in the quotes
	}
	return ""
}
