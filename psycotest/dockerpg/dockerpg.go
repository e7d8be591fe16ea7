// Package dockerpg lets psycotest run its servers in Docker. A test imports it for
// that alone:
//
//	import _ "github.com/psyco-go/psyco/psycotest/dockerpg"
//
// From then on psycotest.Image works, and where neither PSYCO_TEST_DSN is set nor server
// programs are installed, psycotest runs the image that PSYCO_TEST_IMAGE names,
// else postgres:17, before it downloads anything.
//
// It is a package of its own so that only those who want a container compile Docker's
// client. The container is gone when the process has ended: also after kill -9.
package dockerpg

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/ory/dockertest/v3"
	"github.com/ory/dockertest/v3/docker"

	"github.com/psyco-go/psyco/internal/pgserver"
)

func init() {
	pgserver.RegisterImages(func(ctx context.Context, image string, announce pgserver.Announcer) (*pgserver.Server, error) {
		client, err := dial(ctx, "")
		if err != nil {
			return nil, err
		}
		s, _, err := start(ctx, client, image, announce)
		return s, err
	})
}

//go:embed guard.sh
var containerScript string

// settings go to the server as arguments.
var settings = pgserver.Settings()

// patience is how long a container may take until it accepts connections.
const patience = 2 * time.Minute

// container is a server in Docker. It lives as long as this process is
// attached to its standard input.
type container struct {
	client *docker.Client
	id     string
	stdin  io.Closer
	output *tail
	ended  chan struct{} // closed when the container has ended
}

// dial returns the engine at endpoint, or where DOCKER_HOST says if
// that is empty, once it has answered.
func dial(ctx context.Context, endpoint string) (*docker.Client, error) {
	pool, err := dockertest.NewPool(endpoint)
	if err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	if err := pool.Client.PingWithContext(ctx); err != nil {
		return nil, fmt.Errorf("no Docker engine answers at %s: %w", pool.Client.Endpoint(), err)
	}
	return pool.Client, nil
}

// start runs image, which must behave like the official postgres one: it takes
// POSTGRES_PASSWORD and arguments for the server.
func start(ctx context.Context, client *docker.Client, image string, announce pgserver.Announcer) (_ *pgserver.Server, _ *container, err error) {
	if image, err = pull(client, image, announce); err != nil {
		return nil, nil, err
	}
	defer announce("starting the Docker image %s", image)()
	password := rand.Text()
	c, err := runContainer(ctx, client, image, password)
	if err != nil {
		return nil, nil, fmt.Errorf("the Docker image %s: %w", image, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("the Docker image %s: %w", image, err), c.close())
		}
	}()
	host, port, err := c.address()
	if err != nil {
		return nil, nil, err
	}
	dsn := fmt.Sprintf("host=%s port=%d user=postgres password=%s dbname=postgres sslmode=disable", host, port, password)
	if err := c.await(ctx, dsn); err != nil {
		return nil, nil, err
	}
	return pgserver.External(dsn, host, port, c.close), c, nil
}

// pull gets the image if the engine does not have it, and returns its full name.
func pull(client *docker.Client, image string, announce pgserver.Announcer) (string, error) {
	repository, tag := docker.ParseRepositoryTag(image)
	if tag == "" && !strings.Contains(image, "@") {
		tag = "latest"
		image += ":latest"
	}
	if _, err := client.InspectImage(image); err == nil {
		return image, nil
	} else if !errors.Is(err, docker.ErrNoSuchImage) {
		return "", fmt.Errorf("the Docker image %s: %w", image, err)
	}
	defer announce("pulling the Docker image %s", image)()
	if strings.Contains(image, "@") {
		repository = image
	}
	if err := client.PullImage(docker.PullImageOptions{Repository: repository, Tag: tag}, docker.AuthConfiguration{}); err != nil {
		return "", fmt.Errorf("cannot pull the Docker image %s: %w", image, err)
	}
	return image, nil
}

