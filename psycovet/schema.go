package psycovet

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"

	"github.com/lib/pq"

	_ "github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/wire"
	"github.com/psyco-go/psyco/psycotest"
)

// Where the schema comes from, and where what the server says of it is kept.
var source struct{ migrations, dsn, record, offline string }

func init() {
	flags := &Analyzer.Flags
	flags.StringVar(&source.migrations, "migrations", "", "files with the schema (a pattern, 'db/*.sql'): they are run in a database of their own, in which the server looks at each query")
	flags.StringVar(&source.dsn, "dsn", "", "connection string of a database with the schema; nothing is run in it")
	flags.StringVar(&source.record, "record", "", "a file to write what the server says into, for -offline")
	flags.StringVar(&source.offline, "offline", "", "a file that -record has written, instead of a server")
}

// schema knows what the server says of queries.
type schema struct {
	mu      sync.Mutex
	db      *sql.DB
	conn    *sql.Conn
	drop    func() error
	hash    string
	answers map[string]answer
	asked   map[string]answer // by this process
}

// answer is what the server says of a query.
type answer struct {
	Error   *serverError `json:",omitempty"`
	Params  []uint32     `json:",omitempty"`
	Columns []wire.Field `json:",omitempty"`
	Misfit  string       `json:",omitempty"` // what Query has against the rows
}

type serverError struct {
	Code, Message string
	Hint          string `json:",omitempty"`
	Position      int    `json:",omitempty"` // in characters, from 1
}

// recording is the file that -record writes. Its keys are in order, so that its changes
// are few.
type recording struct {
	Schema  string
	Queries map[string]answer
}

var opened struct {
	once   sync.Once
	schema *schema
	err    error
}

// theSchema returns the schema that the flags name, nil if they name none.
func theSchema() (*schema, error) {
	opened.once.Do(func() { opened.schema, opened.err = openSchema(context.Background()) })
	return opened.schema, opened.err
}

func openSchema(ctx context.Context) (*schema, error) {
	s := &schema{asked: make(map[string]answer)}
	switch {
	case source.offline != "":
		return s, s.load()
	case source.migrations == "" && source.dsn == "":
		if source.record != "" {
			return nil, errors.New("-record needs a schema: give -migrations or -dsn, too")
		}
		return nil, nil
	case source.migrations != "" && source.dsn != "":
		return nil, errors.New("-migrations makes a database of its own: -dsn is for one that is there")
	}
	dsn := source.dsn
	if source.migrations != "" {
		m, err := readMigrations(source.migrations)
		if err != nil {
			return nil, err
		}
		s.hash = m.hash
		server, err := psycotest.Open(ctx)
		if err != nil {
			return nil, err
		}
		if dsn, s.drop, err = server.NewDatabase(ctx); err != nil {
			return nil, err
		}
		if err := m.run(ctx, dsn); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, s.connect(ctx, dsn)
}

func (s *schema) connect(ctx context.Context, dsn string) (err error) {
	if s.db, err = sql.Open("psyco", dsn); err != nil {
		return err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return errors.Join(err, s.close())
	}
	if s.hash == "" {
		s.hash, err = catalogHash(ctx, s.conn)
	}
	return err
}

// catalogHash is a name for the schema of a database: the tables with their columns, the
// types and the functions that are not the system's.
func catalogHash(ctx context.Context, conn *sql.Conn) (hash string, err error) {
	err = conn.QueryRowContext(ctx, `
		SELECT md5(COALESCE(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''))
		FROM (
			SELECT concat_ws(' ', 'column', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) AS line
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
				AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
			UNION ALL
			SELECT concat_ws(' ', 'function', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), format_type(p.prorettype, NULL))
			FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
			UNION ALL
			SELECT concat_ws(' ', 'type', n.nspname, t.typname, t.typtype)
			FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
			WHERE t.typtype IN ('e', 'd', 'r') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		) lines`).Scan(&hash)
	return hash, err
}

// load reads the file of -offline.
func (s *schema) load() error {
	data, err := os.ReadFile(source.offline)
	if err != nil {
		return err
	}
	var r recording
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", source.offline, err)
	}
	if source.migrations != "" {
		m, err := readMigrations(source.migrations)
		if err != nil {
			return err
		}
		if m.hash != r.Schema {
			return fmt.Errorf("%s was recorded with other migrations than %s: %s", source.offline, source.migrations, renew())
		}
	}
	s.answers, s.hash = r.Queries, r.Schema
	if s.answers == nil {
		s.answers = make(map[string]answer)
	}
	return nil
}

