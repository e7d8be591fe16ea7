package pgform

import "bytes"

// EscapeCopy escapes b[at:] for COPY's text format, in place if it can.
func EscapeCopy(b []byte, at int) []byte {
	if !bytes.ContainsAny(b[at:], "\\\t\n\r") {
		return b
	}
	plain := bytes.Clone(b[at:])
	b = b[:at]
	for _, c := range plain {
		switch c {
		case '\\':
			b = append(b, `\\`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// UnescapeCopy undoes what the server has escaped in a column of COPY's text format.
func UnescapeCopy(cell []byte) []byte {
	plain := make([]byte, 0, len(cell))
	for i := 0; i < len(cell); i++ {
		c := cell[i]
		if c == '\\' && i+1 < len(cell) {
			i++
			switch c = cell[i]; c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'v':
				c = '\v'
			}
		}
		plain = append(plain, c)
	}
	return plain
}
