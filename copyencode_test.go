package psyco

import (
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

// BenchmarkCopyEncode is what a row of CopyRows with a value of a type costs before it is sent.
func BenchmarkCopyEncode(b *testing.B) {
	array := func(elem uint32) columnKind {
		return columnKind{oid: pgform.ArrayOID(elem), base: pgform.ArrayOID(elem), elem: &columnKind{oid: elem, base: elem}}
	}
	of := func(oid uint32) columnKind { return columnKind{oid: oid, base: oid} }
	settleInfinity()
	now := time.Unix(1_700_000_000, 123456000).UTC()
	words := []string{"one", "two", `th"ree`, "four", "five", "six", "seven", "eight"}
	for _, bm := range []struct {
		name string
		kind columnKind
		v    any
	}{
		{"int8", of(pgform.OIDInt8), int64(123456)},
		{"text", of(pgform.OIDText), "hello"},
		{"numeric", of(pgform.OIDNumeric), "12345.678"},
		{"timestamptz", of(pgform.OIDTimestamptz), now},
		{"date", of(pgform.OIDDate), now},
		{"uuid", of(pgform.OIDUUID), "0b0e5e5e-3b3e-4b3e-8b3e-0b0e5e5e3b3e"},
		{"interval", of(pgform.OIDInterval), "1 day 02:03:04"},
		{"text[]", array(pgform.OIDText), words},
		{"int8[]", array(pgform.OIDInt8), []int64{1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000}},
		{"int2[] of int16", array(pgform.OIDInt2), []int16{1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000}},
		{"timestamptz[]", array(pgform.OIDTimestamptz), []time.Time{now, now, now, now}},
		{"bytea[]", array(pgform.OIDBytea), [][]byte{[]byte("one"), []byte("two"), []byte("three")}},
		{"float8[][]", array(pgform.OIDFloat8), [][]float64{{1, 2, 3, 4}, {5, 6, 7, 8}}},
		{"Array[string]", array(pgform.OIDText), Array[string](words)},
	} {
		for _, format := range []string{"binary", "text"} {
			b.Run(bm.name+"/"+format, func(b *testing.B) {
				e := newRowEncoder(new(TypeMap), []string{"a"}, []columnKind{bm.kind}, format == "text")
				buf, row := make([]byte, 0, 4096), []any{bm.v}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := e.appendRow(buf, row); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
