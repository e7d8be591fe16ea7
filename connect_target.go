package psyco

import (
	"database/sql/driver"
	"errors"
	"fmt"
)

// target is a value of target_session_attrs.
type target string

const (
	anyTarget     target = "any"
	readWrite     target = "read-write"
	readOnly      target = "read-only"
	primary       target = "primary"
	standby       target = "standby"
	preferStandby target = "prefer-standby"
)

// checkTarget returns an error if the session is not of the wanted kind. It
// asks the server only for what it did not report by itself, which PostgreSQL
// does from version 14 on (libpq: CONNECTION_CHECK_TARGET).
func (s *session) checkTarget(t target) error {
	var problem string
	var err error
	switch t {
	case readWrite, readOnly:
		var ro bool
		if ro, err = s.isReadOnly(); ro && t == readWrite {
			problem = "session is read-only"
			if v, _ := s.wire.Parameter("in_hot_standby"); v == "on" {
				problem = "server is in hot standby mode"
			}
		} else if !ro && t == readOnly {
			problem = "session is not read-only"
		}
	case primary, standby, preferStandby:
		var inRecovery bool
		if inRecovery, err = s.isStandby(); inRecovery && t == primary {
			problem = "server is in hot standby mode"
		} else if !inRecovery && t != primary {
			problem = "server is not in hot standby mode"
		}
	}
	if err == nil && problem != "" {
		err = errors.New(problem)
	}
	if err != nil {
		return fmt.Errorf("psyco: the server does not fit target_session_attrs=%s: %w", t, err)
	}
	return nil
}

// wantsWrites reports whether target_session_attrs asks for sessions that can write.
func (s *session) wantsWrites() bool {
	t := target(s.cfg.TargetSessionAttrs)
	return t == readWrite || t == primary
}

// stillWrites asks the server itself whether the session can write. It returns an error if
// not: a primary that has become a standby behind a proxy keeps its connections, and a pool
// would fail with them until they are closed.
func (s *session) stillWrites() error {
	ro, err := s.ask("SHOW transaction_read_only")
	if err == nil && ro {
		err = errors.New("the session has become read-only")
	}
	return err
}

func (s *session) isReadOnly() (bool, error) {
	byDefault, known := s.wire.Parameter("default_transaction_read_only")
	inStandby, known2 := s.wire.Parameter("in_hot_standby")
	if byDefault == "on" || inStandby == "on" {
		return true, nil
	}
	if known && known2 {
		return false, nil
	}
	return s.ask("SHOW transaction_read_only")
}

func (s *session) isStandby() (bool, error) {
	if v, known := s.wire.Parameter("in_hot_standby"); known {
		return v == "on", nil
	}
	return s.ask("SELECT pg_catalog.pg_is_in_recovery()")
}

// ask runs a query with one row of one boolean.
func (s *session) ask(query string) (bool, error) {
	answer, err := s.queryBool(query)
	if err == nil {
		return answer, nil
	}
	if errors.Is(err, driver.ErrBadConn) {
		// lib/pq hides the reason, and database/sql would connect again.
		err = errors.New("the connection was lost")
		if fatal := s.wire.Fatal(); fatal != nil {
			err = pqError(fatal)
		}
	}
	return false, fmt.Errorf("%q failed: %w", query, err)
}

func (s *session) queryBool(query string) (bool, error) {
	answered, answer := false, false
	err := queryRows(s.wire, s.base, query, func(row []driver.Value) error {
		if len(row) != 1 {
			return fmt.Errorf("%d columns in the answer", len(row))
		}
		answered = true
		switch v := row[0].(type) {
		case bool:
			answer = v
		case string:
			answer = v == "on"
		case []byte:
			answer = string(v) == "on"
		default:
			return fmt.Errorf("unexpected answer %v", v)
		}
		return nil
	})
	if err == nil && !answered {
		err = errors.New("no row in the answer")
	}
	return answer, err
}
