package values_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestGoroutinesShareAConnection: what one goroutine reads stays as it is while another one uses
// the connection, also a row that it is about to scan.
func TestGoroutinesShareAConnection(t *testing.T) {
	type row struct {
		N int
		S string
	}
	for _, mode := range []string{"", "prepare_threshold=1", "statement_cache_capacity=0", "binding=client"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			conn := mustConn(t, open(t, pgserver.TestDSN(t)+" "+mode))
			const text = "SELECT i AS n, repeat(%s, i %% 50)::bytea AS s FROM generate_series(1, %s) i" // bytes have memory that may be shared
			right := func(letter string, i int, r row) bool { return r.N == i && r.S == strings.Repeat(letter, i%50) }
			var wg sync.WaitGroup
			for g := range 4 {
				letter := string(rune('a' + g))
				wg.Go(func() {
					for i := range testsize.Cases(40, 400) {
						word := fmt.Sprint(letter, i)
						if got, err := psyco.QueryOne[string](t.Context(), conn, "SELECT %s::text", word); err != nil || got != word {
							t.Errorf("%q, %v instead of %q", got, err, word)
						}
						n := []int{1, 3, 700}[i%3]
						all, err := psyco.QueryAll[row](t.Context(), conn, text, letter, n)
						if err != nil || len(all) != n {
							t.Errorf("%d rows, %v instead of %d", len(all), err, n)
						}
						for k, r := range all {
							if !right(letter, k+1, r) {
								t.Errorf("row %d of %s is %v", k+1, letter, r)
								break
							}
						}
						rows, err := conn.QueryContext(t.Context(), text, letter, n)
						if err != nil {
							t.Error(err)
							return
						}
						k := 0
						for ; rows.Next(); k++ {
							var r row
							if err := rows.Scan(&r.N, &r.S); err != nil || !right(letter, k+1, r) {
								t.Errorf("row %d of %s is scanned as %v, %v", k+1, letter, r, err)
								break
							}
						}
						if err := rows.Close(); err != nil || k != n {
							t.Errorf("%d rows, %v instead of %d", k, err, n)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
