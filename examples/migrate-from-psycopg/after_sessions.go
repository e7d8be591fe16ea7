package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

// The sections of before.py about transactions and whatever else belongs to a
// session.

func (p *program) transactions(ctx context.Context) error {
	err := psyco.InTx(ctx, p.db, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE clients SET total = total - %s WHERE id = %s", 50, 1); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE clients SET total = total + %s WHERE id = %s", 50, 2)
		return err
	})
	if err != nil {
		return err
	}
	change := errors.New("on second thoughts")
	err = psyco.InTx(ctx, p.db, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM clients"); err != nil {
			return err
		}
		return change
	})
	if !errors.Is(err, change) {
		return err
	}
	p.print(err)

	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "UPDATE clients SET total = 0"); err != nil {
		return err
	}
	if err := tx.Rollback(); err != nil {
		return err
	}

	if _, err := p.db.ExecContext(ctx, "INSERT INTO clients (name) VALUES (%s)", "Hooli"); err != nil {
		return err
	}

	for row, err := range psyco.Query[[]any](ctx, p.db, "SELECT name, total FROM clients ORDER BY id") {
		if err != nil {
			return err
		}
		p.print(row...)
	}
	return nil
}

func (p *program) isolation(ctx context.Context) error {
	tx, err := psyco.BeginTx(ctx, p.db, &psyco.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true, Deferrable: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	level, err := psyco.QueryOne[string](ctx, tx, "SHOW transaction_isolation")
	if err != nil {
		return err
	}
	p.print(level)
	_, err = tx.ExecContext(ctx, "DELETE FROM clients")
	e := pq.As(err, pqerror.ReadOnlySQLTransaction)
	if e == nil {
		return fmt.Errorf("a read-only transaction deletes: %w", err)
	}
	p.print(e.Code)
	return tx.Rollback()
}

func (p *program) autocommit(ctx context.Context) error {
	if _, err := p.db.ExecContext(ctx, "VACUUM clients"); err != nil {
		return err
	}
	return psyco.WithConn(ctx, p.db, func(c *psyco.Conn) error {
		return p.show(c.TxStatus() == 'I')
	})
}

func (p *program) errors(ctx context.Context) error {
	_, err := p.db.ExecContext(ctx, "INSERT INTO clients (email) VALUES (%s)", "info@acme.co")
	if e := pq.As(err, pqerror.UniqueViolation); e != nil {
		p.print(e.Code, e.Constraint)
		return nil
	}
	return fmt.Errorf("two clients with one address: %w", err)
}

func (p *program) savepoints(ctx context.Context) error {
	return psyco.InTx(ctx, p.db, nil, func(tx *sql.Tx) error {
		err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO clients (email) VALUES (%s)", "info@acme.co")
			return err
		})
		if err != nil && pq.As(err, pqerror.UniqueViolation) == nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "UPDATE clients SET total = 0 WHERE id = %s", 3)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		p.print(n)
		return err
	})
}

func (p *program) serverSideCursors(ctx context.Context) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	total := 0
	for i, err := range psyco.Query[int](ctx, tx, "SELECT i FROM generate_series(1, %s) i", 5000, psyco.ServerSide(1000)) {
		if err != nil {
			return err
		}
		total += i
	}
	p.print(total)

	cur, err := psyco.DeclareCursor(ctx, tx, "big", &psyco.CursorOptions{Scroll: true}, "SELECT i FROM generate_series(1, %s) i", 5000)
	if err != nil {
		return err
	}
	if _, err := cur.Scroll(ctx, 99, psyco.ScrollRelative); err != nil {
		return err
	}
	numbers, err := ints(cur.Fetch(ctx, 1))
	if err != nil {
		return err
	}
	p.print(numbers[0])
	if _, err := cur.Scroll(ctx, 0, psyco.ScrollAbsolute); err != nil {
		return err
	}
	if numbers, err = ints(cur.Fetch(ctx, 3)); err != nil {
		return err
	}
	if err := p.show(numbers); err != nil {
		return err
	}

	if _, err := tx.ExecContext(ctx, "DECLARE theirs CURSOR FOR SELECT i * i FROM generate_series(3, 9) i"); err != nil {
		return err
	}
	theirs := psyco.AdoptCursor(tx, "theirs")
	if numbers, err = ints(theirs.Fetch(ctx, 1)); err != nil {
		return err
	}
	p.print(numbers[0])
	return nil
}

