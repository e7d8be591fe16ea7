// Package pemkey reads private keys as OpenSSL writes them, encrypted ones
// included.
package pemkey

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrPasswordRequired is returned for an encrypted key when no password was
// given.
var ErrPasswordRequired = errors.New("the private key is encrypted and no password was given")

// ErrPassword is returned when the password does not decrypt the key.
var ErrPassword = errors.New("the password does not decrypt the private key")

// Parse returns the first private key in data: PEM in PKCS #8, PKCS #1 or SEC 1
// form, encrypted or not, or the same as plain DER. Other PEM blocks in front
// of the key are skipped. password is only looked at for encrypted keys.
func Parse(data []byte, password string) (crypto.PrivateKey, error) {
	sawPEM := false
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		sawPEM = true
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		der, err := decrypt(block, password)
		if err != nil {
			return nil, err
		}
		return parseDER(der)
	}
	if sawPEM {
		return nil, errors.New("no private key among the PEM blocks")
	}
	key, err := parseDER(data)
	if err != nil {
		return nil, errors.New("failed to find any PEM data in key input, and it is not a key in DER either")
	}
	return key, nil
}

// decrypt returns the block's DER in the clear.
func decrypt(block *pem.Block, password string) ([]byte, error) {
	//lint:ignore SA1019 OpenSSL still writes this form and libpq still reads it
	legacy := x509.IsEncryptedPEMBlock(block)
	if !legacy && block.Type != "ENCRYPTED PRIVATE KEY" {
		return block.Bytes, nil
	}
	if password == "" {
		return nil, ErrPasswordRequired
	}
	if !legacy {
		return decryptPKCS8(block.Bytes, password)
	}
	//lint:ignore SA1019 as above
	der, err := x509.DecryptPEMBlock(block, []byte(password))
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, ErrPassword
	}
	return der, err
}

func parseDER(der []byte) (crypto.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, fmt.Errorf("not a private key this program can use: %w", err)
}
