//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package pgserver

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
)

type account struct{}

var errNotUnix = errors.New("own servers need a Unix system")

func serverAccount() (*account, error) { return nil, errNotUnix }

func (*account) procAttr() *syscall.SysProcAttr { return nil }
func (*account) own(string) error               { return nil }
func (*account) tempDir() string                { return "" }
func (*account) cacheDir() (string, error)      { return "", errNotUnix }
func (*account) apply(*exec.Cmd)                {}

func lock(context.Context, string) (func() error, error) { return nil, errNotUnix }
