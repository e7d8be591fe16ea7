package psyco

import (
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/placeholder"
)

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
