package stmtcache

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestUseCountsPerTextAndTypes(t *testing.T) {
	c := New[string](4)
	for want := 1; want <= 3; want++ {
		if e := c.Use("SELECT $1", []uint32{23}); e.Uses != want {
			t.Fatalf("use %d counted as %d", want, e.Uses)
		}
	}
	if e := c.Use("SELECT $1", []uint32{25}); e.Uses != 1 {
		t.Fatalf("other types share the count: %d", e.Uses)
	}
	if e := c.Use("SELECT $1", []uint32{23}); e.Uses != 4 {
		t.Fatalf("a variant hid the first entry: %d uses", e.Uses)
	}
	if c.Len() != 2 {
		t.Fatalf("Len = %d, want 2", c.Len())
	}
}

func TestNoCapacity(t *testing.T) {
	c := New[string](0)
	if e := c.Use("SELECT 1", nil); e != nil {
		t.Fatalf("a cache without capacity made %+v", e)
	}
}

func TestEvictionHandsOutStatements(t *testing.T) {
	c := New[string](2)
	a := c.Use("a", nil)
	a.Stmt, a.Ready = "sa", true
	c.Use("b", nil)
	c.Use("c", nil) // evicts a
	c.Use("d", nil) // evicts b, which has no statement
	if got := c.TakeEvicted(); !slices.Equal(got, []string{"sa"}) {
		t.Fatalf("evicted %q, want [sa]", got)
	}
	if got := c.TakeEvicted(); len(got) != 0 {
		t.Fatalf("handed out twice: %q", got)
	}
	c.Remove(a) // already gone
	if c.Len() != 2 {
		t.Fatalf("Len = %d, want 2", c.Len())
	}
}

func TestFindNeverEvicts(t *testing.T) {
	c := New[string](2)
	a := c.Use("a", []uint32{23})
	c.Use("b", nil)
	if e := c.Find("c", nil); e != nil || c.Len() != 2 {
		t.Fatalf("found %+v, and %d are left", e, c.Len())
	}
	if e := c.Find("a", []uint32{25}); e != nil {
		t.Fatalf("found %+v for other types", e)
	}
	if e := c.Find("a", []uint32{23}); e != a || e.Uses != 1 {
		t.Fatalf("found %+v, want %+v", e, a)
	}
	c.Use("d", nil) // evicts b, because a was found later
	if c.Find("a", []uint32{23}) != a || c.Find("b", nil) != nil {
		t.Fatal("what was found is not the most recent")
	}
}

func TestClear(t *testing.T) {
	c := New[string](2)
	a := c.Use("a", nil)
	a.Stmt, a.Ready = "sa", true
	c.Clear()
	if c.Len() != 0 || len(c.TakeEvicted()) != 0 {
		t.Fatal("Clear left something to close")
	}
	if e := c.Use("a", nil); e.Uses != 1 || e.Ready {
		t.Fatalf("Clear kept %+v", e)
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	c := New[int](8)
	types := []uint32{23, 25}
	c.Use("q", types)
	c.Use("r", types)
	if n := testing.AllocsPerRun(100, func() { c.Use("q", types); c.Use("r", types) }); n != 0 {
		t.Fatalf("a hit costs %v allocations", n)
	}
}

// The cache must behave as a plain list that is searched from its newest end.
func TestAgainstModel(t *testing.T) {
	type item struct {
		key  string
		uses int
		stmt int
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	const capacity = 7
	c := New[int](capacity)
	var model []item // oldest first
	var closed, modelClosed []int
	for step := range 20_000 {
		sql, typ := fmt.Sprint(rnd.IntN(8)), uint32(rnd.IntN(3))
		key := fmt.Sprint(sql, "/", typ)
		i := slices.IndexFunc(model, func(m item) bool { return m.key == key })
		switch {
		case rnd.IntN(10) == 0 && i >= 0:
			if model[i].stmt != 0 {
				modelClosed = append(modelClosed, model[i].stmt)
			}
			model = slices.Delete(model, i, i+1)
			e := c.Use(sql, []uint32{typ})
			c.Remove(e)
		default:
			m := item{key: key}
			if i >= 0 {
				m = model[i]
				model = slices.Delete(model, i, i+1)
			} else if len(model) == capacity {
				if model[0].stmt != 0 {
					modelClosed = append(modelClosed, model[0].stmt)
				}
				model = model[1:]
			}
			m.uses++
			e := c.Use(sql, []uint32{typ})
			if e.Uses != m.uses {
				t.Fatalf("step %d: %s has %d uses, want %d", step, key, e.Uses, m.uses)
			}
			if m.uses == 2 {
				m.stmt = step + 1
				e.Stmt, e.Ready = step+1, true
			}
			model = append(model, m)
		}
		closed = append(closed, c.TakeEvicted()...)
		if !slices.Equal(closed, modelClosed) {
			t.Fatalf("step %d: closed %v, want %v", step, closed, modelClosed)
		}
		if c.Len() != len(model) {
			t.Fatalf("step %d: %d entries, want %d", step, c.Len(), len(model))
		}
	}
}

// TestOutdate forgets statements but not how often their texts were used.
func TestOutdate(t *testing.T) {
	c := New[string](4)
	for _, name := range []string{"a", "b", "c"} {
		c.Use(name, nil)
	}
	a, b := c.Use("a", nil), c.Use("b", nil)
	a.Stmt, a.Ready = "sa", true
	b.Stmt, b.Ready = "sb", true
	c.Outdate()
	got := c.TakeEvicted()
	slices.Sort(got)
	if !slices.Equal(got, []string{"sa", "sb"}) {
		t.Errorf("evicted %q, want [sa sb]", got)
	}
	if e := c.Use("a", nil); e != a || e.Ready || e.Uses != 3 {
		t.Errorf("got %+v, want the entry of before, not ready", e)
	}
	c.Outdate()
	if got := c.TakeEvicted(); len(got) != 0 {
		t.Errorf("handed out twice: %q", got)
	}
	c.Remove(a)
	if got := c.TakeEvicted(); len(got) != 0 {
		t.Errorf("handed out once more: %q", got)
	}
}

func TestDisable(t *testing.T) {
	c := New[string](4)
	c.Use("a", nil)
	c.Disable()
	if e := c.Use("a", nil); e != nil || c.Len() != 0 {
		t.Errorf("got %+v and %d entries of a cache that is disabled", e, c.Len())
	}
}
