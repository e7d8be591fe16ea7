package wire

import (
	"bytes"
	"io"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	for name, count := range map[string]int{"1 row": 1, "10000 rows": 10_000} {
		b.Run(name, func(b *testing.B) {
			answer := cat(msg('2'), bytes.Repeat(row("some value of a row"), count), complete("SELECT"), ready('I'))
			c, s := connected(b)
			s.discard = true
			packet := execute("1", "v")
			p := make([]byte, 4096)
			pieces := make([][]byte, 1)
			b.SetBytes(int64(len(answer)))
			b.ReportAllocs()
			for b.Loop() {
				pieces[0] = answer
				s.pieces = pieces
				if _, err := c.Write(packet); err != nil {
					b.Fatal(err)
				}
				for c.Pending() {
					if _, err := c.Read(p); err != nil && err != io.EOF {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkAsk is a statement that is asked for in lib/pq's place.
func BenchmarkAsk(b *testing.B) {
	for name, answer := range map[string][]byte{
		"a row":    cat(bound, row("some value of a row"), complete("SELECT 1"), ready('I')),
		"100 rows": cat(bound, bytes.Repeat(row("some value of a row"), 100), complete("SELECT 100"), ready('I')),
	} {
		b.Run(name, func(b *testing.B) {
			c, s := connected(b)
			s.discard = true
			pieces := make([][]byte, 1)
			b.ReportAllocs()
			for b.Loop() {
				pieces[0] = answer
				s.pieces = pieces
				if _, ok := c.Ask(request, nil, 1); !ok {
					b.Fatal("not taken")
				}
			}
		})
	}
}
