package wire_test

import (
	"database/sql/driver"
	"testing"

	"github.com/lib/pq"
)

func TestServerFetchPortal(t *testing.T) {
	s := open(t)
	fetch := func(n uint32, want string, more bool) {
		t.Helper()
		s.FetchPortal("c", n)
		equal(t, "rows", s.rows("FETCH"), want)
		equal(t, "more", s.PortalSuspended(), more)
	}
	s.Prefix("BEGIN")
	s.Prefix("DECLARE c CURSOR FOR SELECT i FROM generate_series(1, 6) i")
	equal(t, "round trips", s.trips(func() { fetch(2, "1\n2", true) }), 1)
	equal(t, "status", s.TxStatus(), 'T')
	equal(t, "another statement", s.rows("SELECT $1", "x"), "x")
	equal(t, "FETCH sees the same position", s.rows("FETCH 1 FROM c"), "3")
	fetch(3, "4\n5\n6", true)
	fetch(3, "", false)
	equal(t, "FETCH goes back", s.rows("FETCH BACKWARD 2 FROM c"), "6\n5")
	fetch(9, "6", false)
	s.must("CLOSE c")
	s.FetchPortal("c", 1)
	equal(t, "no such cursor", code(s.exec("FETCH")), "34000")
	s.must("ROLLBACK")

	s.must("DECLARE c CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 3) i")
	fetch(2, "1\n2", true)
	fetch(2, "3", false)
	s.must("CLOSE c")

	// What is not read is skipped like that of other requests.
	s.must("BEGIN")
	s.must("DECLARE c CURSOR FOR SELECT i FROM generate_series(1, 100000) i")
	s.FetchPortal("c", 50_000)
	rows, err := s.pq.(driver.QueryerContext).QueryContext(t.Context(), "FETCH", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.SkipRows()
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	equal(t, "more", s.PortalSuspended(), true)
	fetch(1, "50001", true)
	s.must("COMMIT")
	s.usable()

	// A row that cannot be computed.
	s.must("BEGIN")
	s.must("DECLARE c CURSOR FOR SELECT 1 / (3 - i) FROM generate_series(1, 9) i")
	fetch(2, "0\n1", true)
	s.FetchPortal("c", 2)
	_, err = s.query("FETCH")
	if pq.As(err, "22012") == nil {
		t.Errorf("division by zero: %v", err)
	}
	equal(t, "status", s.TxStatus(), 'E')
	s.must("ROLLBACK")
	s.usable()
}
