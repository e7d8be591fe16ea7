package tlsconf

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// revocations are the certificate revocation lists of sslcrl and sslcrldir.
type revocations []*x509.RevocationList

// revocations reads the lists. It returns nil if none are configured and
// ~/.postgresql/root.crl does not exist. A file that is named must exist:
// libpq connects without a check then.
func (s *Settings) revocations() (*revocations, error) {
	lists := &revocations{}
	if s.CRL == "" && s.CRLDir == "" {
		data, err := readIfExists(userFile("root.crl"))
		if err != nil {
			return nil, fmt.Errorf("psyco: sslcrl: %w", err)
		}
		if data == nil {
			return nil, nil
		}
		return lists, lists.add("root.crl", data)
	}
	if s.CRL != "" {
		data, err := os.ReadFile(s.CRL)
		if err != nil {
			return nil, fmt.Errorf("psyco: sslcrl: %w", err)
		}
		if err := lists.add(s.CRL, data); err != nil {
			return nil, err
		}
	}
	if s.CRLDir != "" {
		if err := lists.addDir(s.CRLDir); err != nil {
			return nil, err
		}
	}
	return lists, nil
}

func (l *revocations) add(name string, data []byte) error {
	n := len(*l)
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return fmt.Errorf("psyco: sslcrl %q: %w", name, err)
		}
		*l = append(*l, list)
	}
	if len(*l) > n {
		return nil
	}
	list, err := x509.ParseRevocationList(data)
	if err != nil {
		return fmt.Errorf("psyco: sslcrl %q holds no certificate revocation list", name)
	}
	*l = append(*l, list)
	return nil
}

// addDir reads every list in a directory. OpenSSL only finds files that are
// named by a hash; here the names do not matter, and what is not a list is passed
// over: a certificate without its issuer's list is refused anyhow.
func (l *revocations) addDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("psyco: sslcrldir: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("psyco: sslcrldir: %w", err)
		}
		_ = l.add(path, data)
	}
	return nil
}

// check accepts chains if one of them holds no revoked certificate. Every
// issuer in it must have a list that is valid now
// (libpq: X509_V_FLAG_CRL_CHECK_ALL).
func (l *revocations) check(chains [][]*x509.Certificate) error {
	var errs []error
	for _, chain := range chains {
		err := l.checkChain(chain)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l *revocations) checkChain(chain []*x509.Certificate) error {
	for i, cert := range chain {
		issuer := chain[min(i+1, len(chain)-1)] // the root is its own
		if err := l.checkCert(cert, issuer); err != nil {
			return err
		}
	}
	return nil
}

func (l *revocations) checkCert(cert, issuer *x509.Certificate) error {
	var found bool
	var problem error
	for _, list := range *l {
		if !bytes.Equal(list.RawIssuer, cert.RawIssuer) {
			continue
		}
		if err := usable(list, issuer); err != nil {
			problem = err
			continue
		}
		found = true
		for _, e := range list.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
				return fmt.Errorf("certificate %q (serial number %x) was revoked on %s", cert.Subject, cert.SerialNumber, e.RevocationTime.Format(time.DateOnly))
			}
		}
	}
	if found {
		return nil
	}
	if problem == nil {
		problem = errors.New("sslcrl and sslcrldir have none")
	}
	return fmt.Errorf("no valid revocation list of %q: %w", cert.Issuer, problem)
}

// usable says whether list is from issuer, in force, and complete.
func usable(list *x509.RevocationList, issuer *x509.Certificate) error {
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return err
	}
	now := time.Now()
	if now.Before(list.ThisUpdate) {
		return fmt.Errorf("it is in force from %s on", list.ThisUpdate.Format(time.RFC3339))
	}
	if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
		return fmt.Errorf("it expired on %s", list.NextUpdate.Format(time.RFC3339))
	}
	for _, e := range list.Extensions {
		// Delta lists and lists for some distribution points only.
		if e.Critical {
			return fmt.Errorf("it has an extension that is not supported, %s", e.Id)
		}
	}
	return nil
}
