package compat

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"testing"

	"github.com/ngrok/sqlmw"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

// statementLog is an interceptor that takes down what is run.
type statementLog struct {
	sqlmw.NullInterceptor
	texts []string
}

func (l *statementLog) ConnExecContext(ctx context.Context, c driver.ExecerContext, text string, args []driver.NamedValue) (driver.Result, error) {
	l.texts = append(l.texts, text)
	return c.ExecContext(ctx, text, args)
}

func TestSQLMW(t *testing.T) {
	log := &statementLog{}
	sql.Register("psyco-sqlmw", sqlmw.Driver(&psyco.Driver{}, log))
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco-sqlmw", dsn)
	must(t, err)
	defer db.Close()
	testWrapped(t, db)
	testReset(t, db)
	for _, want := range []string{"-- psyco.CopyFrom", "INSERT INTO u VALUES (%s)"} {
		if !slices.Contains(log.texts, want) {
			t.Errorf("the interceptor has not seen %q, only %q", want, log.texts)
		}
	}
}
