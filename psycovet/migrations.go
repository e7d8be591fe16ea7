package psycovet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/psycotest"
)

// migrations are the files that make a schema, in their order.
type migrations struct {
	files []migration
	hash  string
}

type migration struct{ name, text string }

// readMigrations reads the files that a pattern matches: all of them in the order of the numbers
// that their names begin with, then of the names. Left out is what takes a migration back:
// files of golang-migrate that end in .down.sql, and what is below "-- +goose Down".
func readMigrations(pattern string) (*migrations, error) {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("-migrations %s: %w", pattern, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".down.sql") })
	if len(names) == 0 {
		return nil, fmt.Errorf("-migrations %s: no file has such a name", pattern)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(filepath.Base(a), filepath.Base(b)))
	})
	m := &migrations{}
	hash := sha256.New()
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		text := forward(string(data))
		m.files = append(m.files, migration{name, text})
		fmt.Fprintf(hash, "%s %d %s", filepath.Base(name), len(text), text)
	}
	m.hash = hex.EncodeToString(hash.Sum(nil)[:16])
	return m, nil
}

// number returns the number that a file's name begins with, with V in front as Flyway
// has it; a name without one comes first.
func number(name string) uint64 {
	base := strings.TrimPrefix(filepath.Base(name), "V")
	end := 0
	for end < len(base) && '0' <= base[end] && base[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseUint(base[:end], 10, 64)
	return n
}

// forward returns what a migration does, without what takes it back. What it does
// CONCURRENTLY, which is not possible for several statements at once, it does plainly; lines
// stay where they are.
func forward(text string) string {
	var b strings.Builder
	goose := false
	for line := range strings.SplitAfterSeq(text, "\n") {
		if directive, ok := strings.CutPrefix(strings.TrimSpace(line), "-- +goose "); ok {
			switch strings.ToLower(strings.TrimSpace(directive)) {
			case "down":
				goose = true
			case "up":
				goose = false
			}
		}
		if !goose {
			b.WriteString(line)
		}
	}
	out := []byte(b.String())
	scan := sqllex.NewScanner(b.String())
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind == sqllex.Word && strings.EqualFold(t.Text(b.String()), "CONCURRENTLY") {
			for i := t.Start; i < t.Stop; i++ {
				out[i] = ' '
			}
		}
	}
	return string(out)
}

// run makes the schema in a database.
func (m *migrations) run(ctx context.Context, dsn string) (err error) {
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, file := range m.files {
		name := filepath.ToSlash(strings.TrimPrefix(filepath.Clean(file.name), string(filepath.Separator)))
		for strings.HasPrefix(name, "../") {
			name = name[len("../"):]
		}
		fsys := fstest.MapFS{name: {Data: []byte(file.text)}}
		if err := psycotest.SQL(fsys, escapeGlob(name))(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

var globEscaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

func escapeGlob(name string) string { return globEscaper.Replace(name) }
