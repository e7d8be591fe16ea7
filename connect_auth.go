package psyco

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/psyco-go/psyco/internal/wire"
)

// authWatch lets lib/pq read the server's messages and watches them up to the
// end of authentication: lib/pq tells nobody which method was used, nor whether
// an error came before or after. Afterwards it costs one comparison a Read.
type authWatch struct {
	*wire.Conn
	authenticated bool
	failed        error
	allowed       *authMethods // nil: all

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
	if w.allowed != nil && !w.allowed.has(method) {
		w.authenticated = false
		w.failed = fmt.Errorf("require_auth=%s does not allow the server's method, %s", w.allowed.text, method)
	}
}

// authMethods is a value of require_auth.
type authMethods struct {
	text    string
	negated bool
	methods map[string]bool
}

func (m *authMethods) has(method string) bool { return m.methods[method] != m.negated }

// require sets the methods that the server may use. The value is libpq's: a
// list of methods, all of them with "!" in front or none.
func (w *authWatch) require(value string) error {
	if value == "" {
		return nil
	}
	m := &authMethods{text: value, methods: map[string]bool{}}
	for i, name := range strings.Split(value, ",") {
		name, negated := strings.CutPrefix(strings.TrimSpace(name), "!")
		if i > 0 && negated != m.negated {
			return fmt.Errorf("psyco: require_auth=%q: put \"!\" in front of all methods or of none", value)
		}
		switch name {
		case "password", "md5", "gss", "sspi", "scram-sha-256", "none":
		default:
			return fmt.Errorf("psyco: require_auth=%q: unknown method %q; use password, md5, gss, sspi, scram-sha-256 or none", value, name)
		}
		m.negated, m.methods[name] = negated, true
	}
	w.allowed = m
	return nil
}
