package psyco

import (
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/testsize"
)

// readers are all that read texts, be they a program's or a server's.
var readers = []struct {
	name string
	read func(text string)
}{
	{"rewrite", func(text string) { rewrite(text, placeholdersAuto) }},
	{"rewrite, all psycopg", func(text string) { rewrite(text, placeholdersPsycopg) }},
	{"bind", func(text string) {
		if q, err := rewrite(text, placeholdersPsycopg); err == nil {
			q.bind(suitable(q, 0))
		}
	}},
	{"Mogrify", func(text string) {
		if q, err := rewrite(text, placeholdersPsycopg); err == nil {
			(&conn{con: &Connector{}}).mogrify(q, suitable(q, 1))
		}
	}},
	{"explain", func(text string) {
		if q, err := rewrite(text, placeholdersPsycopg); err == nil {
			q.stretches().source(len(q.sql) / 2)
			q.patternHint()
		}
	}},
	{"names", func(text string) { foreignName(text) }},
	{"Compose", func(text string) { Compose(text, 1) }},
	{"Compose around", func(text string) { Compose("{}", Raw(text)) }},
	{"COPY", func(text string) { strayCopy(text, nil) }},
	{"reads only", func(text string) { readsOnly(text) }},
	{"redefines", func(text string) { redefines(text) }},
	{"statements", func(text string) {
		sqllex.Count(text, -1)
		for range sqllex.Statements(text) {
		}
		for range sqllex.Calls(text) {
		}
	}},
	{"conninfo", func(text string) { ParseDSN(text) }},
	{"option", func(text string) { conninfo.Misspells(text, "host") }},
	{"array", func(text string) { parseArray(text, ',') }},
	{"array of a type", func(text string) { new(Array[string]).Scan(text) }},
	{"record", func(text string) { parseRecord(text) }},
	{"range", func(text string) { new(Range[int]).Scan(text) }},
	{"multirange", func(text string) { parseMultirange[int](text) }},
	{"hstore", func(text string) { parseHStore(text) }},
	{"interval", func(text string) { pgform.ParseInterval(text) }},
	{"inet", func(text string) { pgform.ParseInet(text) }},
	{"numeric", func(text string) { new(Numeric).Scan(text) }},
	{"time", func(text string) { parseTime(text) }},
	{"date", func(text string) { pgform.ParseDate(text) }},
	{"bytea", func(text string) { pgform.ParseBytea(text) }},
	{"arguments of calls", func(text string) {
		spots := parameters(text)
		argumentsOf(text, spots)
	}},
}

