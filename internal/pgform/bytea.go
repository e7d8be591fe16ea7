package pgform

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ParseBytea reads both formats of bytea_output as the server does, which takes white
// space between the digits of hex.
func ParseBytea(text string) ([]byte, error) {
	if len(text) >= 2 && text[:2] == `\x` {
		b, err := hex.DecodeString(text[2:])
		if err != nil && strings.ContainsAny(text, " \t\n\r") {
			return hex.DecodeString(strings.Join(strings.Fields(text[2:]), ""))
		}
		return b, err
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			b = append(b, text[i])
		case i+1 < len(text) && text[i+1] == '\\':
			b = append(b, '\\')
			i++
		case i+3 < len(text):
			n, err := strconv.ParseUint(text[i+1:i+4], 8, 8)
			if err != nil {
				return nil, fmt.Errorf("bytea with %.4q", text[i:])
			}
			b = append(b, byte(n))
			i += 3
		default:
			return nil, errors.New("bytea that ends in the middle of a byte")
		}
	}
	return b, nil
}

// IsEscapedBytea reports whether text is bytes as bytea_output=escape writes them: with a
// backslash or three octal digits behind each backslash, and nothing but what can be printed.
func IsEscapedBytea(text string) bool {
	if strings.IndexByte(text, '\\') < 0 {
		return false // then it is the same as text
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	_, err := ParseBytea(text)
	return err == nil
}

// AppendUUID appends the 16 bytes of a UUID as text.
func AppendUUID(b, uuid []byte) []byte {
	for i, part := range [...][]byte{uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return b
}

// ParseUUID reads a UUID, with or without dashes and braces.
func ParseUUID(text string) (uuid [16]byte, ok bool) {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != len(uuid) {
		return uuid, false
	}
	return [16]byte(raw), true
}
