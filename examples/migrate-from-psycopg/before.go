package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

//go:embed before.py
var script string

// recording is what before.py has printed. A test holds it to that where
// psycopg2 is installed; elsewhere it takes the Python half's place.
//
//go:embed before.txt
var recording string

// pythons are where psycopg2 may be: beside the Python on PATH, or the system's.
var pythons = []string{"python3", "/usr/bin/python3"}

// findPython returns a Python that has psycopg2, or "" if none has.
func findPython(ctx context.Context) (string, error) {
	for _, python := range pythons {
		err := exec.CommandContext(ctx, python, "-c", "import psycopg2").Run()
		if err == nil {
			return python, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	return "", nil
}

// before runs before.py and returns what it prints.
func before(ctx context.Context, python, dsn string) (string, error) {
	cmd := exec.CommandContext(ctx, python, "-", dsn)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("before.py: %w\n%s", err, exit.Stderr)
	}
	return string(out), err
}
