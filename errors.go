package psyco

import (
	"cmp"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/wire"
)

// ErrCommitUnknown is in the chain of Commit's error when the connection was
// lost while the answer to COMMIT was awaited: the transaction may or may not
// have happened. Where that matters, call [TxID] in the transaction, and Committed
// when this error has come.
var ErrCommitUnknown = errors.New("psyco: the connection was lost during COMMIT, so it is not known whether the transaction was committed")

// lostError says that a connection broke while an answer was awaited.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	return "psyco: the connection was lost after the statement was sent, which may or may not have run: " + e.cause.Error()
}

func (e *lostError) Unwrap() error { return e.cause }

// canceledError is what a statement's caller gets whose context ended. Its text
// is the server's; errors.Is finds the context's error, errors.As the
// *pq.Error.
type canceledError struct{ cause, err error }

func (e *canceledError) Error() string   { return e.err.Error() }
func (e *canceledError) Unwrap() []error { return []error{e.cause, e.err} }

// errNotSent takes the place of driver.ErrBadConn where database/sql must not see that,
// see maskBadConn.
var errNotSent = errors.New("psyco: the connection is lost, and the statement was not sent")

// notSentError is the error of a statement that was not sent, because the server has
// ended the session before. database/sql finds driver.ErrBadConn in it and tries another
// connection; where there is none, in a transaction or on a *sql.Conn, the caller
// reads why.
type notSentError struct {
	cause *pq.Error
	mark  error // driver.ErrBadConn or errNotSent
}

func (e *notSentError) Error() string   { return errNotSent.Error() + ": " + e.cause.Error() }
func (e *notSentError) Unwrap() []error { return []error{e.mark, e.cause} }

// notSent is the error for a statement that is not sent because the connection is lost.
func (c *conn) notSent() error {
	if pe := pq.As(c.lost); pe != nil {
		return &notSentError{pe, driver.ErrBadConn}
	}
	return driver.ErrBadConn
}

// fault decides what an error of lib/pq means for the connection and for
// whoever sent the request.
//
// lib/pq answers driver.ErrBadConn for every lost connection, and database/sql
// then sends the statement again on another one. That is right only if the
// server cannot have seen it.
func (c *conn) fault(err error) error {
	if err == nil {
		return nil
	}
	if failed := (*leadError)(nil); errors.As(c.lost, &failed) {
		return failed
	}
	var pe *pq.Error
	if !errors.As(err, &pe) {
		_ = c.wire.LastWords() // for Fatal
	} else if pe.Code == pqerror.ReadOnlySQLTransaction {
		c.demoted = c.sess.wantsWrites()
	}
	if fatal := c.wire.Fatal(); fatal != nil {
		lost := pqError(fatal)
		lost.Hint = cmp.Or(lost.Hint, poolerHint(lost))
		c.lost = lost
		if pe != nil && !pe.Fatal() {
			return err
		}
		if !c.wire.Pending() {
			return c.notSent()
		}
		return c.lost
	}
	if errors.Is(err, wire.ErrProtocol) && !c.wire.Pending() {
		c.lost = err // it was found in an answer that had arrived as a whole
		return err
	}
	if pe != nil {
		if c.wire.Pending() {
			// An error without the ReadyForQuery that belongs to it.
			c.lost = err
		}
		return err
	}
	cause := c.wire.Err()
	broken := cause != nil || errors.Is(err, driver.ErrBadConn)
	if !broken && !c.wire.Pending() {
		return err // lib/pq refused the request before sending it
	}
	if cause == nil {
		cause = err
	}
	if !c.wire.Pending() {
		c.lost = cause
		return driver.ErrBadConn
	}
	if errors.Is(cause, driver.ErrBadConn) {
		cause = errors.New("the server closed it")
	}
	c.lost = &lostError{cause}
	return c.lost
}

var errLost = errors.New("the server closed the connection")

// broken is the error of an operation that has lost its connection. ran says
// that some of it was done.
func (c *conn) broken(ran bool, err error) error {
	switch {
	case ran || c.inTransaction() && !errors.Is(err, driver.ErrBadConn):
		return c.rolledBack(err)
	case c.wire != nil && errors.Is(err, driver.ErrBadConn):
		return errNothingDone
	}
	return err
}

// rolledBack is the error for a connection that was lost within a transaction.
func (c *conn) rolledBack(err error) error {
	var lost *lostError
	var lead *leadError
	switch {
	case errors.As(err, &lead):
		return lead
	case errors.As(err, &lost):
	case errors.Is(err, driver.ErrBadConn):
		// Not in the chain: database/sql and others would try again.
		lost = &lostError{errLost}
		if pe := pq.As(err); pe != nil {
			lost.cause = pe
		}
		err = lost
	case c.lost == nil:
		return err
	}
	return &rolledBackError{err, lost}
}

// rolledBackError says that nothing has been written, where lostError cannot.
type rolledBackError struct {
	err  error
	lost *lostError // nil if the server said why
}

func (e *rolledBackError) Error() string {
	cause := e.err
	if e.lost != nil {
		cause = e.lost.cause
	}
	return "psyco: the connection was lost before the end of the transaction, and the server undoes all of it: " + cause.Error()
}

func (e *rolledBackError) Unwrap() error { return e.err }

// poolerHint says what to do about an error that a pooler has made up.
func poolerHint(e *pq.Error) string {
	for _, h := range []struct{ said, hint string }{
		{"statement pooling mode", "This is pgbouncer, whose pool_mode=statement allows no transactions, neither yours nor those of CopyRows, ExecMany and ServerSide: use pool_mode=transaction."},
		{"unable to execute Describe", "This is pgpool-II, which does not know the cursor of ServerSide: leave that out, or use DeclareCursor and Fetch."},
	} {
		if strings.Contains(e.Message, h.said) {
			return h.hint
		}
	}
	return ""
}

// pqError turns an error that the wire saw into lib/pq's.
func pqError(e *wire.Error) *pq.Error {
	return &pq.Error{
		Severity:         e.Severity,
		Code:             pqerror.Code(e.Code),
		Message:          e.Message,
		Detail:           e.Detail,
		Hint:             e.Hint,
		Position:         e.Position,
		InternalPosition: e.InternalPosition,
		InternalQuery:    e.InternalQuery,
		Where:            e.Where,
		Schema:           e.Schema,
		Table:            e.Table,
		Column:           e.Column,
		DataTypeName:     e.DataTypeName,
		Constraint:       e.Constraint,
		File:             e.File,
		Line:             e.Line,
		Routine:          e.Routine,
	}
}

// class is the class of an SQLSTATE. lib/pq's Class panics where the server gave none.
func class(code pqerror.Code) pqerror.Class {
	if len(code) < 2 {
		return ""
	}
	return code.Class()
}

// isPrepared reports whether a handle made a prepared statement of the text that
// goes with psyco's private argument.
func isPrepared(err error) bool {
	return strings.Contains(err.Error(), "sql: expected 0 arguments")
}

// isForeign reports whether a handle's driver refused psyco's private argument.
func isForeign(err error) bool {
	return strings.Contains(err.Error(), "psyco.operation") || strings.Contains(err.Error(), "psyco.queryOperation")
}
