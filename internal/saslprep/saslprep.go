// Package saslprep prepares passwords as PostgreSQL does before SCRAM (RFC 4013): a
// password that looks the same is the same, however it is typed.
package saslprep

import (
	"slices"
	"unicode/utf8"
)

// Prepare returns the password that SCRAM works with. ASCII comes back as it is, and so
// does what is not UTF-8 or not allowed by the rules: the server takes that as it is, too
// (PostgreSQL: pg_saslprep and its callers). Unlike RFC 4013, PostgreSQL looks for what is
// not allowed before it normalizes.
func Prepare(password string) string {
	if isASCII(password) || !utf8.ValidString(password) {
		return password
	}
	mapped := make([]rune, 0, len(password))
	for _, r := range password {
		switch {
		case spaces.contains(r):
			mapped = append(mapped, ' ')
		case nothing.contains(r):
		default:
			mapped = append(mapped, r)
		}
	}
	if len(mapped) == 0 || slices.ContainsFunc(mapped, refused.contains) || !directed(mapped) {
		return password
	}
	return string(normalize(mapped))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// directed reports whether text that is written from right to left in a part is so as a
// whole (RFC 3454, section 6).
func directed(text []rune) bool {
	return !slices.ContainsFunc(text, rightToLeft.contains) ||
		!slices.ContainsFunc(text, leftToRight.contains) && rightToLeft.contains(text[0]) && rightToLeft.contains(text[len(text)-1])
}

// spans is a sorted list of characters, from the first to the last of each span.
type spans [][2]rune

func (s spans) contains(r rune) bool {
	_, found := slices.BinarySearchFunc(s, r, func(span [2]rune, r rune) int {
		switch {
		case span[1] < r:
			return -1
		case span[0] > r:
			return 1
		}
		return 0
	})
	return found
}
