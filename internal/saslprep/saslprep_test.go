package saslprep

import (
	"testing"
	"unicode/utf8"
)

func TestPrepare(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"ASCII", "pencil", "pencil"},
		{"ASCII controls", "a\x07b\x7f", "a\x07b\x7f"},
		{"empty", "", ""},
		{"soft hyphen", "I\u00adX", "IX"},
		{"case stays", "USER\u00aa", "USERa"},
		{"ordinal", "\u00aa", "a"},
		{"roman numeral", "\u2168", "IX"},
		{"no-break space", "a\u00a0b", "a b"},
		{"zero-width space", "a\u200bb", "a b"},
		{"ideographic space", "a\u3000b", "a b"},
		{"ligature", "o\ufb03ce", "office"},
		{"decomposed umlaut", "u\u0308ber", "über"},
		{"composed umlaut", "über", "über"},
		{"two marks, out of order", "a\u0323\u0302", "\u1ead"},
		{"two marks, in the other order", "a\u0302\u0323", "\u1ead"},
		{"Hangul letters", "\u1112\u1161\u11ab", "한"},
		{"Hangul syllable", "한", "한"},
		{"fullwidth letters", "ｐｗ", "pw"},
		{"angstrom sign", "\u212b", "\u00c5"},
		{"excluded from composition", "\u0958", "\u0915\u093c"},
		{"nothing is left", "\u00ad", "\u00ad"},
		{"control beside others", "ü\u0007", "ü\u0007"},
		{"private use", "\ue000", "\ue000"},
		{"not assigned in Unicode 3.2", "\u0221\u212b", "\u0221\u212b"},
		{"tag character", "x\U000e0001\u00aa", "x\U000e0001\u00aa"},
		{"direction changes", "\u0627\u0031\u212b", "\u0627\u0031\u212b"},
		{"right to left, ends in a digit", "\u0627\u0031", "\u0627\u0031"},
		{"right to left", "\u0627\u0031\u0628", "\u0627\u0031\u0628"},
		{"not UTF-8", "\xff\u212b", "\xff\u212b"},
		{"surrogates", "\xed\xa0\x80\u212b", "\xed\xa0\x80\u212b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Prepare(tt.in); got != tt.want {
				t.Errorf("Prepare(%+q) = %+q, want %+q", tt.in, got, tt.want)
			}
		})
	}
}

// FuzzPrepare: what is prepared needs no preparation, and UTF-8 stays UTF-8.
func FuzzPrepare(f *testing.F) {
	for _, s := range []string{"a", "u\u0308\u0323", "\u1112\u1161\u11ab", "\u00a0\ufdfa", "\u0627x", "\xff", "\u0300\u0344"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := Prepare(s)
		if twice := Prepare(once); twice != once {
			t.Errorf("%+q, then %+q, then %+q", s, once, twice)
		}
		if utf8.ValidString(s) != utf8.ValidString(once) {
			t.Errorf("%+q became %+q", s, once)
		}
	})
}
