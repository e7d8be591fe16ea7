package wire

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// Field describes a column of a result.
type Field struct {
	Name     string
	TableOID uint32 // 0: not a column of a table
	Column   uint16 // its number in that table
	TypeOID  uint32
	TypeSize int16 // negative: variable
	TypeMod  int32
	Format   int16 // 0: text, 1: binary
}

// fieldSize is the length of a field in a RowDescription, behind its name.
const fieldSize = 18

// ParseRowDescription appends the columns of a RowDescription to dst.
func ParseRowDescription(dst []Field, payload []byte) ([]Field, error) {
	n, rest, err := cutCount(payload, "RowDescription")
	if err != nil {
		return dst, err
	}
	for range n {
		name, after, ok := cutString(rest)
		if !ok || len(after) < fieldSize {
			return dst, protocolErrorf("RowDescription of %d bytes is too short for %d columns", len(payload), n)
		}
		dst = append(dst, Field{
			Name:     string(name),
			TableOID: binary.BigEndian.Uint32(after),
			Column:   binary.BigEndian.Uint16(after[4:]),
			TypeOID:  binary.BigEndian.Uint32(after[6:]),
			TypeSize: int16(binary.BigEndian.Uint16(after[10:])),
			TypeMod:  int32(binary.BigEndian.Uint32(after[12:])),
			Format:   int16(binary.BigEndian.Uint16(after[16:])),
		})
		rest = after[fieldSize:]
	}
	return dst, trailing(rest, "RowDescription")
}

// AppendRowDescription appends the RowDescription of some columns.
func AppendRowDescription(b []byte, columns []Field) []byte {
	b, start := Begin(b, RowDescription)
	b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
	for _, f := range columns {
		b = binary.BigEndian.AppendUint32(appendString(b, f.Name), f.TableOID)
		b = binary.BigEndian.AppendUint16(b, f.Column)
		b = binary.BigEndian.AppendUint32(b, f.TypeOID)
		b = binary.BigEndian.AppendUint16(b, uint16(f.TypeSize))
		b = binary.BigEndian.AppendUint32(b, uint32(f.TypeMod))
		b = binary.BigEndian.AppendUint16(b, uint16(f.Format))
	}
	endShort(b, start)
	return b
}

// ParseDataRow appends the columns of a DataRow to dst: nil for NULL, else parts
// of payload.
func ParseDataRow(dst [][]byte, payload []byte) ([][]byte, error) {
	n, rest, err := cutCount(payload, "DataRow")
	if err != nil {
		return dst, err
	}
	for range n {
		column, after, ok := CutColumn(rest)
		if !ok {
			return dst, protocolErrorf("DataRow of %d bytes is too short for %d columns, or has one of a negative length", len(payload), n)
		}
		dst, rest = append(dst, column), after
	}
	return dst, trailing(rest, "DataRow")
}

// Columns returns what CutColumn reads of the payload of a DataRow.
func Columns(payload []byte) []byte { return payload[min(2, len(payload)):] }

// CutColumn cuts the first column off the rest of a DataRow: nil for NULL, else a part of
// it.
func CutColumn(row []byte) (column, rest []byte, ok bool) {
	if len(row) < 4 {
		return nil, row, false
	}
	size := int(int32(binary.BigEndian.Uint32(row)))
	row = row[4:]
	if size < 0 {
		return nil, row, size == -1
	}
	if size > len(row) {
		return nil, row, false
	}
	return row[:size:size], row[size:], true
}

// copySignature begins the data of a binary COPY (PostgreSQL: BinarySignature).
const copySignature = "PGCOPY\n\xff\r\n\x00"

// AppendCopyHeader appends the header of a binary COPY.
func AppendCopyHeader(b []byte) []byte {
	return append(append(b, copySignature...), 0, 0, 0, 0, 0, 0, 0, 0)
}