// shapes are texts of three parts, the second of which is repeated.
var shapes = []struct{ before, again, after string }{
	{"'", "%(", "'"}, {"'", "%(", ")'"}, {"'%s ", "%(", ")x'"}, {"", "%(", ""}, {"%s ", "%(", ""}, {"%s ", "%(a", ")"}, {"", "%(", ")ssssss"}, {"", "%(a)s,", ""}, {"", "%s,", ""}, {"", "%", ""},
	{"\"", "%(", "\""}, {"$$", "%(", "$$"}, {"$a$", "%(", ""}, {"/*", "%(", ""}, {"", "%%", ""}, {"'", "%%", "'"}, {"", "a %x ", ""}, {"%s ", "?", ""},
	{"", "a IN %s AND ", ""}, {"", "(a, b) IN %s AND ", "x"}, {"(", "a, ", "b) IN %s"}, {"", "IN ", "%s"}, {"", "NOT IN %s ", ""}, {"(", "(a, b) IN %s, ", "x)"}, {"x LIKE ", "%s%% ", ""}, {"", "%s%% ", ""}, {"", "a LIKE %s%% AND ", ""},
	{"", "(", ""}, {"", ")", ""}, {"", "[", ""}, {"", "]", ""}, {"", "(]", ""}, {"", ",", ""}, {"", ";", ""}, {"", "a;", ""}, {"", "a(", ""}, {"", "a.", ""}, {"", "\"a\".", ""}, {"", "f(%s,", ""}, {"", "f($1,", ""}, {"f(", "$1,", ")"},
	{"", "'", ""}, {"", "''", ""}, {"", "'\n", ""}, {"E'", "\\", ""}, {"E'", "\\'", "'"}, {"", "E'a'\n", ""}, {"", "U&'", ""}, {"", "x'", ""}, {"", "\"", ""}, {"", "$", ""}, {"", "$$", ""}, {"", "$a", ""}, {"", "$a$", ""}, {"", "$a $b", ""}, {"", "$1", ""},
	{"", "/*", ""}, {"", "*/", ""}, {"", "/*/", ""}, {"", "--", ""}, {"", "-", ""}, {"", "--\n", ""}, {"a", " ", ""}, {"%s", " ", ""}, {"%s", " /**/", ""}, {"", "%s /**/ ", ""}, {"", "1e", ""}, {"", "1.", ""}, {"", "é", ""}, {"", "\x00", ""}, {"", "\xff", ""},
	{"", "{", ""}, {"", "}", ""}, {"", "{}", ""}, {"", "{{", ""}, {"", "{0}", ""}, {"", "{a", ""}, {"", "@a", ""}, {"", ":a", ""}, {"", ":", ""},
	{"", "begin atomic ", ""}, {"create function ", "begin atomic case ", ""}, {"", "case ", "end"}, {"", "create ", ""}, {"copy (", "copy ", ") to stdout"}, {"", "copy a to stdout;", ""}, {"select ", "f(", "1"},
	{"", "a=b ", ""}, {"", "a='", ""}, {"a='", "\\'", "'"}, {"", "a", "=b"}, {"", "a= ", ""}, {"", "host= ", ""}, {"a= ", "b", ""}, {"postgres://", "[::1],", ""}, {"postgres://", "[", ""}, {"postgres://h?", "a=[", ""}, {"postgres://", "a", ""}, {"postgres://", "a,", "/b"}, {"postgres://", "@", ""}, {"postgres://", ":", ""}, {"postgres://h/", "%41", ""}, {"postgres://h/d?", "a=b&", ""}, {"postgres://h/d?", "&", ""},
	{"host=", "a,", "b"}, {"hostaddr=", "1.1.1.1,", "1.1.1.1"}, {"port=", "1,", "1"}, {"dbname='", "dbname=", "'"}, {"options='", "-c a=b ", "'"}, {"require_auth=", "md5,", "none"},
	{"{", "1,", "1}"}, {"{", "\"a\",", "1}"}, {"{", "\\", "}"}, {"{\"", "\\\\", "\"}"}, {"{", "{1},", "{1}}"}, {"", "{", "1"}, {"[1:1]", "[1:1]", "={1}"}, {"[", "1", ":1]={1}"}, {"{", " ", "1}"}, {"{", "NULL,", "1}"},
	{"(", ",", ")"}, {"(\"", "\"\"", "\")"}, {"(\"", "\\\"", "\")"}, {"[", "1", ",2)"}, {"{", "[1,2),", "[3,4)}"}, {"[", "\"", ",)"},
	{"", "\"a\"=>\"b\", ", "\"c\"=>NULL"}, {"\"", "a", "\"=>\"b\""}, {"\"a\"", " ", "=>\"b\""}, {"\"", "\\\"", "\"=>NULL"},
	{"", "1 ", "days"}, {"", "1", " day"}, {"1.", "1", " secs"}, {"", "1 mon ", ""}, {"P", "1D", ""}, {"PT", "1", "S"}, {"@ ", "1 day ", "ago"}, {"", "1:", ""}, {"", "-", "1 day"},
	{"", "1.", "/8"}, {"", "1:", "/8"}, {"", "0", "1"}, {"1e", "1", ""}, {"\\x", "41", ""}, {"\\x", "4 ", ""}, {"", "\\101", ""}, {"", "\\\\", ""}, {"2024-", "01-", "01"}, {"", "2", "-01-01"},
}

// TestReadersAreLinear: no text takes longer than in proportion to its length, however
// often something in it is repeated.
func TestReadersAreLinear(t *testing.T) {
	for _, r := range readers {
		t.Run(r.name, func(t *testing.T) {
			for _, s := range shapes {
				if !isLinear(r.read, s.before, s.again, s.after) {
					t.Errorf("quadratic in the number of %q between %q and %q", s.again, s.before, s.after)
				}
			}
		})
	}
}

// FuzzReadersAreLinear looks for shapes that are not in the list.
func FuzzReadersAreLinear(f *testing.F) {
	for i, s := range shapes {
		f.Add(byte(i%len(readers)), s.before, s.again, s.after)
	}
	f.Fuzz(func(t *testing.T, reader byte, before, again, after string) {
		r := readers[int(reader)%len(readers)]
		if again == "" || len(again) > 100 || len(before)+len(after) > 1000 {
			return
		}
		if !isLinear(r.read, before, again, after) {
			t.Errorf("%s is quadratic in the number of %q between %q and %q", r.name, again, before, after)
		}
	})
}

// isLinear compares the processor's time, in which other work on the machine does not
// count, for texts of growing length. What takes four times as long for four times the
// length is in proportion, and what takes 16 times as long is quadratic. Where the first
// comparison is not clear, because little time says little, longer texts decide, and the
// least of several attempts.
func isLinear(read func(text string), before, again, after string) bool {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // whose work it is to collect is chance
	size := testsize.Cases(1<<10, 16<<10)
	least := func(size, attempts int) (least time.Duration) {
		text := before + strings.Repeat(again, max(1, size/len(again))) + after
		for i := range attempts {
			if took := processorTime(read, text); i == 0 || took < least {
				least = took
			}
		}
		return least
	}
	if took := least(16*size, 1); took < time.Duration(size)*time.Microsecond || took < 64*least(size, 1) {
		return true // it takes less than 60 ns for a byte, or is nearly in proportion
	}
	for range 3 {
		if least(64*size, 5) < 9*least(16*size, 5) {
			return true
		}
	}
	return false
}

// processorTime returns how long this thread has worked on a text.
func processorTime(read func(text string), text string) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	read(text)
	return threadTime() - start
}

func threadTime() time.Duration {
	const clock = 3 // CLOCK_THREAD_CPUTIME_ID
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		panic(errno)
	}
	return time.Duration(ts.Nano())
}
