//go:build linux || darwin || freebsd

package dial

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/conninfo"
)

func TestCheckPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	self, err := conninfo.OSUser() // the other end is this process
	if err != nil {
		t.Fatal(err)
	}

	if err := checkPeer(nc, ""); err != nil {
		t.Errorf("without requirepeer: %v", err)
	}
	if err := checkPeer(nc, self); err != nil {
		t.Errorf("the right user: %v", err)
	}
	err = checkPeer(nc, "somebody else")
	want := `psyco: requirepeer specifies "somebody else", but actual peer user name is "` + self + `"`
	if err == nil || err.Error() != want {
		t.Errorf("the wrong user:\n got %v\nwant %s", err, want)
	}

	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := checkPeer(a, "somebody else"); err != nil {
		t.Errorf("not a Unix-domain socket: %v", err)
	}

	nc.Close()
	if err := checkPeer(nc, self); err == nil || !strings.Contains(err.Error(), "could not get peer credentials") {
		t.Errorf("a closed socket: %v", err)
	}
}
