package pemkey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// RFC 5958 and RFC 8018. OpenSSL writes PBES2 with PBKDF2 unless told
// otherwise.
type (
	encryptedPrivateKeyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		KDF, Scheme pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// prfs are the PBKDF2 hash functions by object identifier; "" is the default
// of RFC 8018, HMAC-SHA-1.
var prfs = map[string]func() hash.Hash{
	"":                    sha1.New,
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.8":  sha256.New224,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// schemes are the ciphers, all in CBC mode.
var schemes = map[string]struct {
	keyLength int
	block     func([]byte) (cipher.Block, error)
}{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// maxIterations keeps a damaged file from costing minutes; OpenSSL writes 2048.
const maxIterations = 10_000_000

// advice ends the errors about algorithms the standard library does not have.
const advice = `; rewrite the key with "openssl pkcs8 -topk8 -v2 aes-256-cbc"`

func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info encryptedPrivateKeyInfo
	if err := unmarshal(der, &info, "encrypted private key"); err != nil {
		return nil, err
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("the private key is encrypted with algorithm %s, only PBES2 is supported%s", info.Algorithm.Algorithm, advice)
	}
	var params pbes2Params
	if err := unmarshal(info.Algorithm.Parameters.FullBytes, &params, "PBES2 parameters"); err != nil {
		return nil, err
	}
	scheme, ok := schemes[params.Scheme.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("the private key is encrypted with cipher %s, only AES and 3DES in CBC mode are supported%s", params.Scheme.Algorithm, advice)
	}
	var iv []byte
	if err := unmarshal(params.Scheme.Parameters.FullBytes, &iv, "initialisation vector"); err != nil {
		return nil, err
	}
	key, err := deriveKey(params.KDF, password, scheme.keyLength)
	if err != nil {
		return nil, err
	}
	block, err := scheme.block(key)
	if err != nil {
		return nil, err
	}
	if len(iv) != block.BlockSize() || len(info.Data) == 0 || len(info.Data)%block.BlockSize() != 0 {
		return nil, errors.New("the encrypted private key is damaged: a length does not fit the cipher")
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	return unpad(plain, block.BlockSize())
}

func deriveKey(kdf pkix.AlgorithmIdentifier, password string, length int) ([]byte, error) {
	if !kdf.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("the private key's password is stretched with algorithm %s, only PBKDF2 is supported%s", kdf.Algorithm, advice)
	}
	var params pbkdf2Params
	if err := unmarshal(kdf.Parameters.FullBytes, &params, "PBKDF2 parameters"); err != nil {
		return nil, err
	}
	prf, ok := prfs[params.PRF.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("the private key's password is stretched with hash function %s, only the SHA family is supported%s", params.PRF.Algorithm, advice)
	}
	if params.Iterations < 1 || params.Iterations > maxIterations {
		return nil, fmt.Errorf("the encrypted private key asks for %d rounds of PBKDF2, between 1 and %d are accepted", params.Iterations, maxIterations)
	}
	if params.KeyLength != 0 && params.KeyLength != length {
		return nil, errors.New("the encrypted private key is damaged: its key length does not fit the cipher")
	}
	return pbkdf2.Key(prf, password, params.Salt, params.Iterations, length)
}

// unpad removes PKCS #7 padding. A wrong password leaves
// wrong padding in all but one of 256 cases; the parser finds the rest.
func unpad(plain []byte, blockSize int) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n < 1 || n > blockSize {
		return nil, ErrPassword
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, ErrPassword
		}
	}
	return plain[:len(plain)-n], nil
}

// unmarshal is asn1.Unmarshal that names what it read and allows nothing
// behind it.
func unmarshal(der []byte, v any, what string) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing data")
	}
	if err != nil {
		return fmt.Errorf("the %s cannot be read: %w", what, err)
	}
	return nil
}
