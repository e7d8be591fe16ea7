package placeholder

import "slices"

// Stretches lead from places in a text to those in another one that it was made
// of, in the order of the text.
type Stretches []Stretch

// Stretch begins at an offset of the text. What stands there is copied from an
// offset of the other one or, if it is new, was put in the place of what is there.
type Stretch struct {
	At, From int
	New      bool
}

// Add adds the next stretch, which may overwrite the last ones. If s is nil it
// does nothing.
func (s *Stretches) Add(next Stretch) {
	if s == nil {
		return
	}
	list := *s
	for len(list) > 0 && list[len(list)-1].At >= next.At {
		list = list[:len(list)-1]
	}
	*s = append(list, next)
}

// Source returns where the text at an offset came from.
func (s Stretches) Source(offset int) int {
	i, found := slices.BinarySearchFunc(s, offset, func(x Stretch, offset int) int { return x.At - offset })
	if !found {
		i--
	}
	switch {
	case i < 0:
		return offset
	case s[i].New:
		return s[i].From
	}
	return s[i].From + offset - s[i].At
}

// Stretches returns where q.SQL came from.
func (q *Query) Stretches() Stretches {
	p := newParser(q.Text)
	p.made = new(Stretches)
	p.run()
	return *p.made
}
