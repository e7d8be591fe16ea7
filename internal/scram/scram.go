// Package scram is the client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS
// (RFC 5802, RFC 7677) as PostgreSQL speaks it: messages in, messages out.
package scram

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Names of the mechanisms.
const (
	SHA256     = "SCRAM-SHA-256"
	SHA256Plus = "SCRAM-SHA-256-PLUS"
)

// KeySize is the length of the keys of both sides.
const KeySize = sha256.Size

// What PostgreSQL makes verifiers with.
const (
	SaltSize   = 16
	Iterations = 4096
)

// Verifier returns what the server stores for a password, which is given after SASLprep.
func Verifier(ctx context.Context, password string, salt []byte, iterations int) (string, error) {
	salted, err := saltedPassword(ctx, password, salt, iterations)
	if err != nil {
		return "", err
	}
	storedKey := sha256.Sum256(mac(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", SHA256, iterations, encode(salt), encode(storedKey[:]), encode(mac(salted, "Server Key"))), nil
}

// Credentials are what the client knows: a password, or the keys that come of it and of
// the salt and iteration count of the server's verifier.
type Credentials struct {
	Password  string // after SASLprep
	ClientKey []byte // in place of the password, if not nil
	ServerKey []byte // to check the server with, if not nil
}

// Binding is what ties the conversation to the TLS connection below it.
type Binding struct {
	flag string // the GS2 header without its commas
	data []byte
}

var (
	// NoBinding is for a client that does not do channel binding.
	NoBinding = Binding{flag: "n"}
	// BindingNotOffered is for a client that does, but was not offered it. A server that
	// does offer it then knows that someone has tampered with its offer.
	BindingNotOffered = Binding{flag: "y"}
)

// BindEndPoint is for SCRAM-SHA-256-PLUS. hash is that of [EndPointHash].
func BindEndPoint(hash []byte) Binding {
	return Binding{flag: "p=tls-server-end-point", data: hash}
}

// Client is one conversation: First, Final and Verify in this order, once each.
type Client struct {
	credentials Credentials
	binding     Binding
	nonce       string // the client's
	step        step

	firstBare string // the client's first message without the GS2 header
	auth      []byte // the AuthMessage of RFC 5802
	serverKey []byte
}

type step int

const (
	stepFirst step = iota
	stepFinal
	stepVerify
	stepDone
	stepFailed // a step did not succeed, and none can follow
)

// New begins a conversation.
func New(credentials Credentials, binding Binding) *Client {
	var nonce [18]byte
	rand.Read(nonce[:]) // never fails, see crypto/rand
	return &Client{credentials: credentials, binding: binding, nonce: base64.StdEncoding.EncodeToString(nonce[:])}
}

var errStep = errors.New("a SCRAM message out of turn")

// begin begins a step, which has failed until it succeeds.
func (c *Client) begin(s step) error {
	inTurn := c.step == s
	c.step = stepFailed
	if !inTurn {
		return errStep
	}
	return nil
}

// First returns the first message. The user's name is left empty, as libpq does: the
// server goes by that of the startup packet.
func (c *Client) First() ([]byte, error) {
	if err := c.begin(stepFirst); err != nil {
		return nil, err
	}
	c.step, c.firstBare = stepFinal, "n=,r="+c.nonce
	return []byte(c.binding.flag + ",," + c.firstBare), nil
}

// Final returns the answer to the server's first message, with the proof that the client
// knows the password. How long that takes is the server's choice, so it ends with ctx.
func (c *Client) Final(ctx context.Context, serverFirst []byte) ([]byte, error) {
	if err := c.begin(stepFinal); err != nil {
		return nil, err
	}
	nonce, salt, iterations, err := parseServerFirst(serverFirst)
	if err != nil {
		return nil, err
	}
	if len(nonce) <= len(c.nonce) || !strings.HasPrefix(nonce, c.nonce) {
		return nil, errors.New("the server's SCRAM nonce does not begin with the client's")
	}
	clientKey, serverKey := c.credentials.ClientKey, c.credentials.ServerKey
	if clientKey == nil || serverKey == nil {
		salted, err := saltedPassword(ctx, c.credentials.Password, salt, iterations)
		if err != nil {
			return nil, err
		}
		if clientKey == nil {
			clientKey = mac(salted, "Client Key")
		}
		if serverKey == nil {
			serverKey = mac(salted, "Server Key")
		}
	}
	c.serverKey = serverKey
	header := append([]byte(c.binding.flag+",,"), c.binding.data...)
	withoutProof := "c=" + base64.StdEncoding.EncodeToString(header) + ",r=" + nonce
	c.auth = fmt.Appendf(nil, "%s,%s,%s", c.firstBare, serverFirst, withoutProof)
	storedKey := sha256.Sum256(clientKey)
	proof := mac(storedKey[:], string(c.auth))
	subtle.XORBytes(proof, proof, clientKey)
	c.step = stepVerify
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// Verify checks the server's final message: that it knows the password, too, or rather
// its verifier.
func (c *Client) Verify(serverFinal []byte) error {
	if err := c.begin(stepVerify); err != nil {
		return err
	}
	if reason, ok := bytes.CutPrefix(serverFinal, []byte("e=")); ok {
		reason, _, _ := bytes.Cut(reason, []byte(","))
		return fmt.Errorf("the server ended the SCRAM exchange with the error %q", reason)
	}
	value, ok := bytes.CutPrefix(serverFinal, []byte("v="))
	signature, err := base64.StdEncoding.Strict().DecodeString(string(value))
	if !ok || err != nil || len(signature) != KeySize {
		return errors.New("the server's last SCRAM message is malformed")
	}
	if !hmac.Equal(signature, mac(c.serverKey, string(c.auth))) {
		return errors.New("the server does not know the password: its SCRAM signature is wrong")
	}
	c.step = stepDone
	return nil
}

// Verified reports whether the server has proved that it knows the password.
func (c *Client) Verified() bool { return c.step == stepDone }

// Bound reports whether that was tied to the TLS connection.
func (c *Client) Bound() bool { return c.Verified() && c.binding.data != nil }

// parseServerFirst reads r=…,s=…,i=…. The mandatory extensions that RFC 5802 keeps room
// for begin with m=, and so are refused as everything else is.
func parseServerFirst(message []byte) (nonce string, salt []byte, iterations int, err error) {
	fields := strings.Split(string(message), ",")
	malformed := func(what string) (string, []byte, int, error) {
		return "", nil, 0, fmt.Errorf("the server's first SCRAM message is malformed: %s", what)
	}
	if len(fields) != 3 {
		return malformed(fmt.Sprintf("%d fields instead of 3", len(fields)))
	}
	nonce, ok := strings.CutPrefix(fields[0], "r=")
	if !ok || strings.ContainsFunc(nonce, func(r rune) bool { return r < '!' || r > '~' }) {
		return malformed("no nonce")
	}
	encoded, ok := strings.CutPrefix(fields[1], "s=")
	if salt, err = base64.StdEncoding.Strict().DecodeString(encoded); !ok || err != nil || len(salt) == 0 {
		return malformed("no salt")
	}
	count, ok := strings.CutPrefix(fields[2], "i=")
	n, err := strconv.ParseUint(count, 10, 31)
	if !ok || err != nil || n < 1 || count[0] == '0' {
		return malformed("an iteration count that is not a number from 1 to 2147483647")
	}
	return nonce, salt, int(n), nil
}

// lookUp is after how many iterations, some milliseconds, the context is asked.
const lookUp = 10_000

// saltedPassword is PBKDF2 with HMAC-SHA-256 and one block, as crypto/pbkdf2 does it, but
// it ends with ctx: the server names the number of iterations.
func saltedPassword(ctx context.Context, password string, salt []byte, iterations int) ([]byte, error) {
	h := hmac.New(sha256.New, []byte(password))
	h.Write(salt)
	h.Write([]byte{0, 0, 0, 1})
	u := h.Sum(nil)
	sum := bytes.Clone(u)
	for i := 1; i < iterations; i++ {
		if i%lookUp == 0 {
			if err := context.Cause(ctx); err != nil {
				return nil, fmt.Errorf("computing SCRAM keys with the server's %d iterations: %w", iterations, err)
			}
		}
		h.Reset()
		h.Write(u)
		u = h.Sum(u[:0])
		subtle.XORBytes(sum, sum, u)
	}
	return sum, nil
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
