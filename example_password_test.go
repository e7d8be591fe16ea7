package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/psyco-go/psyco"
)

// As psql's \password does.
func ExampleChangePassword() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE ROLE example_clerk LOGIN"); err != nil {
			return err
		}
		fmt.Println(psyco.ChangePassword(ctx, tx, "example_clerk", "correct horse"))
		return nil
	})
	// Output: <nil>
}

// For a statement that another program runs.
func ExampleEncryptPassword() {
	encrypted, err := psyco.EncryptPassword("correct horse", "clerk", "md5")
	if err != nil {
		log.Fatal(err)
	}
	query, err := psyco.Compose("CREATE ROLE {} LOGIN PASSWORD {}", psyco.Identifier{"clerk"}, psyco.Literal(encrypted))
	fmt.Println(query, err)
	// Output: CREATE ROLE "clerk" LOGIN PASSWORD 'md560d96985075700b571b6abd502ae8b46' <nil>
}
