package psyco

import (
	"reflect"
	"testing"
)

func TestHosts(t *testing.T) {
	three := func(port uint16) []Host {
		return []Host{{Host: "/var/run/postgresql", Port: port}, {Host: "/tmp", Port: port}, {Host: "localhost", Port: port}}
	}
	for _, tt := range []struct {
		name, dsn string
		want      []Host
	}{
		{"none", "", three(5432)},
		{"only a port", "port=1", three(1)},
		{"empty", "host='' hostaddr='' port=''", three(5432)},
		{"one", "host=a", []Host{{Host: "a", Port: 5432}}},
		{"one port for all", "host=a,b port=7", []Host{{Host: "a", Port: 7}, {Host: "b", Port: 7}}},
		{"a port for each", "host=a,b port=7,8", []Host{{Host: "a", Port: 7}, {Host: "b", Port: 8}}},
		{"an empty port in a list", "host=a,b port=7,", []Host{{Host: "a", Port: 7}, {Host: "b", Port: 5432}}},
		{"a URI's ports", "postgres://a:1,b,c:3/", []Host{{Host: "a", Port: 1}, {Host: "b", Port: 5432}, {Host: "c", Port: 3}}},
		{"an empty host in a list", "host=a,, port=1,2,3", append(append([]Host{{Host: "a", Port: 1}}, three(2)...), three(3)...)},
		{"only addresses", "hostaddr=10.0.0.1,::1", []Host{{Hostaddr: "10.0.0.1", Port: 5432}, {Hostaddr: "::1", Port: 5432}}},
		{"names and addresses", "host=a,b hostaddr=10.0.0.1,", []Host{{Host: "a", Hostaddr: "10.0.0.1", Port: 5432}, {Host: "b", Port: 5432}}},
		{"an address with a zone", "hostaddr=fe80::1%eth0", []Host{{Hostaddr: "fe80::1%eth0", Port: 5432}}},
		{"sockets", "host=/a@b,@abstract port=1", []Host{{Host: "/a@b", Port: 1}, {Host: "@abstract", Port: 1}}},
		{"spaces around a port", "host=a port=' 7 '", []Host{{Host: "a", Port: 7}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustParse(t, tt.dsn, nil).Hosts; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHostErrors(t *testing.T) {
	for _, tt := range []struct{ dsn, want string }{
		{"postgres://u:sec@ret@h/db", `host names hold no "@": in a URI, percent-encode the "@" of a user name or password as %40`},
		{"host=a,b port=1,2,3", "could not match 3 port numbers to 2 hosts"},
		{"host=a,b,c port=1,2", "could not match 2 port numbers to 3 hosts"},
		{"port=1,2", "could not match 2 port numbers to 1 hosts"},
		{"host=a,b hostaddr=10.0.0.1", "could not match 2 host names to 1 hostaddr values"},
		{"port=x", `invalid integer value "x" for connection option "port"`},
		{"port=1.5", `invalid integer value "1.5" for connection option "port"`},
		{"port=99999999999", `invalid integer value "99999999999" for connection option "port"`},
		{"port=0", `invalid port number: "0"`},
		{"port=65536", `invalid port number: "65536"`},
		{"port=-1", `invalid port number: "-1"`},
		{"hostaddr=localhost", `could not parse network address "localhost"`},
		{"host=a,localhost:5433", `"localhost:5433" is no host: the port goes into port=, as in host=localhost port=5433`},
		{"hostaddr=10.0.0", `could not parse network address "10.0.0"`},
	} {
		wantError(t, tt.dsn, nil, tt.want)
	}
}

func TestHostString(t *testing.T) {
	for want, h := range map[string]Host{
		"a:1":         {Host: "a", Hostaddr: "10.0.0.1", Port: 1, Password: "secret"},
		"[::1]:2":     {Hostaddr: "::1", Port: 2, Password: "secret"},
		"/tmp:5432":   {Host: "/tmp", Port: 5432},
		"[fe80::1]:3": {Host: "fe80::1", Port: 3},
	} {
		if got := h.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := h.GoString(); got != "psyco.Host{"+want+"}" {
			t.Errorf("got %s", got)
		}
	}
}