// CutCopyHeader cuts the header off the data of a binary COPY. It reports false if not all
// of it is there.
func CutCopyHeader(data []byte) (rest []byte, ok bool, err error) {
	const fixed = len(copySignature) + 8
	if n := min(len(data), len(copySignature)); string(data[:n]) != copySignature[:n] {
		return data, false, protocolErrorf("the data of a binary COPY begins with %.20q", data)
	}
	if len(data) < fixed {
		return data, false, nil
	}
	extension := int64(binary.BigEndian.Uint32(data[fixed-4:]))
	if flags := binary.BigEndian.Uint32(data[fixed-8:]); flags != 0 || extension > shortLimit {
		return data, false, protocolErrorf("the data of a binary COPY has the flags %#x and a header of %d more bytes", flags, extension)
	}
	if int64(len(data)-fixed) < extension {
		return data, false, nil
	}
	return data[fixed+int(extension):], true, nil
}

// CutCopyRow cuts the first row off the data of a binary COPY behind its header: n columns,
// as CutColumn reads them. n is -1 at the end of the data, and columns is nil if not all of
// the row is there.
func CutCopyRow(data []byte) (columns, rest []byte, n int, err error) {
	if len(data) < 2 {
		return nil, data, 0, nil
	}
	if n = int(int16(binary.BigEndian.Uint16(data))); n < 0 {
		if n != -1 {
			err = protocolErrorf("a row of %d columns in the data of a COPY", n)
		}
		return nil, data[2:], n, err
	}
	end := 2
	for range n {
		if len(data)-end < 4 {
			return nil, data, n, nil
		}
		size := int64(int32(binary.BigEndian.Uint32(data[end:])))
		if size < -1 {
			return nil, data, n, protocolErrorf("a column of %d bytes in the data of a COPY", size)
		}
		if end += 4; int64(len(data)-end) < size {
			return nil, data, n, nil
		}
		end += int(max(size, 0))
	}
	return data[2:end:end], data[end:], n, nil
}

// AppendColumn appends to the rest of a DataRow what CutColumn reads.
func AppendColumn(row, column []byte) []byte {
	if column == nil {
		return binary.BigEndian.AppendUint32(row, math.MaxUint32)
	}
	return append(binary.BigEndian.AppendUint32(row, uint32(len(column))), column...)
}

// CutRow cuts the first DataRow off rows, which are whole, and returns its payload.
func CutRow(rows []byte) (payload, rest []byte) {
	size := int(binary.BigEndian.Uint32(rows[1:])) + 1
	return rows[headerSize:size], rows[size:]
}

// ParseParameterDescription appends the types of a ParameterDescription to dst.
func ParseParameterDescription(dst []uint32, payload []byte) ([]uint32, error) {
	n, rest, err := cutCount(payload, "ParameterDescription")
	if err != nil {
		return dst, err
	}
	if len(rest) != 4*n {
		return dst, protocolErrorf("ParameterDescription of %d bytes for %d parameters", len(payload), n)
	}
	for ; len(rest) > 0; rest = rest[4:] {
		dst = append(dst, binary.BigEndian.Uint32(rest))
	}
	return dst, nil
}

// ParseCommandComplete returns the command tag in the payload of a CommandComplete.
func ParseCommandComplete(payload []byte) (string, error) {
	tag, err := commandTag(payload)
	return string(tag), err
}

func commandTag(payload []byte) ([]byte, error) {
	tag, rest, ok := cutString(payload)
	if !ok || len(rest) > 0 {
		return nil, protocolErrorf("CommandComplete without terminator, or with one inside")
	}
	return tag, nil
}

// RowsAffected returns the row count at the end of a command tag: "INSERT 0 3",
// "UPDATE 3", "COPY 3". It is false for tags without one, such as "BEGIN".
func RowsAffected(tag string) (int64, bool) {
	i := strings.LastIndexByte(tag, ' ')
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(tag[i+1:], 10, 64)
	return n, err == nil && n >= 0
}

func cutCount(payload []byte, what string) (int, []byte, error) {
	if len(payload) < 2 {
		return 0, nil, protocolErrorf("%s of %d bytes", what, len(payload))
	}
	return int(binary.BigEndian.Uint16(payload)), payload[2:], nil
}

func trailing(rest []byte, what string) error {
	if len(rest) > 0 {
		return protocolErrorf("%s with %d bytes too many", what, len(rest))
	}
	return nil
}
