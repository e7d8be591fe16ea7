package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"github.com/psyco-go/psyco"
)

// BulkRows is enough for two chunks.
const BulkRows = 4200

// BulkWrites are operations that write BulkRows rows with a key.
var BulkWrites = []struct {
	Name  string
	Write func(ctx context.Context, h psyco.Handle, key int) error
}{
	{"ExecMany", func(ctx context.Context, h psyco.Handle, key int) error {
		n, err := psyco.ExecMany(ctx, h, "INSERT INTO t VALUES (%s)", keyed(key))
		return wantAll(n, err)
	}},
	{"ExecValues", func(ctx context.Context, h psyco.Handle, key int) error {
		n, err := psyco.ExecValues(ctx, h, "INSERT INTO t VALUES %s", keyed(key), nil)
		return wantAll(n, err)
	}},
	{"ExecValues RETURNING", func(ctx context.Context, h psyco.Handle, key int) error {
		rows := 0
		n, err := psyco.ExecValues(ctx, h, "INSERT INTO t VALUES %s RETURNING k", keyed(key), &psyco.ValuesOptions{
			Each: func(*sql.Rows) error { rows++; return nil },
		})
		return errors.Join(wantAll(n, err), wantAll(int64(rows), err))
	}},
	{"Batch", func(ctx context.Context, h psyco.Handle, key int) error {
		var b psyco.Batch
		var n int64
		b.Queue("INSERT INTO t SELECT %s::int FROM generate_series(1, %s)", key, BulkRows-1)
		b.Queue("INSERT INTO t VALUES (%s) RETURNING k", key).Each(func(*sql.Rows) error { n++; return nil })
		if err := b.Run(ctx, h); err != nil {
			return err
		}
		return wantAll(n+BulkRows-1, nil)
	}},
}

func keyed(key int) iter.Seq2[[]any, error] {
	return Rows(BulkRows, func(int) []any { return []any{key} })
}

func wantAll(n int64, err error) error {
	if err == nil && n != BulkRows {
		return fmt.Errorf("%d rows, want %d", n, BulkRows)
	}
	return err
}
