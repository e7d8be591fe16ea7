package psycotest

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// A Step does something to a database that a test or a [Template] is about to
// use: [SQL] and [CSV] make such functions, and a migration tool is called in
// one's own. db belongs to the caller.
type Step func(ctx context.Context, db *sql.DB) error

// A Template gives every test a copy of a database that was filled once: copying
// takes the server's files as they are and runs no statement of the steps. It is
// a variable of the package that its tests share, and is safe for concurrent use.
//
// The first test that asks for a database runs the steps, on the server that
// [DB] uses; others wait for it. When a step fails, its error fails them all.
type Template struct {
	steps []Step

	mu       sync.Mutex
	template *pgserver.Template // nil until the first use
	err      error              // of a step, which would fail the next time too
}

// NewTemplate returns a template that the steps, in this order, will make out of
// an empty database. It does not look for a server yet.
func NewTemplate(steps ...Step) *Template { return &Template{steps: steps} }

// DB returns a copy of the template, which is the test's own: it is closed and
// dropped when the test ends. Tests may run in parallel.
func (t *Template) DB(tb testing.TB, options ...psyco.Option) *sql.DB {
	tb.Helper()
	return openTest(tb, t.DSN(tb), options)
}

// DSN is [DB] for tests that open the database themselves: it returns the
// connection string.
func (t *Template) DSN(tb testing.TB) string {
	tb.Helper()
	template, err := t.get(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return pgserver.TestDatabase(tb, template.CreateDatabase)
}

// Close drops the template, if there is one yet; copies are not touched, and
// the next use makes it again. A server that was started for the tests goes
// away together with its templates. On the server of PSYCO_TEST_DSN, one that
// nobody closes is there until the next process that runs tests finds it; call
// Close in TestMain to leave nothing behind:
//
//	func TestMain(m *testing.M) {
//		m.Run()
//		schema.Close()
//	}
func (t *Template) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	template := t.template
	t.template, t.err = nil, nil
	if template == nil {
		return nil
	}
	return errors.Join(template.Drop(), pgserver.Release())
}

func (t *Template) get(ctx context.Context) (*pgserver.Template, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.template != nil || t.err != nil {
		return t.template, t.err
	}
	server, err := pgserver.Shared(ctx)
	if err != nil {
		return nil, err
	}
	t.template, err = server.CreateTemplate(ctx, func(dsn string) error { return t.build(ctx, dsn) })
	if err != nil {
		if ctx.Err() == nil { // else another test may have more time
			t.err = err
		}
		return nil, errors.Join(err, pgserver.Release())
	}
	return t.template, nil
}

func (t *Template) build(ctx context.Context, dsn string) (err error) {
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return run(ctx, db, t.steps)
}

func run(ctx context.Context, db *sql.DB, steps []Step) error {
	for _, step := range steps {
		if err := step(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

// Load runs steps on a test's database. The test fails where one of them does.
func Load(t testing.TB, db *sql.DB, steps ...Step) {
	t.Helper()
	if err := run(t.Context(), db, steps); err != nil {
		t.Fatal(err)
	}
}
