package connect_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// hostList joins connection strings of single hosts.
func hostList(dsns ...string) string {
	var hosts, ports []string
	for _, dsn := range dsns {
		for field := range strings.FieldsSeq(dsn) {
			if v, ok := strings.CutPrefix(field, "host="); ok {
				hosts = append(hosts, v)
			} else if v, ok := strings.CutPrefix(field, "port="); ok {
				ports = append(ports, v)
			}
		}
	}
	return "host=" + strings.Join(hosts, ",") + " port=" + strings.Join(ports, ",")
}

func deadHost(t *testing.T) string {
	host, port := closedPort(t)
	return "host=" + host + " port=" + port
}

// TestHostList: which answers end the search, by libpq's rules.
func TestHostList(t *testing.T) {
	good := withoutTLS(t)
	last := fmt.Sprintf("host=127.0.0.1 port=%d", good.Port())
	for _, tt := range []struct {
		name, first, want string // want: of the error; "" if the last host is reached
	}{
		{"nobody there", deadHost(t), ""},
		{"no such name", "host=no-such-host.invalid port=1", ""},
		{"no socket", "host=/nonexistent port=1", ""},
		{"starting up", fakeServer(t, answer(errorMessage("57P03", "the database system is starting up"))), ""},
		{"wrong password", fakeServer(t, answer(errorMessage("28P01", "password authentication failed"))), "(28P01)"},
		{"too many clients", fakeServer(t, answer(errorMessage("53300", "sorry"))), "(53300)"},
		{"hangs up", fakeServer(t, func(nc net.Conn) { readPacket(nc) }), "closed the connection when asked for TLS"},
		{"error before TLS", fakeServer(t, func(nc net.Conn) { readPacket(nc); nc.Write(errorMessage("53300", "")) }), "answered the request for TLS with an error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := hostList(tt.first, last) + " user=postgres dbname=postgres"
			d := newDialer(t, dsn)
			count := d.dial
			d.dial = nil // real look-ups
			if tt.name != "no such name" {
				d.dial = count
			}
			s, err := d.connect(t.Context())
			if got := libpqOutcome(t, good, dsn); (got == "plain") != (err == nil) {
				t.Errorf("libpq: %s", got)
			}
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.base.Close()
				if got := portOf(t, s); got != strconv.Itoa(good.Port()) {
					t.Errorf("connected to port %s", got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestHostListError(t *testing.T) {
	dead := deadHost(t)
	d := newDialer(t, hostList(dead, fakeServer(t, answer(errorMessage("57P03", "starting"))), fakeServer(t, answer(errorMessage("28P01", "no"))))+" user=u sslmode=prefer password=secret-word")
	_, err := d.connect(t.Context())
	if err == nil {
		t.Fatal("connected")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 7 || lines[0] != `psyco: could not connect to any of the hosts as user "u", database "u":` {
		t.Errorf("%d lines: %s", len(lines), err)
	}
	for i, h := range d.cfg.Hosts {
		way := " TLS: "
		if i == 0 { // TLS was not reached
			way = h.String() + ": "
		}
		if i+1 < len(lines) && (!strings.HasPrefix(lines[i+1], h.String()) || !strings.Contains(lines[i+1], way)) {
			t.Errorf("line %d: %s, want %s", i+1, lines[i+1], h)
		}
	}
	for _, line := range lines[min(4, len(lines)):] {
		if !strings.HasPrefix(line, "Hint: ") {
			t.Errorf("%s is not a hint", line)
		}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("the refused connection cannot be found")
	}
	var codes []string
	list, ok := errors.Unwrap(err).(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("no list of errors in %T", err)
	}
	for _, e := range list.Unwrap() {
		var pe *pq.Error
		if errors.As(e, &pe) {
			codes = append(codes, string(pe.Code))
		}
	}
	if !slices.Equal(codes, []string{"57P03", "28P01"}) {
		t.Errorf("codes of the servers' errors: %v", codes)
	}
	if strings.Contains(err.Error(), "secret-word") {
		t.Error("the error holds the password")
	}
}

func TestSingleHostError(t *testing.T) {
	t.Run("nobody there", func(t *testing.T) {
		_, err := newDialer(t, deadHost(t)).connect(t.Context())
		if op := (*net.OpError)(nil); !errors.As(err, &op) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v (%T)", err, err)
		}
		if ne, ok := err.(net.Error); !ok || ne.Timeout() {
			t.Errorf("%T is not a net.Error", err)
		}
	})
	t.Run("no such name", func(t *testing.T) {
		d := newDialer(t, "host=no-such-host.invalid")
		d.dial = nil
		_, err := d.connect(t.Context())
		var dns *net.DNSError
		if !errors.As(err, &dns) || dns.Name != "no-such-host.invalid" {
			t.Errorf("got %v (%T)", err, err)
		}
	})
	t.Run("server's error", func(t *testing.T) {
		_, err := newDialer(t, fakeServer(t, answer(errorMessage("57P03", "starting")))).connect(t.Context())
		if pe, ok := err.(*pq.Error); !ok || pe.Code != "57P03" {
			t.Errorf("got %v (%T)", err, err)
		}
	})
}

// TestAddresses: all addresses of a name are tried, and a dialer of the
// program's own gets the name itself.
func TestAddresses(t *testing.T) {
	s := withoutTLS(t) // listens on 127.0.0.1, not on ::1
	d := newDialer(t, fmt.Sprintf("host=localhost port=%d user=postgres dbname=postgres", s.Port()))
	d.dial = nil
	if got := mustQuery(t, mustConnect(t, d), "SELECT host(inet_server_addr())"); got != "127.0.0.1" {
		t.Errorf("connected to %s", got)
	}

	var dialled []string
	d.dial = func(_ context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, network+" "+address)
		return nil, syscall.ECONNREFUSED
	}
	d.cfg.Hosts = []psyco.Host{
		{Host: "behind.a.tunnel", Port: 5432},
		{Host: "named", Hostaddr: "::1", Port: 5433},
		{Host: "/run/pg", Port: 5434},
		{Host: "@abstract", Port: 5435},
	}
	if _, err := d.connect(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	want := []string{"tcp behind.a.tunnel:5432", "tcp [::1]:5433", "unix /run/pg/.s.PGSQL.5434", "unix @abstract/.s.PGSQL.5435"}
	if !slices.Equal(dialled, want) {
		t.Errorf("dialled %q, want %q", dialled, want)
	}
}

func TestLoadBalanceHosts(t *testing.T) {
	var order []string
	d := newDialer(t, "host=127.0.0.1,127.0.0.2,127.0.0.3 load_balance_hosts=random")
	d.dial = func(_ context.Context, _, address string) (net.Conn, error) {
		order = append(order, address)
		return nil, syscall.ECONNREFUSED
	}
	before := slices.Clone(d.cfg.Hosts)
	first := map[string]bool{}
	for len(first) < 3 && len(order) < 3000 {
		n := len(order)
		d.connect(t.Context())
		tried := slices.Sorted(slices.Values(order[n:]))
		if len(slices.Compact(tried)) != 3 {
			t.Fatalf("tried %v", order[n:])
		}
		first[order[n]] = true
	}
	if len(first) != 3 {
		t.Errorf("only %v came first", first)
	}
	if !slices.Equal(before, d.cfg.Hosts) {
		t.Error("the configuration was shuffled")
	}
}

// TestPreferStandbyStops: a second round is for hosts of the wrong kind, not
// for one that refuses the session.
func TestPreferStandbyStops(t *testing.T) {
	d := newDialer(t, fakeServer(t, answer(errorMessage("28P01", "no")))+" sslmode=disable target_session_attrs=prefer-standby")
	dials := countDials(d)
	if _, err := d.connect(t.Context()); err == nil || *dials != 1 {
		t.Errorf("%d attempts, error %v", *dials, err)
	}
}

func TestTargetSessionAttrs(t *testing.T) {
	prime, stand := pgserver.TestPair(t)
	hosts := map[string]*pgserver.Server{"p": prime, "s": stand}
	port := func(name string) string {
		if s, ok := hosts[name]; ok {
			return strconv.Itoa(s.Port())
		}
		_, port := closedPort(t)
		return port
	}
	run := func(t *testing.T, order, attrs, more, want string) {
		t.Helper()
		var names, ports []string
		for name := range strings.SplitSeq(order, "") {
			names, ports = append(names, "127.0.0.1"), append(ports, port(name))
		}
		d := newDialer(t, fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres target_session_attrs=%s %s", strings.Join(names, ","), strings.Join(ports, ","), attrs, more))
		s, err := d.connect(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), want) || len(want) < 2 {
				t.Errorf("%s of %s %s: %v, want %s", attrs, order, more, err, want)
			}
			return
		}
		defer s.base.Close()
		if got := portOf(t, s); len(want) > 1 || got != port(want) {
			t.Errorf("%s of %s %s: connected to port %s, want %s", attrs, order, more, got, want)
		}
	}
	const readOnlyByDefault = "options='-c default_transaction_read_only=on'"
	for _, tt := range []struct{ order, attrs, more, want string }{ // "x" is down
		{"ps", "any", "", "p"}, {"sp", "any", "", "s"}, {"xs", "any", "", "s"},
		{"sp", "read-write", "", "p"}, {"ps", "read-only", "", "s"},
		{"sp", "primary", "", "p"}, {"ps", "standby", "", "s"},
		{"ps", "prefer-standby", "", "s"}, {"px", "prefer-standby", "", "p"}, {"xp", "prefer-standby", "", "p"},
		{"s", "read-write", "", "server is in hot standby mode"},
		{"p", "read-only", "", "session is not read-only"},
		{"s", "primary", "", "server is in hot standby mode"},
		{"p", "standby", "", "server is not in hot standby mode"},
		{"p", "read-only", readOnlyByDefault, "p"},
		{"p", "primary", readOnlyByDefault, "p"},
		{"p", "read-write", readOnlyByDefault, "session is read-only"},
		{"xx", "prefer-standby", "", "connection refused"},
	} {
		run(t, tt.order, tt.attrs, tt.more, tt.want)
	}

	// The standby takes over.
	if err := prime.Stop(pgserver.Immediate); err != nil {
		t.Fatal(err)
	}
	admin := mustConnect(t, newDialer(t, stand.DSN()))
	if got := mustQuery(t, admin, "SELECT pg_promote()"); got != "true" {
		t.Fatalf("pg_promote: %s", got)
	}
	run(t, "ps", "read-write", "", "s")
	run(t, "ps", "primary", "", "s")
	run(t, "ps", "standby", "", "server is not in hot standby mode")
	run(t, "ps", "prefer-standby", "", "s")
}

// TestTargetSessionAttrsAsked: servers before PostgreSQL 14 and poolers do not
// report what the choice depends on; then they are asked, once.
func TestTargetSessionAttrsAsked(t *testing.T) {
	const recovery, show = "SELECT pg_catalog.pg_is_in_recovery()", "SHOW transaction_read_only"
	for _, tt := range []struct {
		attrs  string
		params []string // reported
		query  string   // "": none
		value  string   // the answer
		ok     bool
	}{
		{"any", nil, "", "", true},
		{"primary", nil, recovery, "f", true},
		{"primary", nil, recovery, "t", false},
		{"standby", nil, recovery, "t", true},
		{"standby", nil, recovery, "f", false},
		{"standby", []string{"in_hot_standby", "on"}, "", "", true},
		{"read-write", nil, show, "off", true},
		{"read-write", nil, show, "on", false},
		{"read-only", nil, show, "on", true},
		{"read-only", nil, show, "off", false},
		{"read-only", []string{"default_transaction_read_only", "on"}, "", "", true},
		{"read-write", []string{"default_transaction_read_only", "off"}, show, "off", true},
		{"read-write", []string{"in_hot_standby", "off"}, show, "on", false},
		{"read-write", []string{"in_hot_standby", "on", "default_transaction_read_only", "off"}, "", "", false},
		{"read-write", []string{"in_hot_standby", "off", "default_transaction_read_only", "off"}, "", "", true},
	} {
		t.Run(fmt.Sprintf("%s %v %s", tt.attrs, tt.params, tt.value), func(t *testing.T) {
			asked := make(chan string, 10)
			server := fakeServer(t, func(nc net.Conn) {
				readPacket(nc)
				nc.Write(welcome(tt.params...))
				var kind [1]byte
				for {
					if n, _ := nc.Read(kind[:]); n == 0 || kind[0] != 'Q' {
						return
					}
					asked <- strings.TrimSuffix(string(readPacket(nc)), "\x00")
					column := "x\x00" + strings.Repeat("\x00", 6) + "\x00\x00\x00\x19" + "\xff\xff" + "\xff\xff\xff\xff" + "\x00\x00"
					if strings.HasPrefix(tt.query, "SELECT") {
						column = strings.Replace(column, "\x00\x00\x00\x19", "\x00\x00\x00\x10", 1) // bool
					}
					for _, m := range [][]byte{
						message('T', "\x00\x01"+column),
						message('D', "\x00\x01\x00\x00\x00"+string(rune(len(tt.value)))+tt.value),
						message('C', "SELECT 1\x00"), message('Z', "I"),
					} {
						nc.Write(m)
					}
				}
			})
			s, err := newDialer(t, server+" sslmode=disable target_session_attrs="+tt.attrs).connect(t.Context())
			if err == nil {
				s.base.Close()
			}
			if (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
			if errors.Is(err, driver.ErrBadConn) {
				t.Error("driver.ErrBadConn")
			}
			close(asked)
			if got := <-asked; got != tt.query {
				t.Errorf("asked %q, want %q", got, tt.query)
			}
			if more, ok := <-asked; ok {
				t.Errorf("asked again: %q", more)
			}
		})
	}
}
