package pgform

import (
	"fmt"
	"testing"
	"time"
)

// TestParseClockEverySecond reads each second of a day, with 24 in any place.
func TestParseClockEverySecond(t *testing.T) {
	start := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	for second := range 24*60*60 + 1 {
		text := fmt.Sprintf("%02d:%02d:%02d", second/3600, second/60%60, second%60)
		for suffix, offset := range map[string]int{"": 0, "+15:24": 55440, "-00:24:24": -1464} {
			got, err := ParseClock(text + suffix)
			if want := start.Add(time.Duration(second-offset) * time.Second); err != nil || !got.Equal(want) {
				t.Fatalf("%s%s is %v, want %v; %v", text, suffix, got, want, err)
			}
		}
	}
}
