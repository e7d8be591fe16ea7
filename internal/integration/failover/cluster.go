//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is two PostgreSQL servers that Patroni looks after, its etcd, and an HAProxy in
// front.
type cluster struct {
	dir     string
	nodes   [2]node
	etcd    *exec.Cmd
	haproxy *exec.Cmd
	port    int // HAProxy's
	kept    bool
	async   bool
}

type node struct {
	name       string
	port, rest int
	conf       string
	patroni    *exec.Cmd
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func freePorts(to ...*int) error {
	for _, p := range to {
		var err error
		if *p, err = freePort(); err != nil {
			return err
		}
	}
	return nil
}

// program starts a program whose log goes to a file of its name.
func (c *cluster) program(name string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("failover: %w", err)
	}
	return cmd, nil
}

func (c *cluster) file(name, text string, args ...any) (string, error) {
	path := filepath.Join(c.dir, name)
	return path, os.WriteFile(path, fmt.Appendf(nil, text, args...), 0o600)
}

func startCluster(ctx context.Context, bin string, async bool) (_ *cluster, err error) {
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, async: async}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the programs' logs: %s", err, c.keepLogs())
			c.close()
		}
	}()
	var client, peer int
	if err := freePorts(&client, &peer, &c.port, &c.nodes[0].port, &c.nodes[0].rest, &c.nodes[1].port, &c.nodes[1].rest); err != nil {
		return nil, err
	}
	peerURL := fmt.Sprint("http://127.0.0.1:", peer)
	clientURL := fmt.Sprint("http://127.0.0.1:", client)
	c.etcd, err = c.program("etcd", "etcd", "--data-dir", filepath.Join(dir, "etcd"), "--name", "etcd", "--unsafe-no-fsync",
		"--listen-client-urls", clientURL, "--advertise-client-urls", clientURL, "--listen-peer-urls", peerURL,
		"--initial-advertise-peer-urls", peerURL, "--initial-cluster", "etcd="+peerURL)
	if err != nil {
		return nil, err
	}
	var servers strings.Builder
	for i := range c.nodes {
		n := &c.nodes[i]
		n.name = fmt.Sprint("db", i+1)
		n.conf, err = c.file(n.name+".yml", `
scope: psyco
name: %[1]s
restapi: {listen: '127.0.0.1:%[2]d', connect_address: '127.0.0.1:%[2]d'}
etcd3: {hosts: '127.0.0.1:%[3]d'}
bootstrap:
  dcs:
    ttl: 5
    loop_wait: 1
    retry_timeout: 2
    synchronous_mode: %[4]t
    postgresql: {use_pg_rewind: true, use_slots: true}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums]
postgresql:
  listen: 127.0.0.1:%[5]d
  connect_address: 127.0.0.1:%[5]d
  bin_dir: '%[6]s'
  data_dir: '%[7]s'
  pgpass: '%[7]s.pgpass'
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
  authentication:
    superuser: {username: postgres, password: none}
    replication: {username: postgres, password: none}
    rewind: {username: postgres, password: none}
  parameters: {unix_socket_directories: '%[8]s', fsync: 'off', max_connections: 200}
  pg_hba: [local all all trust, host all all 127.0.0.1/32 trust, host replication all 127.0.0.1/32 trust]
`, n.name, n.rest, client, !async, n.port, bin, filepath.Join(dir, n.name), dir)
		if err != nil {
			return nil, err
		}
		if err := c.startPatroni(n); err != nil {
			return nil, err
		}
		if i == 0 {
			if err := until(ctx, "there is a leader", func() bool { return c.leader() == n }); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(&servers, "\tserver %s 127.0.0.1:%d check port %d\n", n.name, n.port, n.rest)
	}
	conf, err := c.file("haproxy.cfg", `
global
	maxconn 200
defaults
	mode tcp
	timeout connect 2s
	timeout client 30m
	timeout server 30m
	timeout check 1s
	retries 0
listen primary
	bind 127.0.0.1:%d
	option httpchk GET /primary
	http-check expect status 200
	default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
%s`, c.port, servers.String())
	if err != nil {
		return nil, err
	}
	if c.haproxy, err = c.program("haproxy", "haproxy", "-f", conf, "-db"); err != nil {
		return nil, err
	}
	return c, until(ctx, "the standby is in step", c.inStep)
}

