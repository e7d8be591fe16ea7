// Package testlinear finds readers of texts that take longer than in proportion to the
// length of what they read.
package testlinear

import (
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/psyco-go/psyco/internal/testsize"
)

// Readers are functions that read texts, be they a program's or a server's, by their
// names.
type Readers map[string]func(text string)

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

// Check checks that no text takes longer than in proportion to its length, however often
// something in it is repeated.
func Check(t *testing.T, readers Readers) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			for _, s := range shapes {
				if !isLinear(read, s.before, s.again, s.after) {
					t.Errorf("quadratic in the number of %q between %q and %q", s.again, s.before, s.after)
				}
			}
		})
	}
}

// Fuzz looks for shapes that Check does not know.
func Fuzz(f *testing.F, readers Readers) {
	names := slices.Sorted(maps.Keys(readers))
	for i, s := range shapes {
		f.Add(byte(i%len(names)), s.before, s.again, s.after)
	}
	f.Fuzz(func(t *testing.T, reader byte, before, again, after string) {
		name := names[int(reader)%len(names)]
		if again == "" || len(again) > 100 || len(before)+len(after) > 1000 {
			return
		}
		if !isLinear(readers[name], before, again, after) {
			t.Errorf("%s is quadratic in the number of %q between %q and %q", name, again, before, after)
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
