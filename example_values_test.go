package psyco_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"net/netip"
	"sync"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// valuesDB is the database of the examples. The types work with lib/pq's driver
// as well as with psyco's.
var valuesDB = sync.OnceValue(func() *sql.DB {
	server, err := pgserver.Shared(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open("postgres", server.DSN())
	if err != nil {
		log.Fatal(err)
	}
	return db
})

func ExampleInto() {
	db := valuesDB()

	var (
		id    [16]byte
		addr  netip.Addr
		wait  time.Duration
		price big.Rat
		tags  []string
		note  *string
	)
	err := db.QueryRow(`SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '10.0.0.1'::inet,
			'90 seconds'::interval, 12.50, ARRAY['new', 'red'], NULL`).
		Scan(psyco.Into(&id), psyco.Into(&addr), psyco.Into(&wait), psyco.Into(&price), psyco.Into(&tags), psyco.Into(&note))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x %s %s %s %q %v\n", id[:4], addr, wait, price.FloatString(2), tags, note)
	// Output: a0eebc99 10.0.0.1 1m30s 12.50 ["new" "red"] <nil>
}

func ExampleJSON() {
	db := valuesDB()

	type settings struct {
		Theme string `json:"theme"`
		Size  int    `json:"size"`
	}
	var got psyco.JSON[settings]
	err := db.QueryRow("SELECT $1::jsonb || '{\"size\": 14}'", psyco.JSON[settings]{V: settings{"dark", 12}}).Scan(&got)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.V.Theme, got.V.Size)

	// A column that may hold NULL.
	var maybe sql.Null[psyco.JSON[settings]]
	if err := db.QueryRow("SELECT NULL::jsonb").Scan(&maybe); err != nil {
		log.Fatal(err)
	}
	fmt.Println(maybe.Valid)
	// Output:
	// dark 14
	// false
}

func ExampleArray() {
	db := valuesDB()

	var ids []int64
	var matrix psyco.Array[[]float64]
	var names psyco.Array[sql.Null[string]]
	err := db.QueryRow("SELECT $1::int8[] || 3::int8, ARRAY[[1, 0.5], [2, 0.25]], ARRAY['x', NULL]", psyco.Array[int]{1, 2}).
		Scan((*psyco.Array[int64])(&ids), &matrix, &names)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ids, matrix, names[0].V, names[1].Valid)
	// Output: [1 2 3] [[1 0.5] [2 0.25]] x false
}

func ExampleInterval() {
	db := valuesDB()

	var i psyco.Interval
	if err := db.QueryRow("SELECT age('2024-03-15 12:00'::timestamp, '2024-01-31')").Scan(&i); err != nil {
		log.Fatal(err)
	}
	fmt.Println(i.Months, i.Days, i.Microseconds)
	fmt.Println(i)
	// Output:
	// 1 15 43200000000
	// 1 mon 15 days 12:00:00
}

func ExampleIntervalOf() {
	fmt.Println(psyco.IntervalOf(36*time.Hour + 1500*time.Millisecond))
	// Output: 36:00:01.5
}

func ExampleInterval_Duration() {
	d, err := psyco.Interval{Months: 1, Days: 2}.Duration()
	fmt.Println(d, err)
	// Output: 768h0m0s <nil>
}

func ExampleRange() {
	db := valuesDB()

	stay := psyco.Range[psyco.Date]{
		Lower:    psyco.Date{Year: 2024, Month: time.May, Day: 1},
		LowerInc: true,
		UpperInf: true,
	}
	var common psyco.Range[psyco.Date]
	if err := db.QueryRow("SELECT $1::daterange * daterange('2024-04-01', '2024-05-31', '[]')", stay).Scan(&common); err != nil {
		log.Fatal(err)
	}
	fmt.Println(common.Lower, common.LowerInc, common.Upper, common.UpperInc)
	// Output: 2024-05-01 true 2024-06-01 false
}

func ExampleMultirange() {
	db := valuesDB()

	var free psyco.Multirange[int]
	if err := db.QueryRow("SELECT '{[1,20)}'::int4multirange - '{[5,8)}'::int4multirange").Scan(&free); err != nil {
		log.Fatal(err)
	}
	for _, r := range free {
		fmt.Println(r.Lower, r.Upper)
	}
	// Output:
	// 1 5
	// 8 20
}

