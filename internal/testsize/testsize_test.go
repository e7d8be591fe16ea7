package testsize

import (
	"slices"
	"testing"
)

func TestSome(t *testing.T) {
	for _, tt := range []struct {
		long   string
		few, n int
		want   []int
	}{
		{"", 3, 9, []int{1, 5, 9}},
		{"", 4, 9, []int{1, 3, 6, 9}},
		{"", 1, 9, []int{1}},
		{"", 3, 3, []int{1, 2, 3}},
		{"", 3, 2, []int{1, 2}},
		{"", 3, 0, nil},
		{"0", 2, 4, []int{1, 4}},
		{"1", 2, 4, []int{1, 2, 3, 4}},
	} {
		t.Setenv(EnvLong, tt.long)
		if got := slices.Collect(Some(tt.few, tt.n)); !slices.Equal(got, tt.want) {
			t.Errorf("%s=%q: %d of %d: %v, want %v", EnvLong, tt.long, tt.few, tt.n, got, tt.want)
		}
	}
}

func TestCases(t *testing.T) {
	t.Setenv(EnvLong, "")
	few := Cases(3, 300)
	t.Setenv(EnvLong, "1")
	if all := Cases(3, 300); few != 3 || all != 300 {
		t.Errorf("%d and %d", few, all)
	}
}
