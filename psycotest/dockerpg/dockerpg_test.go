package dockerpg

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ory/dockertest/v3/docker"

	"github.com/psyco-go/psyco/internal/pgserver"
)

// engine skips the test where no Docker engine runs.
func engine(t *testing.T) *docker.Client {
	t.Helper()
	client, err := dial(t.Context(), "")
	if err != nil {
		t.Skip(err)
	}
	return client
}

// image is what the tests run.
func image() string {
	if image := os.Getenv(pgserver.EnvImage); image != "" {
		return image
	}
	return pgserver.DefaultImage
}

// quiet announces nothing.
func quiet(string, ...any) (done func()) { return func() {} }

// query returns a one-value result as text.
func query(t *testing.T, dsn, q string) string {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var v string
	if err := db.QueryRowContext(t.Context(), q).Scan(&v); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return v
}

func TestDocker(t *testing.T) {
	client := engine(t)
	s, c, err := start(t.Context(), client, image(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := query(t, s.DSN(), "SHOW max_prepared_transactions"); got != "10" {
		t.Errorf("max_prepared_transactions: %s", got)
	}
	dsn, drop, err := s.CreateDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	query(t, dsn, "SELECT 1")
	if err := drop(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !removed(t, client, c.id) {
		t.Error("the container is still there")
	}
}

func TestSharedImage(t *testing.T) {
	client := engine(t)
	before := containers(t, client)
	if err := client.TagImage(image(), docker.TagImageOptions{Repo: "psyco-test", Tag: "again", Force: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.RemoveImage("psyco-test:again"); err != nil { // only the tag
			t.Error(err)
		}
	})
	share := func(image string) (*pgserver.Server, func()) {
		t.Helper()
		s, release, err := pgserver.SharedImage(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		return s, func() {
			t.Helper()
			if err := release(); err != nil {
				t.Error(err)
			}
		}
	}
	first, releaseFirst := share(image())
	same, releaseSame := share(image())
	other, releaseOther := share("psyco-test:again")
	if first != same || first == other {
		t.Errorf("three calls for two images gave %p, %p, %p", first, same, other)
	}
	if n := containers(t, client) - before; n != 2 {
		t.Errorf("there are %d containers for two images", n)
	}
	releaseFirst()
	query(t, same.DSN(), "SELECT 1")
	releaseSame()
	query(t, other.DSN(), "SELECT 1")
	releaseOther()
	if n := containers(t, client) - before; n != 0 {
		t.Errorf("%d containers outlive their users", n)
	}
}

// Without an engine, no other way is taken.
func TestNoEngine(t *testing.T) {
	if _, err := dial(t.Context(), "unix:///nonexistent/docker.sock"); err == nil || !strings.HasPrefix(err.Error(), "no Docker engine answers at unix:///nonexistent/docker.sock: ") {
		t.Errorf("got %v", err)
	}
}

// helper is set in the process that TestAfterKill kills.
const helper = "DOCKERPG_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) == "" {
		os.Exit(m.Run())
	}
	client, err := dial(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	_, c, err := start(context.Background(), client, image(), quiet)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.id)
	select {}
}

func TestAfterKill(t *testing.T) {
	client := engine(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), helper+"=1")
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := bufio.NewScanner(stdout)
	line.Scan()
	id := line.Text()
	_, inspect := client.InspectContainer(id)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if inspect != nil {
		t.Fatalf("the helper says %q: %v", id, inspect)
	}
	for !removed(t, client, id) {
		select {
		case <-t.Context().Done():
			t.Fatal("the container is still there")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func removed(t *testing.T, client *docker.Client, id string) bool {
	t.Helper()
	_, err := client.InspectContainer(id)
	if gone := (*docker.NoSuchContainer)(nil); errors.As(err, &gone) {
		return true
	} else if err != nil {
		t.Fatal(err)
	}
	return false
}

func TestImageFails(t *testing.T) {
	client := engine(t)
	before := containers(t, client)
	announced := ""
	announce := func(format string, args ...any) (done func()) {
		announced += fmt.Sprintf(format, args...)
		return func() {}
	}
	if _, _, err := start(t.Context(), client, "127.0.0.1:1/psyco/no-such-image", announce); err == nil || !strings.Contains(err.Error(), "no-such-image") {
		t.Errorf("an image that does not exist: %v", err)
	}
	if announced != "pulling the Docker image 127.0.0.1:1/psyco/no-such-image:latest" {
		t.Errorf("the pull was announced with %q", announced)
	}
	// A server that ends at once is reported with what it wrote.
	settings["no_such_setting"] = "1"
	defer delete(settings, "no_such_setting")
	if _, _, err := start(t.Context(), client, image(), quiet); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("a server that does not start: %v", err)
	}
	if after := containers(t, client); after != before {
		t.Errorf("there are %d containers after the failures, %d before", after, before)
	}
}

func containers(t *testing.T, client *docker.Client) int {
	t.Helper()
	list, err := client.ListContainers(docker.ListContainersOptions{All: true, Filters: map[string][]string{"label": {"com.github.psyco-go=psycotest"}}})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestRemoteEngine(t *testing.T) {
	for endpoint, want := range map[string]string{
		"unix:///var/run/docker.sock":    "",
		"npipe:////./pipe/docker_engine": "",
		"tcp://10.1.2.3:2376":            "10.1.2.3",
		"http://docker:2375":             "docker",
	} {
		if got := remoteHost(endpoint); got != want {
			t.Errorf("%s: got %q, want %q", endpoint, got, want)
		}
		if got := bindIP(endpoint); (got == "127.0.0.1") != (want == "") {
			t.Errorf("%s: the port is published on %s", endpoint, got)
		}
	}
}
