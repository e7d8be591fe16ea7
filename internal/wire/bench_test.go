package wire_test

import (
	"database/sql/driver"
	"io"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgserver"
)

// BenchmarkOverhead compares lib/pq on its own socket with lib/pq on a Conn.
func BenchmarkOverhead(b *testing.B) {
	dsn := pgserver.TestDSN(b)
	plain, err := pq.Open(dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = plain.Close() }) // nothing depends on it any more
	for name, sql := range map[string]string{
		"point": "SELECT 1",
		"rows":  "SELECT i, 'some text ' || i FROM generate_series(1, 10000) i",
	} {
		for over, dc := range map[string]driver.Conn{"socket": plain, "wire": openDSN(b, dsn).pq} {
			b.Run(name+"/"+over, func(b *testing.B) {
				st, err := dc.Prepare(sql)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				values := make([]driver.Value, 2)
				for b.Loop() {
					rows, err := st.(driver.StmtQueryContext).QueryContext(b.Context(), nil)
					if err != nil {
						b.Fatal(err)
					}
					for err == nil {
						err = rows.Next(values[:len(rows.Columns())])
					}
					if err != io.EOF {
						b.Fatal(err)
					}
					if err := rows.Close(); err != nil {
						b.Fatal(err)
					}
				}
				if err := st.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
