package psyco_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// plainConnector wraps connections in a driver that hands on statements and
// nothing else: no NamedValueChecker, SessionResetter or Validator.
type plainConnector struct{ driver.Connector }

func (p plainConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return plainConn{c, c.(driver.ExecerContext), c.(driver.QueryerContext), c.(driver.ConnBeginTx)}, nil
}

type plainConn struct {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnBeginTx
}

// TestHandleBehindPlainWrapper runs operations, with rows and without, where
// database/sql converts the arguments by its own rules.
func TestHandleBehindPlainWrapper(t *testing.T) {
	ctx := context.Background()
	c, err := psyco.NewConnector(pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(plainConnector{c})
	defer db.Close()
	mustExec(t, db, "CREATE TABLE t (a int)")
	if n, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", strings.NewReader("1\n2\n")); n != 2 || err != nil {
		t.Fatalf("CopyFrom: %d, %v", n, err)
	}
	calls := 0
	mine := errors.New("mine")
	if err := psyco.WithConn(ctx, db, func(*psyco.Conn) error { calls++; return mine }); err != mine || calls != 1 {
		t.Fatalf("WithConn: %v after %d calls", err, calls)
	}
	var b psyco.Batch
	count := 0
	b.Queue("SELECT count(*) FROM t").Each(func(row *sql.Rows) error { return row.Scan(&count) })
	if err := b.Run(ctx, db); err != nil || count != 2 {
		t.Fatalf("Batch: %d, %v", count, err)
	}
	if _, err := db.Query("SELECT 1", psyco.ServerSide(0)); err == nil || !strings.Contains(err.Error(), "NamedValueChecker") {
		t.Errorf("ServerSide: %v", err)
	}
}

// formatting is a handle that writes the arguments into the text itself, as bun's
// does.
type formatting struct{ db *sql.DB }

func (h formatting) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return h.db.ExecContext(ctx, query)
}

func (h formatting) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return h.db.QueryContext(ctx, query)
}

// preparing is a handle that prepares every statement, as GORM's does with
// PrepareStmt.
type preparing struct{ db *sql.DB }

func (h preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := h.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.ExecContext(ctx, args...)
}

func (h preparing) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := h.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.QueryContext(ctx, args...)
}

// TestHandleUnfit gives operations to handles that cannot run them: each must
// say so, and none look as if it were done.
func TestHandleUnfit(t *testing.T) {
	db := testDB(t)
	db.SetMaxOpenConns(1) // what is left open shows
	base, err := pq.NewConnector(pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	foreign := sql.OpenDB(base)
	defer foreign.Close()
	for _, tt := range []struct {
		name string
		h    psyco.Handle
		want string
	}{
		{"formats", formatting{db}, "behind this one"},
		{"prepares", preparing{db}, "behind this one"},
		{"lib/pq", foreign, `driver is "psyco"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			var b psyco.Batch
			b.Queue("SELECT 1").Each(func(*sql.Rows) error { return nil })
			for name, err := range map[string]error{
				"WithConn": psyco.WithConn(ctx, tt.h, func(*psyco.Conn) error { return nil }),
				"Batch":    b.Run(ctx, tt.h),
			} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "psyco: "+name) {
					t.Errorf("%s: %v, want %q in it", name, err, tt.want)
				}
			}
		})
	}
}
