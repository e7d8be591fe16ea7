package psyco

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/psyco-go/psyco/internal/placeholder"
)

func TestLookupAllocations(t *testing.T) {
	r := newRewriter("")
	for _, text := range []string{
		"SELECT a, b FROM clients WHERE id = %s AND name = %s", "SELECT %(a)s, %(b)s, %(a)s", "SELECT * FROM t WHERE a = $1 AND b LIKE '%x'",
	} {
		q, err := r.lookup(text)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if again, err := r.lookup(text); again != q || err != nil {
				t.Error("not the same query again")
			}
		}); n != 0 {
			t.Errorf("%q: %v allocations, want 0", text, n)
		}
	}
	q, err := r.lookup("SELECT %s, a IN %s, %s")
	if err != nil {
		t.Fatal(err)
	}
	args := numbered(nil, []any{1, []int{1}, "x"})
	if n := testing.AllocsPerRun(100, func() {
		if _, out, _, err := q.Bind(args); err != nil || &out[0] != &args[0] {
			t.Error("Bind must return the arguments themselves")
		}
	}); n != 0 {
		t.Errorf("Bind: %v allocations, want 0", n)
	}
}

func TestCacheBounds(t *testing.T) {
	r := newRewriter("auto")
	cached := func() (n int) {
		for i := range r.sets {
			for j := range r.sets[i] {
				if r.sets[i][j].Load() != nil {
					n++
				}
			}
		}
		return n
	}
	for name, text := range map[string]string{
		"long":              strings.Repeat("a", maxCachedText+1),
		"many placeholders": strings.Repeat("%s,", maxCachedSlots+1),
		"error":             "%s %(a)s",
	} {
		first, _ := r.lookup(text)
		if again, _ := r.lookup(text); first != nil && again == first || cached() != 0 {
			t.Errorf("%s: is cached", name)
		}
	}
	const hot = "SELECT %s"
	q, err := r.lookup(hot)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20000 {
		if _, err := r.lookup(fmt.Sprintf("SELECT %d, %%s", i)); err != nil {
			t.Fatal(err)
		}
		if again, _ := r.lookup(hot); again != q {
			t.Fatalf("the text in use was evicted after %d others", i)
		}
	}
	if n, limit := cached(), len(r.sets)*len(r.sets[0]); n > limit || n < limit/2 {
		t.Errorf("%d cached, want about %d", n, limit)
	}
}

func TestLookupConcurrent(t *testing.T) {
	r := newRewriter("")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 4000 {
				n := (i*7 + g) % 3000
				q, err := r.lookup(fmt.Sprintf("SELECT %d, %%s", n))
				if want := fmt.Sprintf("SELECT %d, $1", n); err != nil || q.SQL != want {
					t.Errorf("got %v, %v, want %s", q, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

const benchText = "SELECT id, name, email FROM clients WHERE id = %s AND name LIKE 'A%%' AND city IN %s ORDER BY date LIMIT %s"

// BenchmarkLookupHit is what every execution of a known text pays.
func BenchmarkLookupHit(b *testing.B) {
	for name, text := range map[string]string{
		"positional": benchText,
		"native":     "SELECT id, name, email FROM clients WHERE id = $1 AND name LIKE 'A%' AND city = ANY($2) ORDER BY date LIMIT $3",
	} {
		b.Run(name, func(b *testing.B) {
			r := newRewriter("")
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.lookup(text); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkRewriteMiss is what the first execution of a text pays.
func BenchmarkRewriteMiss(b *testing.B) {
	for name, text := range map[string]string{
		"short":  benchText,
		"insert": "INSERT INTO clients (name, email, note) VALUES " + strings.Repeat("(%s, %s, 'it''s 5%%'), ", 1000) + "(%s, %s, '')",
		"native": "SELECT a % b, $1 /* " + strings.Repeat("native text with a comment ", 100) + "*/ FROM t WHERE " + strings.Repeat("name = 'x' AND ", 100) + " id = $2",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rewrite(text, placeholder.Auto); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
