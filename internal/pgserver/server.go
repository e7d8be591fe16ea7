// Package pgserver finds or starts PostgreSQL servers for tests and examples.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say what is special about a server. The zero value is good.
type Options struct {
	// Settings go to postgresql.conf, over the package's own. Values are
	// quoted as needed.
	Settings map[string]string
	// HBA is the whole of pg_hba.conf. Empty trusts everyone on the socket
	// and the loopback addresses, for replication too.
	HBA string
	// Setup runs before the first start, to put certificates and the like
	// into the data directory. What it puts there becomes the server's own.
	Setup func(dataDir string) error
	// InitdbArgs are added to initdb's arguments.
	InitdbArgs []string
	// SkipInitdb leaves the data directory empty, for Setup to fill: with
	// pg_basebackup, for example.
	SkipInitdb bool
	// BinDir holds the server's programs. Empty: those of PSYCO_TEST_BIN, else the
	// installed ones.
	BinDir string
}

// A StopMode is how pg_ctl names the ways to stop a server.
type StopMode string

const (
	Smart     StopMode = "TERM" // when the last client has left
	Fast      StopMode = "INT"  // clients are disconnected, their transactions rolled back
	Immediate StopMode = "QUIT" // at once, with recovery at the next start
)

// Server is a running PostgreSQL server. It is safe for concurrent use.
type Server struct {
	dsn  string // of the superuser, on database postgres
	addr string
	dir  string // "" for a server that was there already
	bin  string
	port int

	account *account
	guard   *guard

	end func() error // ends a server that another package has started

	mu     sync.Mutex // one command to the guard at a time
	closed bool

	admin adminDB
	pool  pool
}

const trustHBA = `local all all trust
host all all 127.0.0.1/32 trust
host all all ::1/128 trust
local replication all trust
host replication all 127.0.0.1/32 trust
`

// settings of every own server. Its files need not survive the machine, only
// Kill: what is committed is written, but not flushed.
var settings = map[string]string{
	"listen_addresses":           "127.0.0.1",
	"max_connections":            "200",
	"max_prepared_transactions":  "10",
	"fsync":                      "off",
	"full_page_writes":           "off",
	"logging_collector":          "off",
	"dynamic_shared_memory_type": "mmap", // inside the data directory: gone with it, even after a kill
}

// Settings returns the settings of every own server.
func Settings() map[string]string { return maps.Clone(settings) }

// External is a server that another package has started. end ends it.
func External(dsn, host string, port int, end func() error) *Server {
	return &Server{dsn: dsn, port: port, addr: net.JoinHostPort(host, strconv.Itoa(port)), end: end}
}

// Start starts a server of its own, as another user when this process is
// root. Neither the server nor its directory outlive Close or this process,
// however it ends.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Server{bin: o.BinDir}
	var err error
	if s.bin == "" {
		if s.bin, err = placesFromEnvironment().find(); err != nil {
			return nil, fmt.Errorf("psycotest: %w", err)
		}
	}
	if s.account, err = serverAccount(); err != nil {
		return nil, fmt.Errorf("psycotest: %w", err)
	}
	initdbArgs := append([]string{"--no-sync", "--no-instructions", "--auth=trust", "--username=postgres", "--locale=C", "--encoding=UTF8"}, o.InitdbArgs...)
	if s.guard, err = startGuard(s.bin, s.account.tempDir(), s.account, initdbArgs); err != nil {
		return nil, fmt.Errorf("psycotest: %w", err)
	}
	s.dir = s.guard.dir
	defer announce("starting %s in %s", programs(s.bin), s.dir)()
	if err := s.init(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("psycotest: %w", err), s.Close())
	}
	return s, nil
}

// init makes the data directory and starts the server on a free port.
func (s *Server) init(ctx context.Context, o Options) error {
	data := s.DataDir()
	if o.SkipInitdb {
		if err := errors.Join(os.Mkdir(data, 0o700), s.account.own(data)); err != nil {
			return err
		}
	} else if err := s.initdb(ctx); err != nil {
		return err
	}
	if o.Setup != nil {
		if err := o.Setup(data); err != nil {
			return err
		}
	}
	hba := o.HBA
	if hba == "" {
		hba = trustHBA
	}
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return err
	}
	// Between the search for a free port and its use another process can take it.
	for attempt := 1; ; attempt++ {
		if err := s.configure(o.Settings); err != nil {
			return err
		}
		err := s.start(ctx)
		if err == nil || attempt == 5 || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
}

func (s *Server) initdb(ctx context.Context) error {
	r, err := s.guard.start("initdb")
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.exited:
	}
	if r.status != "0" {
		return fmt.Errorf("%s/initdb failed with status %s:\n%s", s.bin, r.status, s.log())
	}
	return nil
}

