package psyco_test

import (
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/psyco-go/psyco"
)

func ExampleCompose() {
	query, err := psyco.Compose("SELECT {} FROM {} WHERE id = %s",
		psyco.Identifier{"full name"}, psyco.Identifier{"public", "users"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(query)
	// Output: SELECT "full name" FROM "public"."users" WHERE id = %s
}

func ExampleComposable() {
	byAge := true
	var where psyco.Composable = psyco.Raw("true")
	if byAge {
		where = psyco.Raw("{} > %s").Format(psyco.Identifier{"age"})
	}
	query, err := psyco.Compose("SELECT * FROM users WHERE {}", where)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(query)
	// Output: SELECT * FROM users WHERE "age" > %s
}

func ExampleIdentifier() {
	query, err := psyco.Compose("TABLE {}", psyco.Identifier{"public", `odd "name"`})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(query)
	// Output: TABLE "public"."odd ""name"""
}

func ExampleIdentifier_String() {
	fmt.Println(psyco.Identifier{"public", "user"})
	// Output: "public"."user"
}

func ExampleLiteral() {
	query, err := psyco.Compose("CREATE VIEW v AS SELECT * FROM t WHERE kind = {}", psyco.Literal("it's"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(query)
	// Output: CREATE VIEW v AS SELECT * FROM t WHERE kind = 'it''s'
}

func ExampleJoin() {
	columns := []any{psyco.Identifier{"id"}, psyco.Identifier{"name"}}
	placeholders := slices.Repeat([]any{psyco.Raw("%s")}, len(columns))
	query, err := psyco.Compose("INSERT INTO t ({}) VALUES ({})",
		psyco.Join(", ", columns...), psyco.Join(", ", placeholders...))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(query)
	// Output: INSERT INTO t ("id", "name") VALUES (%s, %s)
}

func ExampleRaw() {
	order := psyco.Raw("ASC")
	query, err := psyco.Compose("SELECT * FROM t ORDER BY {} {}", psyco.Identifier{"name"}, order)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(query)
	// Output: SELECT * FROM t ORDER BY "name" ASC
}

func ExampleRaw_Format() {
	total := psyco.Raw("sum({})").Format(psyco.Identifier{"amount"})
	query, err := psyco.Compose("SELECT {} FROM sales", total)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(query)
	// Output: SELECT sum("amount") FROM sales
}

func ExampleMogrify() {
	text, err := psyco.Mogrify("INSERT INTO visits VALUES (%s, %s, %s)",
		-5, "it's", time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output: INSERT INTO visits VALUES (-5, 'it''s', '2024-02-29 12:00:00Z'::timestamptz)
}
