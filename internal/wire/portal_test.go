package wire

import "testing"

func TestFetchPortal(t *testing.T) {
	fetch := cat(msg(frontDescribe, "Pc\x00"), msg(frontExecute, "c\x00", int32(2)), msg(frontSync))
	rows := cat(rowDescription, row("1"), row("2"))
	for _, tt := range []struct {
		name      string
		prefix    string
		written   []byte
		answer    []byte
		want      []byte
		suspended bool
	}{
		{"more rows", "", fetch,
			cat(rows, msg(PortalSuspended), ready('T')),
			cat(rows, complete("FETCH"), ready('T')), true},
		{"the last rows", "", fetch,
			cat(rows, complete("SELECT 2"), ready('T')),
			cat(rows, complete("SELECT 2"), ready('T')), false},
		{"behind a statement", "BEGIN", cat(ridden("BEGIN"), fetch),
			cat(answered("BEGIN"), rows, notice("n"), msg(PortalSuspended), ready('T')),
			cat(rows, notice("n"), complete("FETCH"), ready('T')), true},
		{"behind a statement that fails", "BEGIN", cat(ridden("BEGIN"), fetch),
			cat(failure("ERROR", "25001", "no"), ready('E')),
			cat(failure("ERROR", "25001", "no"), ready('E')), false},
		{"no such portal", "", fetch,
			cat(failure("ERROR", "34000", "no"), ready('E')),
			cat(failure("ERROR", "34000", "no"), ready('E')), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachCut(t, tt.answer, func(t *testing.T, c *Conn, s *script, size int) {
				if tt.prefix != "" {
					c.Prefix(tt.prefix)
				}
				c.FetchPortal("c", 2)
				mustWrite(t, c, query("FETCH"))
				checkBytes(t, "written", s.written(), tt.written)
				checkBytes(t, "delivered", readAll(t, c, size), tt.want)
				check(t, "suspended", c.PortalSuspended(), tt.suspended)
				check(t, "pending", c.Pending(), false)

				// It holds for one request.
				s.writes, s.pieces = nil, [][]byte{cat(complete("SET"), ready('I'))}
				mustWrite(t, c, query("SET a = b"))
				checkBytes(t, "written next", s.written(), query("SET a = b"))
				check(t, "suspended after the next", c.PortalSuspended(), false)
			})
		})
	}
	t.Run("disarmed", func(t *testing.T) {
		c, s := connected(t)
		c.FetchPortal("c", 2)
		c.FetchPortal("", 0)
		mustWrite(t, c, query("x"))
		checkBytes(t, "written", s.written(), query("x"))
	})
	t.Run("waits for a Query", func(t *testing.T) {
		c, s := connected(t)
		c.FetchPortal("c", 2)
		mustWrite(t, c, prepare("", "q"))
		checkBytes(t, "written", s.written(), prepare("", "q"))
	})
}
