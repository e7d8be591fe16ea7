package integration_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// room is a package and where it stands.
type room struct {
	pkg   string // without the module's path
	floor int
}

// floors are the packages that the driver is made of, from the ground up. Each may
// import what stands below it, and nothing else of the module.
var floors = []room{
	{pkg: "internal/spelling", floor: 0},
	{pkg: "internal/sqllex", floor: 1},
	{pkg: "internal/stmtcache", floor: 1},
	{pkg: "internal/pemkey", floor: 1},
	{pkg: "internal/saslprep", floor: 1},
	{pkg: "internal/scram", floor: 1},
	{pkg: "internal/conninfo", floor: 1},
	{pkg: "internal/pgform", floor: 1},
	{pkg: "internal/wire", floor: 1},
	{pkg: "internal/placeholder", floor: 2},
	{pkg: "internal/tlsconf", floor: 2},
	{pkg: "internal/dial", floor: 3},
	{pkg: "", floor: 4},
}

// TestImportsOnlyGoDown: no package of the driver imports one above it, and all that
// the driver links is in the list.
func TestImportsOnlyGoDown(t *testing.T) {
	const module = "github.com/psyco-go/psyco"
	out, err := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module).Output()
	if err != nil {
		t.Fatal(err)
	}
	name := func(path string) (string, bool) {
		rest, ok := strings.CutPrefix(path, module)
		return strings.TrimPrefix(rest, "/"), ok
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from, ours := name(fields[0])
		if !ours {
			continue
		}
		i := slices.IndexFunc(floors, func(r room) bool { return r.pkg == from })
		if i < 0 {
			t.Errorf("%s is linked, but on no floor: add it to the list, and to docs/architecture.md", fields[0])
			continue
		}
		for _, path := range fields[1:] {
			to, ours := name(path)
			if !ours {
				continue
			}
			for _, f := range floors {
				if f.pkg == to && f.floor >= floors[i].floor {
					t.Errorf("%s imports %s, which does not stand below it", fields[0], path)
				}
			}
		}
	}
}
