package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

const (
	timeLimit = 5 * time.Second
	rowsLimit = 100
)

// request is what the page sends.
type request struct {
	Query       string          `json:"query"`
	Args        json.RawMessage `json:"args"`
	Transaction bool            `json:"transaction"`
}

// result is what the page shows.
type result struct {
	Error      string      `json:"error"`
	Columns    []column    `json:"columns"`
	Rows       [][]*string `json:"rows"` // nil is NULL
	More       bool        `json:"more"`
	Tag        string      `json:"tag"`
	SQL        string      `json:"sql"`
	Parameters []shown     `json:"parameters"`
	Steps      []step      `json:"steps"`
	Messages   []message   `json:"messages"`
	Hidden     int         `json:"hidden"`
	Bytes      int         `json:"bytes"`
}

type column struct {
	Name string `json:"name"`
	Type string `json:"type"` // the server's name
	Go   string `json:"go"`   // what the program gets
}

// shown is a parameter of the text that the server got.
type shown struct {
	parameter
	Declared string `json:"declared"` // empty: psyco leaves it to the server
	Type     string `json:"type"`     // what it is; empty if that is not known
}

// run runs a query: by itself it may only read, in a transaction it is rolled back.
func (p *playground) run(ctx context.Context, req request) (*result, error) {
	args, err := arguments(req.Args)
	if err != nil {
		return &result{Error: err.Error()}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeLimit+time.Second)
	defer cancel()
	pool := p.reading
	if req.Transaction {
		pool = p.writing
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()

	res := new(result)
	p.wire.start()
	if req.Transaction {
		err = res.rolledBack(ctx, conn, req.Query, args, p.wire)
	} else {
		err = res.query(ctx, conn, req.Query, args)
	}
	seen := p.wire.stop()
	res.Error = describe(err)
	if seen.bound {
		types, err := p.parameterTypes(ctx, seen)
		if err != nil {
			return nil, err
		}
		for i, v := range seen.values {
			s := shown{parameter: v}
			if i < len(types) {
				s.Declared, s.Type = types[i].declared, types[i].actual
			}
			res.Parameters = append(res.Parameters, s)
		}
	}
	res.SQL, res.Tag, res.Steps = seen.sql, seen.tag, seen.steps
	res.Messages, res.Hidden, res.Bytes = seen.messages, seen.hidden, seen.bytes
	return res, nil
}

// rolledBack is query in a transaction, whose end is not shown.
func (r *result) rolledBack(ctx context.Context, conn *sql.Conn, query string, args []any, wire *recorder) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = r.query(ctx, tx, query, args)
	wire.pause()
	if rollbackErr := tx.Rollback(); err == nil && !errors.Is(rollbackErr, sql.ErrTxDone) {
		err = rollbackErr // such as that of COMMIT among what was typed
	}
	return err
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// query reads the first rows of a query.
func (r *result) query(ctx context.Context, h querier, query string, args []any) error {
	//psyco:allow what people type
	rows, err := h.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	for _, t := range types {
		r.Columns = append(r.Columns, column{Name: t.Name(), Type: strings.ToLower(t.DatabaseTypeName())})
	}
	if len(r.Columns) == 0 {
		return rows.Close()
	}
	for values, err := range psyco.ScanRows[[]any](rows) {
		if err != nil {
			return err
		}
		if len(r.Rows) == rowsLimit {
			r.More = true
			break
		}
		row := make([]*string, len(values))
		for i, v := range values {
			if v == nil {
				continue
			}
			text := cell(v)
			row[i] = &text
			r.Columns[i].Go = fmt.Sprintf("%T", v)
		}
		r.Rows = append(r.Rows, row)
	}
	return errors.Join(rows.Err(), rows.Close())
}

// cell is a value as text.
func cell(v any) string {
	switch v := v.(type) {
	case string:
		return short(v)
	case []byte:
		return short(fmt.Sprintf(`\x%x`, v[:min(len(v), textLimit)]))
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case encoding.TextMarshaler:
		if text, err := v.MarshalText(); err == nil {
			return short(string(text))
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return short(fmt.Sprint(v))
	}
	return short(string(text))
}

// describe is an error as a program should print it.
func describe(err error) string {
	var pe *pq.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &pe):
		return pe.ErrorWithDetail()
	}
	return err.Error()
}

type types struct{ declared, actual string }

// parameterTypes asks the server, on a connection that nobody listens to, what the parameters of a text
// are. A text that it did not understand has none.
func (p *playground) parameterTypes(ctx context.Context, seen *recording) (list []types, err error) {
	conn, err := p.asking.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	names := make([]string, len(seen.values))
	list = make([]types, len(seen.values))
	for i := range names {
		names[i] = "unknown"
		if i < len(seen.declared) && seen.declared[i] != 0 {
			if err := conn.QueryRowContext(ctx, "SELECT %s::oid::regtype::text", int64(seen.declared[i])).Scan(&names[i]); err != nil {
				return nil, err
			}
			list[i].declared = names[i]
		}
	}
	with := ""
	if len(names) > 0 {
		with = " (" + strings.Join(names, ", ") + ")"
	}
	// The names are the server's own, and the text is one that it has got before.
	if _, err := conn.ExecContext(ctx, "PREPARE playground"+with+" AS "+seen.sql); err != nil { //psyco:allow see above
		return list, nil // the error that the query had, or a text that cannot be prepared
	}
	defer func() {
		_, deallocateErr := conn.ExecContext(ctx, "DEALLOCATE playground")
		err = errors.Join(err, deallocateErr)
	}()
	var actual []string
	const query = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'playground'"
	if err := conn.QueryRowContext(ctx, query).Scan(psyco.Into(&actual)); err != nil {
		return nil, err
	}
	for i := range min(len(list), len(actual)) {
		list[i].actual = actual[i]
	}
	return list, nil
}

// arguments makes Go values of JSON: an array has those for %s and $1, an object those
// for %(name)s.
func arguments(text json.RawMessage) ([]any, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("the arguments are not JSON: %w", err)
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		args := make([]any, len(v))
		for i := range v {
			args[i] = argument(v[i])
		}
		return args, nil
	case map[string]any:
		named := make(map[string]any, len(v))
		for name := range v {
			named[name] = argument(v[name])
		}
		return []any{named}, nil
	}
	return nil, errors.New(`the arguments must be an array, [1, "two"], or an object, {"name": "ACME"}`)
}

// argument is what a Go program would write for a value of JSON.
func argument(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil && !math.IsInf(f, 0) {
			return f
		}
		return v.String()
	case map[string]any:
		return psyco.JSON[any]{V: v}
	case []any:
		return list(v)
	}
	return v
}

// list is a slice of one type if all elements are of one.
func list(elements []any) any {
	values := make([]any, len(elements))
	for i, e := range elements {
		values[i] = argument(e)
	}
	if s, ok := all[int64](values); ok {
		return s
	}
	if s, ok := all[string](values); ok {
		return s
	}
	if s, ok := all[[]int64](values); ok {
		return s
	}
	if s, ok := all[[]string](values); ok {
		return s
	}
	if s, ok := all[[]any](values); ok {
		return s
	}
	return values
}

func all[T any](values []any) ([]T, bool) {
	typed := make([]T, len(values))
	for i, v := range values {
		t, ok := v.(T)
		if !ok {
			return nil, false
		}
		typed[i] = t
	}
	return typed, len(values) > 0
}
