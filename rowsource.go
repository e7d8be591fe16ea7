package psyco

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"iter"
	"strings"
)

// A RowError tells which rows an error of ExecMany or ExecValues is about. The
// *pq.Error of the server, if it is the server's, is in its chain.
type RowError struct {
	Row  int // the first one, counted from 1
	Rows int // how many; more than 1 only if ExecValues sent them as one statement
	Err  error
}

func (e *RowError) Error() string {
	where := fmt.Sprintf("row %d", e.Row)
	if e.Rows > 1 {
		where = fmt.Sprintf("rows %d to %d", e.Row, e.Row+e.Rows-1)
	}
	return "psyco: " + where + ": " + strings.TrimPrefix(e.Err.Error(), "psyco: ")
}

func (e *RowError) Unwrap() error { return e.Err }

// rowSource reads rows of arguments, a chunk at a time, and one row ahead: it
// must be known whether a chunk is the last.
type rowSource struct {
	next func() ([]any, error, bool)
	stop func()

	ahead []any // the row after the chunk
	more  bool  // there is one
	first int   // how many rows came before the chunk

	values []any // of the chunk, row after row
	ends   []int // of each row in values
	args   []driver.NamedValue
}

const (
	chunkRows  = 4096
	chunkBytes = 1 << 20 // of strings and bytes
)

// newRowSource begins to read rows.
func newRowSource(rows iter.Seq2[[]any, error]) (*rowSource, error) {
	s := &rowSource{}
	s.next, s.stop = iter.Pull2(rows)
	if err := s.advance(0); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *rowSource) advance(row int) (err error) {
	s.ahead, err, s.more = s.next()
	if err != nil && s.more {
		return &RowError{Row: row + 1, Rows: 1, Err: err}
	}
	return nil
}

// fill reads the next chunk: at most limit rows.
func (s *rowSource) fill(limit int) error {
	s.first += len(s.ends)
	s.values, s.ends = s.values[:0], s.ends[:0]
	size := 0
	for s.more && len(s.ends) < limit && size < chunkBytes {
		for _, v := range s.ahead {
			switch x := v.(type) {
			case string:
				size += len(x)
			case []byte: // the iterator may use it again
				size += len(x)
				v = bytes.Clone(x)
			case sql.RawBytes:
				size += len(x)
				v = []byte(bytes.Clone(x))
			}
			s.values = append(s.values, v)
		}
		s.ends = append(s.ends, len(s.values))
		if err := s.advance(s.first + len(s.ends)); err != nil {
			return err
		}
	}
	return nil
}

func (s *rowSource) len() int { return len(s.ends) }

// row returns the values of a row of the chunk.
func (s *rowSource) row(i int) []any {
	start := 0
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.values[start:s.ends[i]]
}

// arguments returns the row's values as database/sql would pass them. They are
// valid until the next call.
func (s *rowSource) arguments(i int) []driver.NamedValue {
	s.args = numbered(s.args[:0], s.row(i))
	return s.args
}

// error says that err is about rows of the chunk.
func (s *rowSource) error(i, n int, err error) error {
	return &RowError{Row: s.first + i + 1, Rows: n, Err: err}
}
