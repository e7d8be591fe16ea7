package wire

import (
	"encoding/binary"
)

// AuthCode says what an AuthenticationRequest is about.
type AuthCode uint32

// The codes of the protocol that servers still use.
const (
	AuthOK           AuthCode = 0
	AuthPassword     AuthCode = 3
	AuthMD5          AuthCode = 5
	AuthGSS          AuthCode = 7
	AuthGSSContinue  AuthCode = 8
	AuthSSPI         AuthCode = 9
	AuthSASL         AuthCode = 10
	AuthSASLContinue AuthCode = 11
	AuthSASLFinal    AuthCode = 12
)

// An AuthHandler is given each AuthenticationRequest before lib/pq sees it. If it
// takes the request, lib/pq does not see it, and answer is sent to the server if
// it is not empty. An error ends the connection, and lib/pq's Read returns it.
type AuthHandler func(code AuthCode, data []byte) (answer []byte, taken bool, err error)

// HandleAuth sets who handles the requests for authentication.
func (c *Conn) HandleAuth(h AuthHandler) { c.auth = h }

// authRequest gives a request to the handler. payload holds all of it.
func (c *Conn) authRequest(total int, payload []byte) (verdict, error) {
	if len(payload) < 4 {
		return verdictAwait, c.fail(protocolErrorf("an AuthenticationRequest of %d bytes", len(payload)))
	}
	answer, taken, err := c.auth(AuthCode(binary.BigEndian.Uint32(payload)), payload[4:])
	if err != nil {
		return verdictAwait, c.fail(&protocolError{text: err.Error(), cause: err})
	}
	if !taken {
		return c.pass(total)
	}
	if len(answer) > 0 {
		c.writer.mu.Lock()
		defer c.writer.mu.Unlock()
		if _, err := c.send(answer); err != nil {
			c.failBackground(err) // the server may have said why
		}
	}
	return c.drop(total)
}

const frontPassword = 'p' // PasswordMessage, SASLInitialResponse, SASLResponse

// SASLMechanisms returns the names that an AuthenticationSASL offers.
func SASLMechanisms(data []byte) ([]string, error) {
	var names []string
	for {
		name, rest, ok := cutString(data)
		switch {
		case !ok:
			return nil, protocolErrorf("a list of SASL mechanisms without an end")
		case len(name) == 0:
			return names, nil
		}
		names, data = append(names, string(name)), rest
	}
}

// AppendSASLInitialResponse appends the choice of a mechanism, with its first message.
func AppendSASLInitialResponse(b []byte, mechanism string, data []byte) []byte {
	b = appendSASLHeader(b, len(mechanism)+1+4+len(data))
	b = append(append(b, mechanism...), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// AppendSASLResponse appends a later message of a mechanism.
func AppendSASLResponse(b, data []byte) []byte {
	return append(appendSASLHeader(b, len(data)), data...)
}

func appendSASLHeader(b []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(append(b, frontPassword), uint32(4+size))
}
