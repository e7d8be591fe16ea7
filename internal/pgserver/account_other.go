//go:build !unix

package pgserver

import (
	"errors"
	"os/exec"
	"syscall"
)

type account struct{}

func serverAccount() (*account, error) {
	return nil, errors.New("own servers need a Unix system")
}

func (*account) procAttr() *syscall.SysProcAttr { return nil }
func (*account) own(string) error               { return nil }
func (*account) tempDir() string                { return "" }
func (*account) apply(*exec.Cmd)                {}