// ints reads the only column of a result.
func ints(rows *sql.Rows, err error) (numbers []int, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for i, err := range psyco.ScanRows[int](rows) {
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, i)
	}
	return numbers, nil
}

func (p *program) threads(ctx context.Context) error {
	conn, err := p.db.Conn(ctx) // one for all, as in Python; p.db would give each its own
	if err != nil {
		return err
	}
	defer conn.Close()
	var wg sync.WaitGroup
	names, errs := make([]string, 3), make([]error, 3)
	for i := range names {
		wg.Go(func() {
			names[i], errs[i] = psyco.QueryOne[string](ctx, conn, "SELECT name FROM clients WHERE id = %s", i+1)
		})
	}
	wg.Wait()
	return errors.Join(append(errs, p.show(names))...)
}

func (p *program) largeObjects(ctx context.Context) error {
	return psyco.InTx(ctx, p.db, nil, func(tx *sql.Tx) error {
		store := psyco.LargeObjects(tx)
		lob, err := store.Open(ctx, 0, psyco.LargeObjectReadWrite)
		if err != nil {
			return err
		}
		if _, err := lob.Write([]byte("hello, world")); err != nil {
			return err
		}
		if _, err := lob.Seek(7, io.SeekStart); err != nil {
			return err
		}
		rest, err := io.ReadAll(lob)
		if err != nil {
			return err
		}
		if err := lob.Truncate(5); err != nil {
			return err
		}
		if _, err := lob.Seek(0, io.SeekStart); err != nil {
			return err
		}
		left, err := io.ReadAll(lob)
		if err != nil {
			return err
		}
		p.print(string(rest), string(left))
		if err := lob.Close(); err != nil {
			return err
		}
		if err := store.Unlink(ctx, lob.OID()); err != nil {
			return err
		}

		oid, err := store.Import(ctx, strings.NewReader("\x89PNG"))
		if err != nil {
			return err
		}
		var logo bytes.Buffer
		if _, err := store.Export(ctx, oid, &logo); err != nil {
			return err
		}
		p.print(hex.EncodeToString(logo.Bytes()))
		return psyco.RollbackTx
	})
}

func (p *program) twoPhase(ctx context.Context) error {
	order := fmt.Sprintf("order-%d", os.Getpid())
	xid := psyco.XID{FormatID: 42, GTRID: order, BQual: "warehouse"}
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "UPDATE clients SET total = total + %s WHERE id = %s", 1, 1); err != nil {
		return err
	}
	if err := psyco.PrepareTx(ctx, tx, xid); err != nil {
		return err
	}
	waiting, err := psyco.RecoverPrepared(ctx, p.db)
	if err != nil {
		return err
	}
	var branches []string
	for _, x := range waiting {
		if x.GTRID == order {
			branches = append(branches, x.BQual)
		}
	}
	if err := p.show(branches); err != nil {
		return err
	}
	if err := psyco.CommitPrepared(ctx, p.db, xid); err != nil {
		return err
	}

	total, err := psyco.QueryOne[psyco.Numeric](ctx, p.db, "SELECT total FROM clients WHERE id = %s", 1)
	if err != nil {
		return err
	}
	p.print(total)
	return nil
}

func (p *program) notifications(ctx context.Context) error {
	l := psyco.NewListener(p.connector, nil)
	defer l.Close()
	if err := l.Listen(ctx, "jobs"); err != nil {
		return err
	}
	if _, err := p.db.ExecContext(ctx, "NOTIFY jobs, %s", "wash the dishes"); err != nil {
		return err
	}
	for n, err := range l.Notifications(ctx) {
		if err != nil && !errors.Is(err, psyco.ErrNotificationsMissed) {
			return err
		}
		p.print(n.Channel, n.Payload)
		break
	}
	return nil
}

func (p *program) notices(ctx context.Context) error {
	if _, err := p.db.ExecContext(ctx, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$"); err != nil {
		return err
	}
	n := p.heard[len(p.heard)-1]
	p.print(n.Severity+": ", n.Message)
	return nil
}
