//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// late counts how often it is printed.
type late struct{ printed int }

func (l *late) String() string { l.printed++; return "PostgreSQL 17" }

func TestAnnounce(t *testing.T) {
	for _, c := range []struct {
		name     string
		patience time.Duration
		takes    time.Duration
		want     string
	}{
		{"a program is told at once", 0, 0, "psycotest: starting PostgreSQL 17\n"},
		{"a quick step in a test", 3 * time.Second, 2 * time.Second, ""},
		{"a slow step in a test", 3 * time.Second, 4 * time.Second, "psycotest: starting PostgreSQL 17\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				var arg late
				done := announceOn(&out, c.patience)("starting %v", &arg)
				time.Sleep(c.takes)
				synctest.Wait()
				done()
				time.Sleep(time.Minute)
				if out.String() != c.want {
					t.Errorf("got %q, want %q", out.String(), c.want)
				}
				if arg.printed > 0 != (c.want != "") {
					t.Errorf("the argument was formatted %d times", arg.printed)
				}
			})
		})
	}
}

func TestProgramsPrint(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/postgres", []byte("#!/bin/sh\necho 'postgres (PostgreSQL) 17.2 (Debian 17.2-1.pgdg120+1)'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := programs(dir).String(); got != "PostgreSQL 17.2 of "+dir {
		t.Errorf("got %q", got)
	}
	if got := programs("/nowhere").String(); got != "PostgreSQL of /nowhere" {
		t.Errorf("got %q", got)
	}
}
