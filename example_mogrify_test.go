package psyco_test

import (
	"fmt"
	"log"
	"time"

	"github.com/psyco-go/psyco"
)

func ExampleMogrify() {
	text, err := psyco.Mogrify("INSERT INTO visits VALUES (%s, %s, %s)",
		-5, "it's", time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output: INSERT INTO visits VALUES (-5, 'it''s', '2024-02-29 12:00:00Z'::timestamptz)
}
