package tlsconf

import (
	"crypto/tls"
	"fmt"
	"os"
)

// keyLog is the file of sslkeylogfile, to which the secrets of each TLS connection are
// added, so that a tool such as Wireshark can read a capture of it.
type keyLog string

// setKeyLog looks whether the file can be written now: later it would be the handshake
// that fails.
func (s *Settings) setKeyLog(conf *tls.Config) error {
	if s.KeyLogFile == "" || conf.KeyLogWriter != nil {
		return nil
	}
	conf.KeyLogWriter = keyLog(s.KeyLogFile)
	_, err := conf.KeyLogWriter.Write(nil)
	return err
}

// Write adds a line, in one piece: connections share the file.
func (name keyLog) Write(line []byte) (n int, err error) {
	f, err := os.OpenFile(string(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		n, err = f.Write(line)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		return n, fmt.Errorf("psyco: sslkeylogfile: %w", err)
	}
	return n, nil
}