func (c *cluster) startPatroni(n *node) (err error) {
	n.patroni, err = c.program("patroni-"+n.name, "patroni", n.conf)
	return err
}

// dsn is a connection string for the leader.
func (c *cluster) dsn(way string) (string, error) {
	const rest = " user=postgres dbname=postgres sslmode=disable connect_timeout=2"
	switch way {
	case "hosts":
		return fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d target_session_attrs=read-write", c.nodes[0].port, c.nodes[1].port) + rest, nil
	case "haproxy":
		return fmt.Sprintf("host=127.0.0.1 port=%d target_session_attrs=read-write", c.port) + rest, nil
	}
	return "", fmt.Errorf("failover: -way=%s: write hosts, haproxy or both", way)
}

// get asks a node's Patroni.
func get(n *node, path string) (status int, body []byte) {
	client := http.Client{Timeout: time.Second}
	r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", n.rest, path))
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	if err != nil {
		return 0, nil
	}
	return r.StatusCode, body
}

// leader returns the node that says it is the primary, nil for none.
func (c *cluster) leader() *node {
	for i := range c.nodes {
		if status, _ := get(&c.nodes[i], "/primary"); status == http.StatusOK {
			return &c.nodes[i]
		}
	}
	return nil
}

func (c *cluster) other(n *node) *node {
	if n == &c.nodes[0] {
		return &c.nodes[1]
	}
	return &c.nodes[0]
}

// inStep reports whether there is a leader and a standby that may take its place.
func (c *cluster) inStep() bool {
	leader := c.leader()
	if leader == nil {
		return false
	}
	path := "/synchronous"
	if c.async {
		path = "/replica?lag=0"
	}
	status, _ := get(c.other(leader), path)
	return status == http.StatusOK
}

// switchover has Patroni make the standby the leader.
func (c *cluster) switchover(ctx context.Context) error {
	leader := c.leader()
	if leader == nil {
		return errors.New("failover: there is no leader")
	}
	body, err := json.Marshal(map[string]string{"leader": leader.name, "candidate": c.other(leader).name})
	if err != nil {
		return err
	}
	r, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/switchover", leader.rest), "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	said, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return fmt.Errorf("failover: switchover: %d %s, %v", r.StatusCode, said, err)
	}
	return until(ctx, "the standby leads", func() bool { return c.leader() == c.other(leader) })
}

// kill ends the leader and its Patroni as a machine does that loses power, waits until the
// standby has become the leader, and lets the node come back.
func (c *cluster) kill(ctx context.Context) error {
	leader := c.leader()
	if leader == nil {
		return errors.New("failover: there is no leader")
	}
	if err := leader.kill(c.dir); err != nil {
		return err
	}
	if err := until(ctx, "the standby leads", func() bool { return c.leader() == c.other(leader) }); err != nil {
		return err
	}
	return c.startPatroni(leader)
}

// kill kills a node's Patroni, and its server with all processes.
func (n *node) kill(dir string) error {
	syscall.Kill(-n.patroni.Process.Pid, syscall.SIGKILL)
	n.patroni.Wait()
	status, err := os.ReadFile(filepath.Join(dir, n.name, "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(status), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	err = syscall.Kill(pid, syscall.SIGKILL)
	for _, child := range strings.Fields(string(children)) {
		if pid, e := strconv.Atoi(child); e == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return err
}

// keepLogs makes close leave the files, and returns where they are.
func (c *cluster) keepLogs() string {
	c.kept = true
	return c.dir
}

func (c *cluster) close() {
	for i := range c.nodes {
		if n := &c.nodes[i]; n.patroni != nil {
			if err := n.kill(c.dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
				log.Print(err)
			}
		}
	}
	for _, cmd := range []*exec.Cmd{c.haproxy, c.etcd} {
		if cmd != nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			cmd.Wait()
		}
	}
	if !c.kept {
		if err := os.RemoveAll(c.dir); err != nil {
			log.Print(err)
		}
	}
}
