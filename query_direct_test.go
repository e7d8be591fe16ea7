package psyco

import (
	"database/sql/driver"
	"reflect"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/wire"
)

// FuzzDirectRow decodes rows of any bytes into fields of every kind.
func FuzzDirectRow(f *testing.F) {
	for _, cell := range [][]byte{nil, {}, {1}, {0, 1}, {0, 0, 0, 1}, {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, make([]byte, 16), []byte("text")} {
		f.Add(cell, uint32(pgform.OIDInt8))
		f.Add(cell, uint32(pgform.OIDTimestamptz))
	}
	types := []reflect.Type{
		reflect.TypeFor[int64](), reflect.TypeFor[uint8](), reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[bool](), reflect.TypeFor[string](),
		reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](), reflect.TypeFor[Timestamp](), reflect.TypeFor[Date](), reflect.TypeFor[Interval](), reflect.TypeFor[Numeric](),
		reflect.TypeFor[[16]byte](), reflect.TypeFor[*int](), reflect.TypeFor[*string](), reflect.TypeFor[any](), reflect.TypeFor[[]int](), reflect.TypeFor[time.Duration](),
	}
	f.Fuzz(func(t *testing.T, cell []byte, typ uint32) {
		for _, goType := range types {
			row := reflect.New(goType)
			plan, err := planOf(goType, []rowColumn{{"v", typ}}, false)
			if err != nil {
				t.Fatal(err)
			}
			to := &rowScanner{wanted: wanted{typ: goType}}
			to.dest = row.UnsafePointer()
			from := &wireRow{plan: plan.directly(), zone: time.UTC, by: &wanted{turn: 1}}
			columns := wire.AppendColumn(nil, cell)
			dest := make([]driver.Value, 1)
			if err := from.deliver(columns, dest); err == nil {
				_ = (*directCell)(to).Scan(dest[0])
				if to.panicked != nil {
					panic(to.panicked)
				}
			}
			c := from.plan.columns[0]
			if s, ok := row.Interface().(*string); ok && c.decode != nil && *s != string(cell) {
				t.Errorf("%x became %x", cell, *s)
			}
			for i := range columns { // what is cut off is an error
				if err := from.deliver(columns[:i], dest); err != errShortRow {
					t.Errorf("%d of %d bytes: %v", i, len(columns), err)
				}
			}
		}
	})
}

func TestParsesAlone(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"SELECT 1", true}, {"-- one\nselect now()", true}, {"WITH x AS (SELECT 1) TABLE x;", true}, {"INSERT INTO t VALUES (1) RETURNING a", true},
		{"SELECT 1; SELECT 2", false}, {"SHOW server_version", false}, {"EXPLAIN SELECT 1", false}, {"", false},
		{"SELECT 'now'::timestamptz", false}, {"SELECT date 'Today'", false}, {"SELECT * FROM t WHERE d < 'tomorrow'", false},
		{"SELECT ' now'::date", false}, {"SELECT 'x', now()", true}, {"SELECT known FROM t", true}, {"SELECT $1", false}, {"SELECT 1 INTO t", false},
	} {
		if got := parsesAlone(tt.text); got != tt.want {
			t.Errorf("%q: %t", tt.text, got)
		}
	}
}
