package scram

import (
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	_ "crypto/sha256" // the hashes of EndPointHash
	_ "crypto/sha3"
	_ "crypto/sha512"
)

// ErrNoEndPointHash is for certificates whose signature has no hash of its own, Ed25519
// for one. RFC 5929 does not say what stands in its place, so that neither libpq nor a
// server can do channel binding with them.
var ErrNoEndPointHash = errors.New("the signature of the server's certificate has no hash that channel binding could use")

// EndPointHash is the channel binding data tls-server-end-point of a server's certificate,
// which is given in DER: its hash by the hash of its signature, with SHA-256 in the place of
// MD5 and SHA-1 (RFC 5929, 4.1; libpq: pgtls_get_peer_certificate_hash).
func EndPointHash(certificate []byte) ([]byte, error) {
	var c struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if rest, err := asn1.Unmarshal(certificate, &c); err != nil || len(rest) > 0 {
		return nil, errors.New("the server's certificate cannot be read")
	}
	h, err := signatureHash(c.Algorithm)
	if err != nil {
		return nil, err
	}
	hash := h.New()
	hash.Write(certificate)
	return hash.Sum(nil), nil
}

const rsaPSS = "1.2.840.113549.1.1.10"

func signatureHash(a pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	name := a.Algorithm.String()
	if name == rsaPSS {
		return pssHash(a.Parameters.FullBytes)
	}
	h, ok := signatureHashes[name]
	if !ok {
		return 0, fmt.Errorf("%w (its algorithm is %s)", ErrNoEndPointHash, name)
	}
	return h, nil
}

// pssHash returns the hash that the parameters of RSASSA-PSS name (RFC 4055, 3.1).
func pssHash(parameters []byte) (crypto.Hash, error) {
	var p struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
		MGF  asn1.RawValue            `asn1:"optional,explicit,tag:1"`
		Salt asn1.RawValue            `asn1:"optional,explicit,tag:2"`
		Tail asn1.RawValue            `asn1:"optional,explicit,tag:3"`
	}
	if len(parameters) > 0 {
		if _, err := asn1.Unmarshal(parameters, &p); err != nil {
			return 0, errors.New("the algorithm of the server's certificate cannot be read")
		}
	}
	if p.Hash.Algorithm == nil {
		return crypto.SHA256, nil // the default is SHA-1
	}
	h, ok := hashes[p.Hash.Algorithm.String()]
	if !ok {
		return 0, fmt.Errorf("%w (its hash is %s)", ErrNoEndPointHash, p.Hash.Algorithm)
	}
	return h, nil
}

// hashes are the hashes by their own identifiers.
var hashes = map[string]crypto.Hash{
	"1.2.840.113549.2.5":      crypto.SHA256, // MD5
	"1.3.14.3.2.26":           crypto.SHA256, // SHA-1
	"2.16.840.1.101.3.4.2.4":  crypto.SHA224,
	"2.16.840.1.101.3.4.2.1":  crypto.SHA256,
	"2.16.840.1.101.3.4.2.2":  crypto.SHA384,
	"2.16.840.1.101.3.4.2.3":  crypto.SHA512,
	"2.16.840.1.101.3.4.2.5":  crypto.SHA512_224,
	"2.16.840.1.101.3.4.2.6":  crypto.SHA512_256,
	"2.16.840.1.101.3.4.2.7":  crypto.SHA3_224,
	"2.16.840.1.101.3.4.2.8":  crypto.SHA3_256,
	"2.16.840.1.101.3.4.2.9":  crypto.SHA3_384,
	"2.16.840.1.101.3.4.2.10": crypto.SHA3_512,
}

// signatureHashes are the hashes by the identifiers of signatures.
var signatureHashes = map[string]crypto.Hash{
	"1.2.840.113549.1.1.4":    crypto.SHA256,     // MD5 with RSA
	"1.2.840.113549.1.1.5":    crypto.SHA256,     // SHA-1 with RSA
	"1.3.14.3.2.29":           crypto.SHA256,     // SHA-1 with RSA, an old name
	"1.2.840.113549.1.1.14":   crypto.SHA224,     // with RSA
	"1.2.840.113549.1.1.11":   crypto.SHA256,     // with RSA
	"1.2.840.113549.1.1.12":   crypto.SHA384,     // with RSA
	"1.2.840.113549.1.1.13":   crypto.SHA512,     // with RSA
	"1.2.840.113549.1.1.15":   crypto.SHA512_224, // with RSA
	"1.2.840.113549.1.1.16":   crypto.SHA512_256, // with RSA
	"2.16.840.1.101.3.4.3.13": crypto.SHA3_224,   // with RSA
	"2.16.840.1.101.3.4.3.14": crypto.SHA3_256,   // with RSA
	"2.16.840.1.101.3.4.3.15": crypto.SHA3_384,   // with RSA
	"2.16.840.1.101.3.4.3.16": crypto.SHA3_512,   // with RSA
	"1.2.840.10045.4.1":       crypto.SHA256,     // SHA-1 with ECDSA
	"1.2.840.10045.4.3.1":     crypto.SHA224,     // with ECDSA
	"1.2.840.10045.4.3.2":     crypto.SHA256,     // with ECDSA
	"1.2.840.10045.4.3.3":     crypto.SHA384,     // with ECDSA
	"1.2.840.10045.4.3.4":     crypto.SHA512,     // with ECDSA
	"2.16.840.1.101.3.4.3.9":  crypto.SHA3_224,   // with ECDSA
	"2.16.840.1.101.3.4.3.10": crypto.SHA3_256,   // with ECDSA
	"2.16.840.1.101.3.4.3.11": crypto.SHA3_384,   // with ECDSA
	"2.16.840.1.101.3.4.3.12": crypto.SHA3_512,   // with ECDSA
	"1.2.840.10040.4.3":       crypto.SHA256,     // SHA-1 with DSA
	"2.16.840.1.101.3.4.3.1":  crypto.SHA224,     // with DSA
	"2.16.840.1.101.3.4.3.2":  crypto.SHA256,     // with DSA
}