func ExampleHStore() {
	var h psyco.HStore
	if err := h.Scan(`"colour"=>"red", "size"=>NULL`); err != nil { // as Rows.Scan does
		log.Fatal(err)
	}
	fmt.Println(h["colour"].V, h["size"].Valid)
	h["size"] = sql.Null[string]{V: "XL", Valid: true}
	fmt.Println(h.Value())
	// Output:
	// red false
	// "colour"=>"red","size"=>"XL" <nil>
}

func ExampleRecord() {
	db := valuesDB()

	type item struct {
		Name  string
		Price psyco.Numeric
		Sold  *time.Time
	}
	var one psyco.Record[item]
	var all psyco.Array[psyco.Record[item]]
	err := db.QueryRow(`SELECT ROW('pen', 1.50, NULL), ARRAY[ROW('ink', 7.00, NULL), ROW('cap, red', 3.20, NULL)]`).Scan(&one, &all)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(one.V.Name, one.V.Price, one.V.Sold)
	fmt.Println(all[1].V.Name, all[1].V.Price)
	// Output:
	// pen 1.50 <nil>
	// cap, red 3.20
}

func ExampleTimestamp() {
	db := valuesDB()

	var until, from psyco.Timestamp
	if err := db.QueryRow("SELECT 'infinity'::timestamptz, '2024-02-29 12:00'::timestamp").Scan(&until, &from); err != nil {
		log.Fatal(err)
	}
	fmt.Println(until.Infinity, from.Infinity, from.Time.Format(time.DateTime))
	// Output: 1 0 2024-02-29 12:00:00
}

func ExampleDate() {
	db := valuesDB()

	var day psyco.Date
	if err := db.QueryRow("SELECT $1::date + 1", psyco.Date{Year: 2024, Month: time.February, Day: 28}).Scan(&day); err != nil {
		log.Fatal(err)
	}
	fmt.Println(day, day == psyco.Date{Year: 2024, Month: time.February, Day: 29})
	fmt.Println(psyco.Date{Year: -43, Month: time.March, Day: 15}, psyco.Date{Infinity: -1})
	// Output:
	// 2024-02-29 true
	// 0044-03-15 BC -infinity
}

func ExampleDateOf() {
	fmt.Println(psyco.DateOf(time.Date(2024, time.February, 29, 23, 59, 0, 0, time.Local)))
	// Output: 2024-02-29
}

func ExampleDate_In() {
	fmt.Println(psyco.Date{Year: 2024, Month: time.February, Day: 29}.In(time.UTC))
	// Output: 2024-02-29 00:00:00 +0000 UTC
}

func ExampleInet() {
	db := valuesDB()

	var n psyco.Inet
	if err := db.QueryRow("SELECT '192.168.1.5/24'::inet").Scan(&n); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n.Addr(), n.Bits(), n.Masked())
	// Output: 192.168.1.5 24 192.168.1.0/24
}

func ExampleNumeric() {
	db := valuesDB()

	var sum psyco.Numeric
	if err := db.QueryRow("SELECT $1::numeric + 0.10", psyco.Numeric("99999999999999999999.90")).Scan(&sum); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum)
	// Output: 100000000000000000000.00
}

func ExampleInterval_MarshalText() {
	type trial struct {
		From     psyco.Date
		Lasts    psyco.Interval
		Price    psyco.Numeric
		Ages     psyco.Range[int]
		Features psyco.HStore
	}
	var t trial
	err := json.Unmarshal([]byte(`{"From": "2024-02-29", "Lasts": "1 mon -1 days", "Price": 1.50, "Ages": "[18,)",
		"Features": {"colour": "red", "size": null}}`), &t)
	if err != nil {
		log.Fatal(err)
	}
	document, err := json.Marshal(t)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(document))
	// Output: {"From":"2024-02-29","Lasts":"P1M-1D","Price":"1.50","Ages":"[18,)","Features":{"colour":"red","size":null}}
}