// runContainer starts the container and attaches to it, in the order that
// leaves nothing running if this process is killed in between.
func runContainer(ctx context.Context, client *docker.Client, image, password string) (*container, error) {
	info, err := client.InspectImage(image)
	if err != nil {
		return nil, err
	}
	entrypoint := append([]string{"sh", "-c", containerScript, "guard"}, info.Config.Entrypoint...)
	command := []string{"postgres"}
	for name, value := range settings {
		if name != "listen_addresses" { // inside the container it is every address
			command = append(command, "-c", name+"="+value)
		}
	}
	created, err := client.CreateContainer(docker.CreateContainerOptions{
		Context: ctx,
		Config: &docker.Config{
			Image:        image,
			Entrypoint:   entrypoint,
			Cmd:          command,
			Env:          []string{"POSTGRES_PASSWORD=" + password},
			ExposedPorts: map[docker.Port]struct{}{"5432/tcp": {}},
			Labels:       map[string]string{"com.github.psyco-go": "psycotest"},
			AttachStdin:  true,
			OpenStdin:    true,
			StdinOnce:    true,
		},
		HostConfig: &docker.HostConfig{
			AutoRemove:   true,
			PortBindings: map[docker.Port][]docker.PortBinding{"5432/tcp": {{HostIP: bindIP(client.Endpoint())}}},
		},
	})
	if err != nil {
		return nil, err
	}
	input, stdin := io.Pipe()
	c := &container{client: client, id: created.ID, stdin: stdin, output: &tail{}, ended: make(chan struct{})}
	attached := make(chan struct{})
	stream, err := client.AttachToContainerNonBlocking(docker.AttachToContainerOptions{
		Container:    c.id,
		InputStream:  input,
		OutputStream: c.output,
		ErrorStream:  c.output,
		Success:      attached,
		Stream:       true,
		Stdin:        true,
		Stdout:       true,
		Stderr:       true,
	})
	if err != nil {
		close(c.ended)
		return nil, errors.Join(err, c.close())
	}
	<-attached
	attached <- struct{}{}
	go func() {
		defer close(c.ended)
		if err := stream.Wait(); err != nil {
			fmt.Fprintf(c.output, "attached stream: %v\n", err)
		}
	}()
	if err := client.StartContainerWithContext(c.id, nil, ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// bindIP is the address to publish the port on: the loopback one, unless the
// engine is on another machine.
func bindIP(endpoint string) string {
	if host := remoteHost(endpoint); host != "" {
		return "0.0.0.0"
	}
	return "127.0.0.1"
}

// remoteHost returns the engine's machine, "" for this one.
func remoteHost(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme == "unix" || u.Scheme == "npipe" {
		return ""
	}
	return u.Hostname()
}

// address returns where the server's port is published.
func (c *container) address() (host string, port int, err error) {
	info, err := c.client.InspectContainer(c.id)
	if err != nil {
		return "", 0, fmt.Errorf("%w\n%s", err, c.output)
	}
	host = "127.0.0.1"
	if remote := remoteHost(c.client.Endpoint()); remote != "" {
		host = remote
	}
	for _, binding := range info.NetworkSettings.Ports["5432/tcp"] {
		if _, err := fmt.Sscan(binding.HostPort, &port); err == nil {
			return host, port, nil
		}
	}
	return "", 0, fmt.Errorf("port 5432 is not published\n%s", c.output)
}

// await returns when the server accepts connections.
func (c *container) await(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := connector.Connect(ctx)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server in the container does not accept connections: %w\n%s", err, c.output)
		case <-c.ended:
			return fmt.Errorf("the container has ended\n%s", c.output)
		case <-tick.C:
		}
	}
}

// close ends the container and waits until it is removed.
func (c *container) close() error {
	err := c.stdin.Close()
	remove := c.client.RemoveContainer(docker.RemoveContainerOptions{ID: c.id, Force: true, RemoveVolumes: true})
	gone, refused := (*docker.NoSuchContainer)(nil), (*docker.Error)(nil)
	beingRemoved := errors.As(remove, &gone) || errors.As(remove, &refused) && refused.Status == http.StatusConflict
	if remove != nil && !beingRemoved {
		return errors.Join(err, remove)
	}
	<-c.ended
	for {
		_, inspect := c.client.InspectContainer(c.id)
		if errors.As(inspect, &gone) {
			return err
		} else if inspect != nil {
			return errors.Join(err, inspect)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const size = 8 << 10
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-size):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
