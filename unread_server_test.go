package psyco

import (
	"database/sql"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// TestConnectionAfterProtocolError: once a server has sent what is not the protocol,
// nothing that it says on that connection is believed any more.
func TestConnectionAfterProtocolError(t *testing.T) {
	const oneColumn = "\x00\x01k\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00"
	for _, tt := range []struct{ name, row string }{
		{"no columns", ""},
		{"no length", "\x00\x01\x00\x00"},
		{"too short", "\x00\x01\x00\x00\x00\x04ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var connections atomic.Int32
			server := fakeServer(t, func(nc net.Conn) {
				connections.Add(1)
				readPacket(nc)
				nc.Write(welcome("server_version", "18.0"))
				answer := message('1', "")
				for _, m := range [][]byte{message('t', "\x00\x01\x00\x00\x00\x17"), message('T', oneColumn), message('2', ""),
					message('D', tt.row), message('C', "SELECT 1\x00"), message('Z', "I")} {
					answer = append(answer, m...)
				}
				var packet [1 << 10]byte
				for {
					n, err := nc.Read(packet[:])
					if err != nil {
						return
					}
					if packet[0] == 'X' || n == 0 {
						return
					}
					nc.Write(answer)
				}
			})
			db, err := sql.Open("psyco", server+" sslmode=disable password=x")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for i := range 3 {
				var k int
				err := db.QueryRow("SELECT k FROM t WHERE k = $1", 1).Scan(&k)
				if err == nil || !strings.Contains(err.Error(), "psyco: protocol error") {
					t.Errorf("got %v", err)
				}
				if got := int(connections.Load()); got != i+1 {
					t.Errorf("%d connections after %d such errors", got, i+1)
				}
			}
		})
	}
}