// renew says how to make a recording.
func renew() string {
	migrations := source.migrations
	if migrations == "" {
		migrations = "db/*.sql"
	}
	return fmt.Sprintf("write it anew with psycovet -migrations '%s' -record %s ./...", migrations, source.offline)
}

// Finish writes the file of -record and gives the database back. It is for the end of a
// process that has run the analyzer.
func Finish() error {
	s := opened.schema
	if s == nil {
		return nil
	}
	var err error
	if source.record != "" && opened.err == nil && source.offline == "" {
		var data []byte
		if data, err = json.MarshalIndent(recording{s.hash, s.asked}, "", "\t"); err == nil {
			err = os.WriteFile(source.record, append(data, '\n'), 0o644)
		}
	}
	return errors.Join(err, s.close())
}

func (s *schema) close() (err error) {
	if s.conn != nil {
		err = s.conn.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	if s.drop != nil {
		err = errors.Join(err, s.drop())
	}
	s.conn, s.db, s.drop = nil, nil, nil
	return err
}

// describer is what psyco's connections offer psycovet.
type describer interface {
	Describe(ctx context.Context, sql string, args []driver.NamedValue) (params []uint32, columns []wire.Field, err error)
	Fits(typ reflect.Type, columns []wire.Field, lax bool) error
}

// question is what a query is asked about, beside its text.
type question struct {
	sql  string
	args []driver.NamedValue // with the types to declare
	row  reflect.Type        // T of Query, nil for none
	lax  bool
}

// key names a question in the recording.
func (q *question) key() string {
	key := q.sql
	for i := range q.args {
		key += fmt.Sprintf("\n-- $%d %T", i+1, q.args[i].Value)
	}
	if q.row != nil {
		sum := sha256.Sum256([]byte(q.row.String()))
		key += fmt.Sprintf("\n-- %s %v", hex.EncodeToString(sum[:8]), q.lax)
	}
	return key
}

// errNotRecorded is for a query that a recording has nothing about.
var errNotRecorded = errors.New("not recorded")

// ask has the server, or the recording, answer a question.
func (s *schema) ask(q question) (a answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := q.key()
	if s.answers != nil {
		a, ok := s.answers[key]
		if !ok {
			return a, errNotRecorded
		}
		return a, nil
	}
	if a, ok := s.asked[key]; ok {
		return a, nil
	}
	err = s.conn.Raw(func(dc any) error {
		in := dc.(describer)
		var err error
		a.Params, a.Columns, err = in.Describe(context.Background(), q.sql, q.args)
		if a.Error = refusal(err); a.Error != nil {
			return nil
		}
		if err == nil && q.row != nil {
			if misfit := in.Fits(q.row, a.Columns, q.lax); misfit != nil {
				a.Misfit = misfit.Error()
			}
		}
		return err
	})
	if err == nil {
		for i := range a.Columns { // they differ from one database to the next
			a.Columns[i].TableOID = 0
		}
		s.asked[key] = a
	}
	return a, err
}

// refusal returns what the server has against a query. Errors of other classes say nothing
// about it: the connection is lost, the server is short of memory.
func refusal(err error) *serverError {
	var pe *pq.Error
	if !errors.As(err, &pe) {
		return nil
	}
	switch pe.Code.Class() {
	case "42", "22", "0A", "21", "2F", "3F":
	default:
		return nil
	}
	e := &serverError{Code: string(pe.Code), Message: pe.Message, Hint: pe.Hint}
	fmt.Sscan(pe.Position, &e.Position)
	return e
}
