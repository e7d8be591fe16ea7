package connect_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/testcert"
)

// chainsFile is what libpq 18 with OpenSSL makes of the same certificates. It is recorded
// by -libpqdir, too.
const chainsFile = "testdata/chains.txt"

// chainCase is a server's chain of certificates, and what the client has of it.
type chainCase struct {
	length  int    // of the chain: 1 is a certificate that is its own root
	file    string // which of it are in sslrootcert, by their places: 0 is the server's, the last the root
	sent    string // which of it the server sends
	lists   string // "none", "file", "dir"
	revoked int    // which one its issuer has revoked, -1 for none
	missing int    // whose list is missing, -1 for nobody's
}

func (c chainCase) String() string {
	return fmt.Sprintf("length=%d file=%s sent=%s lists=%s revoked=%d missing=%d", c.length, c.file, c.sent, c.lists, c.revoked, c.missing)
}

// differs is what psyco makes of a case that libpq sees otherwise, "" if it must not.
func (c chainCase) differs() string {
	switch {
	case c.length <= 2 && c.missing == c.length-1: // a file without any list, which libpq passes over
		return "error"
	case c.length == 4 && strings.Contains(c.file, "1") && !strings.Contains(c.file, "2") && strings.Contains(c.file, "3") && strings.Contains(c.sent, "2") && c.revoked < 0 && c.missing <= 0:
		// The chain is whole, but OpenSSL does not look for a link among what the
		// server sends once it has found one in the file.
		return "TLS"
	}
	return ""
}

func chainCases() (all []chainCase) {
	for length := 1; length <= 4; length++ {
		whole := "0123"[:length]
		sent := whole[:max(1, length-1)] // the root is not sent
		for mask := 1; mask < 1<<length; mask++ {
			file := ""
			for i := range length {
				if mask>>i&1 != 0 {
					file += strconv.Itoa(i)
				}
			}
			all = append(all, chainCase{length, file, sent, "none", -1, -1}, chainCase{length, file, "0", "none", -1, -1}, chainCase{length, file, whole, "none", -1, -1})
			for _, lists := range []string{"file", "dir"} {
				for revoked := -1; revoked < length; revoked++ {
					all = append(all, chainCase{length, file, sent, lists, revoked, -1})
				}
			}
			for missing := range length {
				all = append(all, chainCase{length, file, sent, "file", -1, missing})
			}
			all = append(all, chainCase{length, file, "0", "file", length - 2, -1}, chainCase{length, file, whole, "file", length - 2, -1})
		}
	}
	slices.SortFunc(all, func(a, b chainCase) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all)
}

// chains are chains of each length. Every certificate but the server's is an authority.
func chains(t *testing.T) map[int][]*testcert.Cert {
	all := make(map[int][]*testcert.Cert)
	for length := 1; length <= 4; length++ {
		names := testcert.Names("db.example.test")
		if length == 1 {
			all[1] = []*testcert.Cert{testcert.Root(t, "Lone Root", names, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature })}
			continue
		}
		chain := []*testcert.Cert{testcert.Root(t, fmt.Sprint("Chain Root ", length))}
		for i := length - 2; i > 0; i-- {
			chain = append(chain, chain[len(chain)-1].Issue(t, fmt.Sprintf("Intermediate %d of %d", i, length), testcert.Authority()))
		}
		chain = append(chain, chain[len(chain)-1].Issue(t, "server", names))
		slices.Reverse(chain)
		all[length] = chain
	}
	return all
}

func selected(chain []*testcert.Cert, places string) (certs []*testcert.Cert) {
	for _, place := range places {
		certs = append(certs, chain[place-'0'])
	}
	return certs
}