// configure picks a port and appends to postgresql.conf, where the last word
// counts.
func (s *Server) configure(extra map[string]string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.port, s.addr = port, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.dsn = fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", s.dir, s.port)

	all := maps.Clone(settings)
	all["port"] = strconv.Itoa(s.port)
	all["unix_socket_directories"] = s.dir
	maps.Copy(all, extra)
	var conf bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(all[name]))
	}
	f, err := os.OpenFile(filepath.Join(s.DataDir(), "postgresql.conf"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(conf.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return s.account.own(s.DataDir())
}

// start starts the server process and returns when it accepts connections.
func (s *Server) start(ctx context.Context) error {
	logged := len(s.log())
	r, err := s.guard.start("postgres")
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.exited:
			return fmt.Errorf("%s/postgres did not start:\n%s", s.bin, s.log()[logged:])
		case <-tick.C:
			if s.ready(r.pid) {
				return nil
			}
		}
	}
}

// ready reads what the server says in postmaster.pid, as pg_ctl does.
func (s *Server) ready(pid string) bool {
	status, err := os.ReadFile(filepath.Join(s.DataDir(), "postmaster.pid"))
	if err != nil {
		return false // not written yet
	}
	lines := strings.Split(string(status), "\n")
	return len(lines) >= 8 && lines[0] == pid && slices.Contains([]string{"ready", "standby"}, strings.TrimSpace(lines[7]))
}

// log returns the server's log, or why it cannot be read.
func (s *Server) log() string {
	log, err := os.ReadFile(s.LogFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(log)
}

// DSN is a connection string for the superuser and the database postgres, over
// the Unix socket for an own server. libpq and lib/pq understand it.
func (s *Server) DSN() string { return s.dsn }

// Addr is where the server listens, on the Network: host:port, a loopback one
// for an own server, or the name of a socket.
func (s *Server) Addr() string { return s.addr }

// Network is "tcp", or "unix" for a server that was there already and that
// EnvDSN leads to by its socket.
func (s *Server) Network() string {
	if filepath.IsAbs(s.addr) {
		return "unix"
	}
	return "tcp"
}

// Port is the TCP port and the number in the socket's name.
func (s *Server) Port() int { return s.port }

// SocketDir is the directory of an own server's Unix socket, else "".
func (s *Server) SocketDir() string { return s.dir }

// DataDir is an own server's data directory, else "".
func (s *Server) DataDir() string {
	if s.dir == "" {
		return ""
	}
	return filepath.Join(s.dir, "data")
}

// LogFile is where an own server logs, else "".
func (s *Server) LogFile() string {
	if s.dir == "" {
		return ""
	}
	return filepath.Join(s.dir, "log")
}

// BinDir holds an own server's programs, else "".
func (s *Server) BinDir() string { return s.bin }

// Command returns a command that runs one of the programs in BinDir as the
// server's user.
func (s *Server) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	s.account.apply(cmd)
	return cmd
}

var errNotOurs = errors.New("psycotest: only a server that was started here can be stopped and started")

// Stop ends the server process; Restart brings it back with its data.
func (s *Server) Stop(mode StopMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop(string(mode))
}

// Kill ends the server as a crash does: by SIGKILL, without a word to clients.
// Its backends notice by themselves a moment later.
func (s *Server) Kill() error { return s.Stop("KILL") }

func (s *Server) stop(signal string) error {
	if s.guard == nil || s.closed {
		return errNotOurs
	}
	if err := s.guard.stop(signal); err != nil {
		return fmt.Errorf("psycotest: %w", err)
	}
	return nil
}

// Restart stops the server with mode Fast if it runs and starts it again, on
// the same port and with the same data.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(string(Fast)); err != nil {
		return err
	}
	// Until the backends of a server that was killed have noticed, none can start.
	for {
		err := s.start(ctx)
		if err == nil {
			return nil
		}
		if !strings.Contains(err.Error(), "pre-existing shared memory block") {
			return fmt.Errorf("psycotest: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("psycotest: %w: %w", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close ends a server that was started here, and leaves nothing of it behind. It leaves a
// server that was there already as it is. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.admin.close()
	if s.end != nil {
		err = errors.Join(err, s.end())
	}
	if s.guard == nil {
		return err
	}
	if err := errors.Join(err, s.guard.close()); err != nil {
		return fmt.Errorf("psycotest: %w", err)
	}
	if err := os.RemoveAll(s.dir); err != nil { // what the server's user could not remove
		return fmt.Errorf("psycotest: %w", err)
	}
	return nil
}
