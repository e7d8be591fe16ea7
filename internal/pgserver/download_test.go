//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// repository serves the installed server programs as a Maven repository would
// that the library downloads from, and counts the archives it serves.
func repository(t *testing.T) (url string, served *atomic.Int32) {
	t.Helper()
	archive := jar(t)
	sum := sha256.Sum256(archive)
	served = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/io/zonky/test/postgres/embedded-postgres-binaries-"):
			http.NotFound(w, r)
		case strings.HasSuffix(r.URL.Path, string(downloadVersion)+".jar"):
			served.Add(1)
			w.Write(archive)
		case strings.HasSuffix(r.URL.Path, ".jar.sha256"):
			w.Write([]byte(hex.EncodeToString(sum[:])))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, served
}

// TestDownload runs the download in processes of an ordinary user's, two at
// once and a third one later.
func TestDownload(t *testing.T) {
	url, served := repository(t)
	cache, temp := publicDir(t), publicDir(t)
	env := []string{EnvDownload + "=" + url, "PGSERVER_TEST_CACHE=" + cache, "TMPDIR=" + temp}

	var first []string
	t.Run("at once", func(t *testing.T) {
		lines := make(chan string, 2)
		for range cap(lines) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				_, line := startHelper(t, "download", false, env...)
				lines <- line
				usable(t, line, cache)
			})
		}
		t.Cleanup(func() {
			close(lines) // one that failed has sent nothing
			for line := range lines {
				first = append(first, line)
			}
		})
	})
	_, again := startHelper(t, "download", false, env...)
	usable(t, again, cache)

	if n := served.Load(); n != 1 {
		t.Errorf("the archive was downloaded %d times:\n%q\n%q", n, first, again)
	}
	for dir, want := range map[string]string{cache: "postgresql-", temp: "psyco."} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), want) {
				t.Errorf("the download leaves %s in %s", e.Name(), dir)
			}
		}
	}
}

// Root may fetch the programs, which another user then runs.
func TestDownloadAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	url, _ := repository(t)
	cache := publicDir(t)
	defer syscall.Umask(syscall.Umask(0o077))
	_, line := startHelper(t, "download", true, EnvDownload+"="+url, "PGSERVER_TEST_CACHE="+cache)
	usable(t, line, cache)
}

// usable checks the server that a helper started from the downloaded programs.
func usable(t *testing.T, line, cache string) {
	t.Helper()
	bin, dsn, ok := strings.Cut(line, "\t")
	if !ok || !strings.HasPrefix(bin, cache) {
		t.Errorf("the helper says %q", line)
		return
	}
	if got := query(t, dsn, "SHOW max_prepared_transactions"); got != "10" {
		t.Errorf("max_prepared_transactions: %s", got)
	}
}

func TestDownloadFails(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gone.Close)
	cache := publicDir(t)
	_, line := startHelper(t, "download", false, EnvDownload+"="+gone.URL, "PGSERVER_TEST_CACHE="+cache)
	if !strings.HasPrefix(line, "error: psycotest: ") {
		t.Errorf("the helper says %q", line)
	}
	bin := filepath.Join(cache, "postgresql-"+string(downloadVersion))
	if _, err := os.Stat(bin); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a failed download leaves %s: %v", bin, err)
	}
}

// jar packs the installed programs as the library expects them: a zip archive
// with a .txz file that has them in bin, and what they load in lib.
func jar(t *testing.T) []byte {
	t.Helper()
	// Not those of PSYCO_TEST_BIN, which may have no pg_config, and look for their files
	// beside them.
	installed := placesFromEnvironment()
	installed.bin = ""
	bin, err := installed.find()
	if err != nil {
		t.Skip("there are no installed programs to be downloaded: ", err)
	}
	lib, err := exec.Command(filepath.Join(bin, "pg_config"), "--pkglibdir").Output()
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for _, program := range []string{"initdb", "pg_ctl", "postgres"} {
		members["bin/"+program] = filepath.Join(bin, program)
	}
	for _, module := range []string{"dict_snowball", "plpgsql"} { // what initdb loads
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(lib)), module+".*"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		members["lib/"+filepath.Base(found[0])] = found[0]
	}

	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	for name, file := range members {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}
		if err := files.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	w, err := z.Create("postgres-test.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(xz(archive.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// xz wraps data into the .xz format (https://tukaani.org/xz/xz-file-format.txt)
// without compressing it.
func xz(data []byte) []byte {
	le := binary.LittleEndian
	checksummed := func(b []byte) []byte { return le.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	pad := func(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
	flags := []byte{0, 1} // check: CRC32

	// One block: header, one LZMA2 filter with a 64 KiB dictionary, stored chunks.
	block := checksummed([]byte{2, 0, 0x21, 1, 8, 0, 0, 0})
	control := byte(1) // resets the dictionary
	for rest := data; len(rest) > 0; control = 2 {
		n := min(len(rest), 1<<16)
		block = append(block, control)
		block = binary.BigEndian.AppendUint16(block, uint16(n-1))
		block = append(block, rest[:n]...)
		rest = rest[n:]
	}
	block = append(block, 0)
	unpadded := len(block) + 4
	block = le.AppendUint32(pad(block), crc32.ChecksumIEEE(data))

	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(unpadded))
	index = binary.AppendUvarint(index, uint64(len(data)))
	index = checksummed(pad(index))

	out := append([]byte("\xFD7zXZ\x00"), checksummed(flags)...)
	out = append(append(out, block...), index...)
	footer := append(le.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	out = le.AppendUint32(out, crc32.ChecksumIEEE(footer))
	return append(append(out, footer...), "YZ"...)
}
