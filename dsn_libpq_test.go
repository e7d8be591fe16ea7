package psyco

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/conninfo/conninfotest"
)

// The corpora are what libpq made of generated strings. To record them anew,
// build testdata/dsn/libpq.c and name it here.
var libpqProgram = flag.String("libpq", "", "the program built from testdata/dsn/libpq.c: records testdata/dsn/*.txt")

const (
	parseCorpus   = "testdata/dsn/parse.txt"
	connectCorpus = "testdata/dsn/connect.txt"
)

// libpqAnswer is one line of a corpus.
type libpqAnswer struct {
	env     string // a key of libpqEnvironments
	dsn     string
	err     string // "" if it was accepted
	options map[string]string
}

// libpqEnvironments are the environments of connect.txt. SERVICES is the text
// of the service file.
var libpqEnvironments = map[string]map[string]string{
	"empty": {},
	"variables": {
		"PGHOST": "/nowhere/env1,/nowhere/env2", "PGPORT": "7001,7002", "PGUSER": "env user", "PGDATABASE": "a=b",
		"PGPASSWORD": "env password", "PGOPTIONS": "-c geqo=off", "PGAPPNAME": "env app",
		"PGCONNECT_TIMEOUT": "9", "PGTARGETSESSIONATTRS": "primary", "PGSSLCERT": "env.crt", "PGREQUIREPEER": "env peer",
	},
	"requiressl": {"PGREQUIRESSL": "1", "PGHOST": "/nowhere/env"},
	"empty variables": {
		"PGHOST": "", "PGPORT": "", "PGUSER": "", "PGDATABASE": "", "PGPASSWORD": "", "PGOPTIONS": "", "PGAPPNAME": "", "PGSSLCERT": "",
	},
	"bad variable": {"PGSSLMODE": ""},
	"service": {
		"PGSERVICE": "one", "PGUSER": "env user", "PGHOST": "/nowhere/env",
		"SERVICES": "user=before any section\n[two]\nhost=/nowhere/two\nport=2\n[one]\n# comment\n\n  host=/nowhere/one  \nport=1\nuser=first\nuser=second\ndbname= spaced name\noptions='quoted'\n[one]\nport=3\n",
	},
	"service that fails": {"PGSERVICE": "one", "SERVICES": "[one]\nhost=/nowhere/one\nport 1\n"},
	"service unknown":    {"PGSERVICE": "one", "SERVICES": "[two]\nhost=/nowhere/two\n"},
	"service nested":     {"PGSERVICE": "one", "SERVICES": "[one]\nservice=two\n[two]\nhost=/nowhere/two\n"},
	"service bad option": {"PGSERVICE": "one", "SERVICES": "[one]\nsearch_path=x\n"},
	"services": {
		"SERVICES": "[one]\nhost=/nowhere/one\nport=1\nrequirepeer=x\n[two]\nhost=/nowhere/a,/nowhere/b\nport=1,2\ndbname=two\n[ three ]\nhost=/nowhere/three\n",
	},
}

func TestParseLikeLibpq(t *testing.T) {
	if *libpqProgram != "" {
		g := newDSNGenerator(1)
		var asked []libpqAnswer
		for i := range 4000 {
			dsn := g.conninfo()
			if i%2 == 0 {
				dsn = g.uri()
			}
			asked = append(asked, libpqAnswer{dsn: dsn})
		}
		recordCorpus(t, parseCorpus, "parse", asked)
	}
	known := make(map[string]bool) // to libpq
	answers := readCorpus(t, parseCorpus)
	for _, a := range answers {
		for key := range a.options {
			known[key] = true
		}
	}
	for _, a := range answers {
		pairs, err := grammar.ParsePairs(a.dsn)
		got := make(map[string]string)
		unknown := false
		for _, p := range pairs {
			got[p.Key] = p.Value
			unknown = unknown || !known[p.Key]
		}
		switch {
		case strings.HasPrefix(a.err, "invalid connection option"), strings.HasPrefix(a.err, "invalid URI query parameter"):
			// libpq stops there; psyco may pass the parameter on to the server.
			if err == nil && !unknown {
				t.Errorf("%q: libpq does not know an option, psyco knows them all: %v", a.dsn, got)
			}
		case a.err != "":
			if err == nil {
				t.Errorf("%q: psyco accepts what libpq refuses: %s", a.dsn, a.err)
			} else if want := libpqWords(a.err); !strings.HasPrefix(err.Error(), want) && !strings.Contains(err.Error(), `it begins with "postgre://"`) {
				t.Errorf("%q:\n got %s\nwant %s", a.dsn, err, want)
			}
		case err != nil:
			t.Errorf("%q: psyco refuses what libpq accepts: %v", a.dsn, err)
		case !maps.Equal(got, a.options):
			t.Errorf("%q:\n got %q\nwant %q", a.dsn, got, a.options)
		}
	}
}

