package psyco

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/wire"
)

// authWatch lets lib/pq read the server's messages and watches them up to the
// end of authentication: lib/pq tells nobody which method was used, nor whether
// an error came before or after. Afterwards it costs one comparison a Read.
type authWatch struct {
	*wire.Conn
	requireAuth   string
	noPassword    bool // there is none to answer with
	authenticated bool
	failed        error

	header [9]byte // type, length, and an authentication request's code
	have   int     // bytes of header
	skip   int     // bytes of the message that are of no interest
	asked  bool    // the server wanted proof of who the client is
}

// Read is lib/pq's.
func (w *authWatch) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if !w.authenticated {
		w.watch(p[:n])
		if w.failed != nil {
			return 0, w.failed
		}
	}
	return n, err
}

// Write is lib/pq's. It may find the connection closed by a server that has said why: in
// a FATAL, or in TLS, where with version 1.3 the refusal of a client's certificate comes
// when the handshake is over.
func (w *authWatch) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil && !w.authenticated {
		if words := w.LastWords(); words != nil {
			err = words
		}
	}
	return n, err
}

// watch walks over messages, wherever they are cut.
func (w *authWatch) watch(p []byte) {
	for len(p) > 0 && !w.authenticated && w.failed == nil {
		if w.skip > 0 {
			n := min(w.skip, len(p))
			w.skip -= n
			p = p[n:]
			continue
		}
		w.header[w.have] = p[0]
		w.have++
		p = p[1:]
		const plain = 5 // type and length
		if w.have < plain || (w.header[0] == 'R' && w.have < len(w.header)) {
			continue
		}
		length := int(int32(binary.BigEndian.Uint32(w.header[1:plain]))) + 1 // of the whole message
		if w.header[0] == 'R' {
			w.request(binary.BigEndian.Uint32(w.header[plain:]))
		}
		if length < w.have {
			length = math.MaxInt // not the protocol: lib/pq will say so
		}
		w.skip, w.have = length-w.have, 0
	}
}

// Authentication request codes.
const (
	authOK       = 0
	authPassword = 3
	authMD5      = 5
	authGSS      = 7
	authSSPI     = 9
	authSASL     = 10
)

// request judges a request for authentication (libpq: check_expected_areq).
func (w *authWatch) request(code uint32) {
	method, first := map[uint32]string{
		authPassword: "password",
		authMD5:      "md5",
		authGSS:      "gss",
		authSSPI:     "sspi",
		authSASL:     "scram-sha-256",
	}[code]
	switch {
	case code == authOK:
		w.authenticated = true
		if w.asked {
			return
		}
		method = "none"
	case !first:
		return // a later step of a method that was judged before
	}
	w.asked = true
	if !allowsAuth(w.requireAuth, method) {
		w.authenticated = false
		w.failed = fmt.Errorf("require_auth=%s does not allow the server's method, %s", w.requireAuth, method)
		return
	}
	switch code {
	case authPassword, authMD5, authSASL:
		if w.noPassword {
			w.failed = errNoPassword
		}
	}
}

// errNoPassword comes where libpq says "fe_sendauth: no password supplied".
var errNoPassword = errors.New("the server asks for a password, but none was given: " +
	"put password=… into the connection string, set PGPASSWORD, or write a line for this server into the passfile")

// noPassword is errNoPassword in the shape of what a server says to an empty
// password, which programs may look for. psyco does not send one.
func noPassword() error {
	return &pq.Error{Severity: pqerror.SeverityFatal, Code: pqerror.InvalidPassword, Message: errNoPassword.Error()}
}

// allowsAuth reports whether require_auth, which is empty or a list that
// checkRequireAuth has accepted, allows a method.
func allowsAuth(require, method string) bool {
	if require == "" {
		return true
	}
	entry, negative := method, strings.HasPrefix(require, "!")
	if negative {
		entry = "!" + method
	}
	return slices.Contains(strings.Split(require, ","), entry) != negative
}
