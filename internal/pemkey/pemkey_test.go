package pemkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// newKey returns a key and its DER in PKCS #8 form.
func newKey(tb testing.TB) (*ecdsa.PrivateKey, []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return key, der
}

func encode(blockType string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
}

// openssl runs the program that writes the keys users have.
func openssl(tb testing.TB, stdin []byte, args ...string) []byte {
	tb.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

func equal(a crypto.PrivateKey, b *ecdsa.PrivateKey) bool {
	key, ok := a.(*ecdsa.PrivateKey)
	return ok && key.Equal(b)
}

func TestParseUnencrypted(t *testing.T) {
	key, pkcs8 := newKey(t)
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"PKCS #8", encode("PRIVATE KEY", pkcs8)},
		{"SEC 1", encode("EC PRIVATE KEY", sec1)},
		{"behind its parameters", append(encode("EC PARAMETERS", []byte{6, 0}), encode("EC PRIVATE KEY", sec1)...)},
		{"behind text", append([]byte("Bag Attributes\n"), encode("PRIVATE KEY", pkcs8)...)},
		{"DER", pkcs8},
		{"DER, SEC 1", sec1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.data, "")
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, key) {
				t.Errorf("another key: %v", got)
			}
		})
	}
}

func TestParseEncryptedByOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatal("this test needs the openssl program: ", err)
	}
	key, der := newKey(t)
	plain := encode("PRIVATE KEY", der)
	topk8 := func(args ...string) []byte {
		return openssl(t, plain, append([]string{"pkcs8", "-topk8", "-passout", "pass:sesame"}, args...)...)
	}
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"default", topk8()},
		{"AES-128", topk8("-v2", "aes-128-cbc")},
		{"AES-192, SHA-512", topk8("-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512")},
		{"AES-256, SHA-1", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1")},
		{"AES-256, SHA-384", topk8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA384")},
		{"3DES, SHA-224", topk8("-v2", "des3", "-v2prf", "hmacWithSHA224")},
		{"Proc-Type: 4,ENCRYPTED", openssl(t, plain, "ec", "-aes256", "-passout", "pass:sesame")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.data, "sesame")
			if err != nil {
				t.Fatal(err)
			}
			if !equal(got, key) {
				t.Errorf("another key: %v", got)
			}
			if _, err := Parse(tt.data, ""); !errors.Is(err, ErrPasswordRequired) {
				t.Errorf("without a password: %v", err)
			}
			// A wrong password may, rarely, leave plausible padding: any error will do,
			// but the key must not come out.
			if _, err := Parse(tt.data, "open up"); err == nil {
				t.Error("a wrong password was accepted")
			}
		})
	}

	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"scrypt", "only PBKDF2 is supported", topk8("-scrypt")},
		{"PBES1", "only PBES2 is supported", topk8("-v1", "PBE-SHA1-3DES")},
		{"cipher", "only AES and 3DES", topk8("-v2", "aria-256-cbc")},
	} {
		t.Run("unsupported "+tt.name, func(t *testing.T) {
			_, err := Parse(tt.data, "sesame")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "openssl pkcs8") {
				t.Errorf("error %v, want %q and what to do", err, tt.want)
			}
		})
	}
}

func TestParseBad(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "failed to find any PEM data in key input", nil},
		{"text", "failed to find any PEM data in key input", []byte("hello")},
		{"certificate only", "no private key among", encode("CERTIFICATE", []byte{1})},
		{"not a key", "not a private key", encode("PRIVATE KEY", []byte{0x30, 0})},
		{"encrypted rubbish", "cannot be read", encode("ENCRYPTED PRIVATE KEY", []byte{0x30, 0})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.data, "x")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzParse: nothing makes it panic, and what it takes it takes again after a
// round trip through PKCS #8.
func FuzzParse(f *testing.F) {
	_, der := newKey(f)
	f.Add(encode("PRIVATE KEY", der), "")
	f.Add(der, "")
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"), "x")
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n"), "x")
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		key, err := Parse(data, password)
		if err != nil {
			return
		}
		again, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return // a key type that PKCS #8 in Go can read but not write
		}
		got, err := Parse(encode("PRIVATE KEY", again), "")
		if err != nil {
			t.Fatalf("a key that was read cannot be read again: %v", err)
		}
		if e, ok := key.(interface{ Equal(crypto.PrivateKey) bool }); ok && !e.Equal(got) {
			t.Error("the key changed")
		}
	})
}
