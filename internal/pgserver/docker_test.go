//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"errors"
	"strings"
	"testing"

	"github.com/ory/dockertest/v3/docker"
)

// engine skips the test where no Docker engine runs.
func engine(t *testing.T) *docker.Client {
	t.Helper()
	client, err := dockerEngine(t.Context(), "")
	if err != nil {
		t.Skip(err)
	}
	return client
}

func TestDocker(t *testing.T) {
	client := engine(t)
	w := waysFromEnvironment()
	s, err := ways{image: w.image, announce: w.announce}.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.container == nil {
		t.Fatal("it is not in Docker")
	}
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
	if !removed(t, client, s.container.id) {
		t.Error("the container is still there")
	}
}

func TestDockerSharedImage(t *testing.T) {
	client := engine(t)
	image := waysFromEnvironment().image
	if err := client.TagImage(image, docker.TagImageOptions{Repo: "psyco-test", Tag: "again", Force: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.RemoveImage("psyco-test:again"); err != nil { // only the tag
			t.Error(err)
		}
	})
	share := func(image string) (*Server, func()) {
		t.Helper()
		s, release, err := SharedImage(t.Context(), image)
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
	first, releaseFirst := share(image)
	same, releaseSame := share(image)
	other, releaseOther := share("psyco-test:again")
	if first != same || first == other || first.container == nil || other.container == nil {
		t.Errorf("three calls for two images gave %p, %p, %p", first, same, other)
	}
	releaseFirst()
	query(t, same.DSN(), "SELECT 1")
	releaseSame()
	query(t, other.DSN(), "SELECT 1")
	releaseOther()
	for _, s := range []*Server{first, other} {
		if !removed(t, client, s.container.id) {
			t.Error("a container outlives its users")
		}
	}
}

// Without an engine, no other way is taken.
func TestImageWithoutDocker(t *testing.T) {
	w := waysFromEnvironment()
	w.docker = noEngine
	if _, err := w.findImage(t.Context(), "postgres:16"); err == nil || !strings.HasPrefix(err.Error(), "psycotest: cannot run the image postgres:16: no Docker engine answers") {
		t.Errorf("got %v", err)
	}
}

func TestDockerAfterKill(t *testing.T) {
	client := engine(t)
	cmd, id := startHelper(t, "docker", true)
	if _, err := client.InspectContainer(id); err != nil {
		t.Fatalf("the helper says %q: %v", id, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container is removed", func() bool { return removed(t, client, id) })
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

func TestDockerFails(t *testing.T) {
	client := engine(t)
	before := containers(t, client)
	announced := ""
	if _, err := startDocker(t.Context(), client, "127.0.0.1:1/psyco/no-such-image", func(what string) { announced = what }); err == nil || !strings.Contains(err.Error(), "no-such-image") {
		t.Errorf("an image that does not exist: %v", err)
	}
	if !strings.Contains(announced, "no-such-image:latest") {
		t.Errorf("the pull was announced with %q", announced)
	}
	// A server that ends at once is reported with what it wrote.
	settings["no_such_setting"] = "1"
	defer delete(settings, "no_such_setting")
	if _, err := startDocker(t.Context(), client, waysFromEnvironment().image, func(string) {}); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
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
