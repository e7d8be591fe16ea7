package pgform

import (
	"bytes"
	"testing"
	"time"
)

// FuzzReadBinary reads bytes as values of every type, and writes what it takes again.
func FuzzReadBinary(f *testing.F) {
	for _, seed := range [][]byte{nil, {0, 1}, {0x7f, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 16), make([]byte, 16)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(name string, got []byte, err error) {
			t.Helper()
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s: %x becomes %x, %v", name, b, got, err)
			}
		}
		if at, infinity, ok := ReadTimestamp(b); ok && infinity == 0 && at.Year() > -100_000 && at.Year() < 200_000 {
			got, err := AppendMicros(nil, at, 0)
			check("timestamp", got, err)
		} else if infinity != 0 {
			check("infinite timestamp", AppendInfinity(nil, infinity), nil)
		}
		if at, infinity, ok := ReadDate(b); ok && infinity == 0 {
			got, err := DateOf(at).AppendBinary(nil)
			check("date", got, err)
			if at.Location() != time.UTC || at.Hour() != 0 {
				t.Errorf("%x is %s", b, at)
			}
		}
		if at, ok := ReadClock(b); ok {
			got, err := AppendClock(nil, at.Sub(clockStart).Microseconds())
			check("time", got, err)
		}
		if i, _, ok := ReadInterval(b); ok {
			check("interval", i.AppendBinary(nil), nil)
		}
		_, ok := ReadInt(b)
		if want := len(b) == 2 || len(b) == 4 || len(b) == 8; ok != want {
			t.Errorf("%x is an integer: %t", b, ok)
		}
		ReadFloat4(b)
		ReadFloat8(b)
	})
}