// libpqWords is an error up to the text it repeats, which psyco may hide.
func libpqWords(msg string) string {
	msg, _, _ = strings.Cut(msg, `"`)
	return strings.TrimRight(msg, ": \n")
}

func TestConnectLikeLibpq(t *testing.T) {
	if *libpqProgram != "" {
		g := newDSNGenerator(2)
		var asked []libpqAnswer
		for _, env := range slices.Sorted(maps.Keys(libpqEnvironments)) {
			for range 60 {
				asked = append(asked, libpqAnswer{env: env, dsn: g.localDSN()})
			}
		}
		recordCorpus(t, connectCorpus, "connect", asked)
	}
	answers := readCorpus(t, connectCorpus)
	var reasons []string // to refuse
	for _, a := range answers {
		if a.err != "" {
			reasons = append(reasons, libpqWords(a.err))
		}
	}
	for _, a := range answers {
		where := fmt.Sprintf("%q in the environment %q", a.dsn, a.env)
		env := maps.Clone(libpqEnvironments[a.env])
		s := &surroundings{Env: env, User: "libpq"}
		if text, ok := env["SERVICES"]; ok {
			env["PGSERVICEFILE"] = "/services"
			s.Files = conninfotest.File("services", text)
		}
		c, err := parseDSN(a.dsn, s.Source())
		if a.err != "" {
			if err == nil {
				t.Errorf("%s: psyco accepts what libpq refuses: %s", where, a.err)
			} else if !slices.ContainsFunc(reasons, func(r string) bool { return strings.HasPrefix(err.Error(), r) }) {
				// A string may hold several mistakes; each is as good as the other.
				t.Errorf("%s:\n got %s\nwant %s", where, err, a.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: psyco refuses what libpq accepts: %v", where, err)
			continue
		}
		for _, key := range []string{"host", "hostaddr", "port", "dbname", "user", "password", "options", "application_name",
			"connect_timeout", "keepalives_idle", "sslmode", "sslcert", "requirepeer", "target_session_attrs", "krbsrvname"} {
			want, got := a.options[key], optionByName(key).get(c)
			switch key {
			case "host", "port":
				// libpq shows the lists as they were written, psyco fills them.
				if hasEmpty(a.options["host"]) || hasEmpty(want) {
					continue
				}
				if ports := strings.Split(strings.TrimSpace(want), ","); key == "port" && len(slices.Compact(ports)) == 1 {
					want = ports[0]
				}
			case "user":
				if want == a.options["OS user"] {
					want = "libpq"
				}
			case "dbname":
				if want == a.options["OS user"] {
					want = "libpq"
				}
			case "connect_timeout", "keepalives_idle":
				if want == "" {
					want = "0"
				}
			case "application_name":
				if _, ok := a.options[key]; !ok {
					want = a.options["fallback_application_name"]
				}
			}
			if got != want {
				t.Errorf("%s: %s is %q, want %q", where, key, got, want)
			}
		}
	}
}

func hasEmpty(list string) bool {
	return slices.Contains(strings.Split(list, ","), "")
}

// recordCorpus asks libpq and writes the answers down.
func recordCorpus(t *testing.T, file, mode string, asked []libpqAnswer) {
	t.Helper()
	var b bytes.Buffer
	var version string
	for _, env := range slices.Compact(envs(asked)) {
		var stdin, stdout, stderr bytes.Buffer
		var part []libpqAnswer
		for _, a := range asked {
			if a.env == env {
				part = append(part, a)
				stdin.WriteString(a.dsn + "\x00")
			}
		}
		home := t.TempDir()
		cmd := exec.Command(*libpqProgram, mode)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = &stdin, &stdout, &stderr
		cmd.Env = []string{"HOME=" + home, "PGSYSCONFDIR=" + home}
		for k, v := range libpqEnvironments[env] {
			if k == "SERVICES" {
				k, v = "PGSERVICEFILE", filepath.Join(home, "services")
				if err := os.WriteFile(v, []byte(libpqEnvironments[env]["SERVICES"]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		version, _, _ = strings.Cut(stderr.String(), "\n")
		self, err := conninfo.OSUser()
		if err != nil {
			t.Fatal(err)
		}
		answers := strings.Split(stdout.String(), "\x00")
		for _, a := range part {
			fields := []string{strconv.Quote(a.env), strconv.Quote(a.dsn), answers[0]}
			if answers[0] == "error" {
				fields = append(fields, strconv.Quote(strings.ReplaceAll(answers[1], home, "")))
				answers = answers[3:]
			} else {
				for answers = answers[1:]; answers[0] != ""; answers = answers[2:] {
					if answers[0] != "passfile" || !strings.HasPrefix(answers[1], home) {
						fields = append(fields, strconv.Quote(answers[0]), strconv.Quote(answers[1]))
					}
				}
				answers = answers[1:]
				if mode == "connect" {
					fields = append(fields, strconv.Quote("OS user"), strconv.Quote(self))
				}
			}
			b.WriteString(strings.Join(fields, " ") + "\n")
		}
	}
	head := fmt.Sprintf("# What libpq %s answers (%s): environment, string, then the error or keywords and values.\n", version, mode)
	if err := os.WriteFile(file, append([]byte(head), b.Bytes()...), 0o644); err != nil {
		t.Fatal(err)
	}
}

func envs(asked []libpqAnswer) []string {
	var names []string
	for _, a := range asked {
		names = append(names, a.env)
	}
	return names
}

func readCorpus(t *testing.T, file string) []libpqAnswer {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var answers []libpqAnswer
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		var words []string
		for line != "" {
			word := line
			if line[0] == '"' {
				if word, err = strconv.QuotedPrefix(line); err != nil {
					t.Fatalf("%s: %v: %s", file, err, line)
				}
				line = line[len(word):]
				if word, err = strconv.Unquote(word); err != nil {
					t.Fatal(err)
				}
			} else {
				word, _, _ = strings.Cut(line, " ")
				line = line[len(word):]
			}
			words = append(words, word)
			line = strings.TrimPrefix(line, " ")
		}
		a := libpqAnswer{env: words[0], dsn: words[1]}
		if words[2] == "error" {
			a.err = words[3]
		} else {
			a.options = make(map[string]string)
			for kv := range slices.Chunk(words[3:], 2) {
				a.options[kv[0]] = kv[1]
			}
		}
		answers = append(answers, a)
	}
	if len(answers) < 100 {
		t.Fatalf("%s holds only %d answers", file, len(answers))
	}
	return answers
}

// dsnGenerator makes connection strings that touch every corner of the
// grammars, right and wrong ones.
type dsnGenerator struct{ *rand.Rand }

func newDSNGenerator(seed uint64) dsnGenerator {
	return dsnGenerator{rand.New(rand.NewPCG(seed, 0))}
}

func pick[T any](g dsnGenerator, from ...T) T { return from[g.IntN(len(from))] }

// some concatenates up to n of the pieces.
func (g dsnGenerator) some(n int, pieces ...string) string {
	var b strings.Builder
	for range g.IntN(n + 1) {
		b.WriteString(pick(g, pieces...))
	}
	return b.String()
}

func (g dsnGenerator) keyword() string {
	return pick(g, "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "sslmode", "requiressl", "options",
		"application_name", "connect_timeout", "keepalives_idle", "sslcert", "target_session_attrs", "service", "sslsni",
		"client_encoding", "replication", "unknown_option", "Host", "", "ssl")
}

func (g dsnGenerator) conninfo() string {
	var b strings.Builder
	space := func() string { return g.some(2, " ", " ", "\t", "\n", "\v", "\f", "\r") }
	for range g.IntN(5) {
		key := g.keyword()
		if g.IntN(3) > 0 { // most strings should be right ones
			key = pick(g, "host", "port", "dbname", "user", "password", "requiressl")
		}
		b.WriteString(space() + key + space())
		if g.IntN(20) > 0 {
			b.WriteByte('=')
		}
		b.WriteString(space())
		pieces := []string{"a", "1", ",", "/", ":", "@", "é", "%41", "#", "\"", "$", `\\`, `\'`, `\ `, `\a`, "=", "null"}
		switch g.IntN(3) {
		case 0:
			b.WriteString("'" + g.some(4, append(pieces, " ", "\n")...))
			if g.IntN(20) > 0 {
				b.WriteByte('\'')
			}
			b.WriteString(pick(g, "", " ", " "))
		case 1:
			b.WriteString(g.some(4, append(pieces, "'", "a'b")...) + pick(g, " ", " ", `\`, " '"))
		default:
			b.WriteString(g.some(3, "a", "b", "1", "-") + " ")
		}
	}
	return b.String()
}

func (g dsnGenerator) uri() string {
	part := func() string {
		return g.some(3, "a", "b", "1", "%41", "%2F", "%2c", "%3a", "%40", "é", "_", "-", " ", "=", "&", "#",
			pick(g, "a", "a", "a", "a", "a", "a", "%", "%zz", "%0", "%00", "@", "/", "?", ":", "[", "]"))
	}
	var b strings.Builder
	b.WriteString(pick(g, "postgres://", "postgresql://", "postgres://", "postgresql://", "postgre://", "postgres:/"))
	if g.IntN(2) == 0 {
		b.WriteString(part())
		if g.IntN(2) == 0 {
			b.WriteString(":" + part())
		}
		b.WriteByte('@')
	}
	for i := range 1 + g.IntN(3) {
		if i > 0 {
			b.WriteByte(',')
		}
		switch g.IntN(6) {
		case 0:
			b.WriteString(pick(g, "[::1]", "[fe80::1%25eth0]", "[]", "[::1", "[::1]x", "[a b]"))
		case 1:
		default:
			b.WriteString(part())
		}
		if g.IntN(3) == 0 {
			b.WriteString(":" + pick(g, "1", "5432", "", "x", "%31", "1 "))
		}
	}
	if g.IntN(2) == 0 {
		b.WriteString("/" + part())
	}
	if g.IntN(2) == 0 {
		b.WriteByte('?')
		for i := range g.IntN(4) {
			if i > 0 {
				b.WriteByte('&')
			}
			key := g.keyword()
			if g.IntN(3) > 0 {
				key = pick(g, "host", "port", "dbname", "%75ser", "password", "requiressl")
			}
			b.WriteString(key + pick(g, "=", "=", "=", "=", "=", "", "==") + pick(g, part(), part(), "true", "1"))
		}
	}
	return b.String()
}

// localDSN makes strings that lead to sockets that do not exist.
func (g dsnGenerator) localDSN() string {
	var b strings.Builder
	for range g.IntN(4) {
		b.WriteString(pick(g,
			"host=/nowhere/a", "host=/nowhere/a,/nowhere/b", "host=''", "host=,/nowhere/a,", "host=/nowhere/a,/nowhere/b,/nowhere/c",
			"port=1", "port=1,2", "port=''", "port=,2", "port=1,2,3", "port=0", "port=65536", "port=' 7 '", "port=1x", "port=65535",
			"user=me", "user=''", "dbname=here", "dbname=''", "password=secret", "password=''",
			"application_name=app", "application_name=''", "fallback_application_name=fallback",
			"sslmode=disable", "sslmode=require", "sslmode=''", "sslmode=sometimes", "requiressl=1", "requiressl=0",
			"connect_timeout=5", "keepalives_idle=3", "target_session_attrs=any", "target_session_attrs=standby",
			"target_session_attrs=master", "target_session_attrs=''", "options=-cgeqo=off", "sslcert=my.crt",
			"ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.1", "ssl_min_protocol_version=''",
			"ssl_min_protocol_version=tlsv1.1", "ssl_max_protocol_version=TLSv2", "gssencmode=disable", "gssencmode=maybe",
			"channel_binding=disable", "channel_binding=''", "krbsrvname=k", "requirepeer=me",
			"service=one", "service=two", "service=three", "service=' three '", "service=four",
		) + " ")
	}
	return b.String()
}
