package saslprep

import "slices"

// normalize brings text into Unicode's normalization form KC. It knows the characters of
// Unicode 3.2 that may be in a password, whose forms do not change any more.
func normalize(text []rune) []rune {
	apart := make([]rune, 0, len(text))
	for _, r := range text {
		apart = appendDecomposed(apart, r)
	}
	order(apart)
	return compose(apart)
}

// Hangul syllables are made of two or three letters by arithmetic.
const (
	syllables = 0xAC00
	leads     = 0x1100
	vowels    = 0x1161
	trails    = 0x11A7 // one before the first: there may be none
	leadCount = 19
	vowCount  = 21
	trlCount  = 28
	sylCount  = leadCount * vowCount * trlCount
)

func appendDecomposed(dst []rune, r rune) []rune {
	if s := r - syllables; 0 <= s && s < sylCount {
		dst = append(dst, leads+s/(vowCount*trlCount), vowels+s%(vowCount*trlCount)/trlCount)
		if trail := s % trlCount; trail != 0 {
			dst = append(dst, trails+trail)
		}
		return dst
	}
	i, found := slices.BinarySearch(decomposed[:], r)
	if !found {
		return append(dst, r)
	}
	start := uint16(0)
	if i > 0 {
		start = decompositionEnds[i-1]
	}
	return append(dst, []rune(decompositions[start:decompositionEnds[i]])...)
}

// class is a character's canonical combining class: 0 begins a new combination.
func class(r rune) uint8 {
	i, found := slices.BinarySearchFunc(classes[:], r, func(c struct {
		r     rune
		class uint8
	}, r rune) int {
		return int(c.r - r)
	})
	if !found {
		return 0
	}
	return classes[i].class
}

// order sorts what combines with a character by class.
func order(text []rune) {
	for start := 0; start < len(text); {
		end := start + 1
		for end < len(text) && class(text[end]) != 0 {
			end++
		}
		first := start
		if class(text[first]) == 0 {
			first++
		}
		slices.SortStableFunc(text[first:end], func(a, b rune) int { return int(class(a)) - int(class(b)) })
		start = end
	}
}

// pair is composed of two characters.
type pair struct{ first, second, both rune }

// compose puts characters together where nothing stands between them that would keep them
// apart: a character of the same or a lower class.
func compose(text []rune) []rune {
	out := text[:0]
	starter, last := -1, uint8(0) // in out; the class of what was kept last
	for _, r := range text {
		c := class(r)
		if starter >= 0 && (last < c || last == 0 && starter == len(out)-1) {
			if both, ok := composed(out[starter], r); ok {
				out[starter] = both
				continue
			}
		}
		if c == 0 {
			starter = len(out)
		}
		last = c
		out = append(out, r)
	}
	return out
}

func composed(first, second rune) (rune, bool) {
	if l, v := first-leads, second-vowels; 0 <= l && l < leadCount && 0 <= v && v < vowCount {
		return syllables + (l*vowCount+v)*trlCount, true
	}
	if s, t := first-syllables, second-trails; 0 <= s && s < sylCount && s%trlCount == 0 && 0 < t && t < trlCount {
		return first + t, true
	}
	i, found := slices.BinarySearchFunc(pairs[:], pair{first: first, second: second}, func(a, b pair) int {
		if a.first != b.first {
			return int(a.first - b.first)
		}
		return int(a.second - b.second)
	})
	if !found {
		return 0, false
	}
	return pairs[i].both, true
}
