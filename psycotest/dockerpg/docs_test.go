package dockerpg_test

import (
	"os"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
	_ "github.com/psyco-go/psyco/psycotest/dockerpg"
)

// files are the migrations of psycotest's own tests.
var files = os.DirFS("..")

// images are the versions of PostgreSQL to test on.
var images = strings.Fields(os.Getenv("PSYCO_TEST_IMAGE"))

// The test that docs/testing.md shows.
func TestImages(t *testing.T) {
	if len(images) == 0 {
		t.Skip("PSYCO_TEST_IMAGE does not name an image for Docker")
	}
	for _, image := range images { // "postgres:14", "postgres:17"
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			server, err := psycotest.Open(t.Context(), psycotest.Image(image))
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			db := server.DB(t)
			psycotest.Load(t, db, psycotest.SQL(files, "testdata/migrations/*.up.sql"))
			// …
			if _, err := db.Exec("INSERT INTO clients (name) VALUES (%s)", "ACME"); err != nil {
				t.Error(err)
			}
		})
	}
}
