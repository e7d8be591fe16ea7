//go:build !linux && !darwin && !freebsd && !dragonfly

package dial

import "errors"

func peerUID(uintptr) (uint32, error) {
	return 0, errors.New("the requirepeer option is not supported on this platform")
}
