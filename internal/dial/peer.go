package dial

import (
	"fmt"
	"net"
	"os/user"
	"strconv"
)

// checkPeer compares the owner of the server process at the other end of a
// Unix-domain socket with the one that requirepeer names (libpq: PQconnectPoll). Connections of
// other kinds pass.
func checkPeer(nc net.Conn, required string) error {
	socket, ok := nc.(*net.UnixConn)
	if !ok || required == "" {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("psyco: could not get peer credentials: %w", err)
	}
	var uid uint32
	var sockErr error
	if err := raw.Control(func(fd uintptr) { uid, sockErr = peerUID(fd) }); err != nil {
		sockErr = err
	}
	if sockErr != nil {
		return fmt.Errorf("psyco: could not get peer credentials: %w", sockErr)
	}
	peer, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return fmt.Errorf("psyco: could not look up local user ID %d: %w", uid, err)
	}
	if peer.Username != required {
		return fmt.Errorf("psyco: requirepeer specifies %q, but actual peer user name is %q", required, peer.Username)
	}
	return nil
}