// options writes the client's files, and returns its options.
func (c chainCase) options(t *testing.T, dir string, chain []*testcert.Cert) string {
	var roots []byte
	for _, cert := range selected(chain, c.file) {
		roots = append(roots, cert.PEM()...)
	}
	dsn := " sslmode=verify-full sslrootcert=" + testcert.Write(t, dir, "root.crt", roots)
	if c.lists == "none" {
		return dsn
	}
	var lists [][]byte
	for i, issuer := range chain {
		var revoked []*testcert.Cert
		if c.revoked >= 0 && min(c.revoked+1, len(chain)-1) == i {
			revoked = append(revoked, chain[c.revoked])
		}
		if (i > 0 || len(chain) == 1) && i != c.missing {
			lists = append(lists, issuer.CRL(t, time.Now().Add(time.Hour), revoked...))
		}
	}
	if c.lists == "file" {
		return dsn + " sslcrl=" + testcert.Write(t, dir, "lists.crl", append([][]byte{nil}, lists...)...)
	}
	into := filepath.Join(dir, "lists")
	if err := os.RemoveAll(into); err != nil {
		t.Fatal(err)
	}
	for i, list := range lists {
		testcert.Write(t, into, fmt.Sprint(i, ".r0"), list)
	}
	return dsn + " sslcrldir=" + into
}

// TestCertificateChainsLikeLibpq: which chains are trusted, and where a revoked
// certificate is found.
func TestCertificateChainsLikeLibpq(t *testing.T) {
	recorded := map[string]string{}
	all := chains(t)
	dir := t.TempDir()
	t.Setenv("HOME", t.TempDir())
	if *libpqDir != "" {
		recordChains(t, all, recorded)
	} else {
		data, err := os.ReadFile(chainsFile)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			outcome, c, _ := strings.Cut(strings.TrimSpace(line), " ")
			recorded[c] = outcome
		}
	}
	var shown atomic.Pointer[tls.Config]
	server := fakeServer(t, func(nc net.Conn) {
		if readPacket(nc) == nil {
			return
		}
		nc.Write([]byte("S"))
		if secured := tls.Server(nc, shown.Load()); secured.Handshake() == nil {
			answer(welcome())(secured)
		}
	})
	for _, c := range chainCases() {
		chain := all[c.length]
		pair := tls.Certificate{PrivateKey: chain[0].Key}
		for _, cert := range selected(chain, c.sent) {
			pair.Certificate = append(pair.Certificate, cert.X509.Raw)
		}
		shown.Store(&tls.Config{Certificates: []tls.Certificate{pair}})
		con, err := psyco.NewConnector(server + " host=db.example.test hostaddr=127.0.0.1" + c.options(t, dir, chain))
		if err != nil {
			t.Fatal(err)
		}
		got := "TLS"
		if session, err := con.Connect(t.Context()); err != nil {
			got = "error"
		} else {
			session.Close()
		}
		if want := recorded[c.String()]; got != want && got != c.differs() {
			t.Errorf("%v: %s; libpq 18: %q", c, got, want)
		}
	}
}

func recordChains(t *testing.T, all map[int][]*testcert.Cert, recorded map[string]string) {
	s := withTLS(t)
	dir := t.TempDir()
	var lines []string
	for _, c := range chainCases() {
		sent := selected(all[c.length], c.sent)
		t.Run(c.String(), func(t *testing.T) { useCert(t, s, sent[0], sent[1:]...) })
		dsn := tcp(s, c.options(t, dir, all[c.length]))
		if lists, err := filepath.Glob(filepath.Join(dir, "lists", "*")); err == nil && c.lists == "dir" {
			for _, list := range lists { // OpenSSL finds them by these names
				hash, err := exec.Command("openssl", "crl", "-noout", "-hash", "-in", list).Output()
				if err == nil {
					err = os.Rename(list, filepath.Join(dir, "lists", string(bytes.TrimSpace(hash))+".r0"))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		outcome := strings.SplitN(psqlOutcome(t, s, dsn, "LD_LIBRARY_PATH="+*libpqDir), ":", 2)[0]
		recorded[c.String()] = outcome
		lines = append(lines, outcome+" "+c.String()+"\n")
	}
	slices.Sort(lines)
	if err := os.WriteFile(chainsFile, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}
