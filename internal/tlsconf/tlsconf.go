// Package tlsconf makes the configuration of a TLS handshake out of sslmode, sslrootcert
// and the other options of a connection string, by libpq's rules.
package tlsconf

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Settings are what a connection string says about TLS. The names of the fields are
// those of the options, without their ssl.
type Settings struct {
	Mode                   string // of sslmode, but not pqgo-NAME
	RootCert, CRL, CRLDir  string
	Cert, Key, Password    string
	CertMode               string
	SNI, Inline            bool
	MinVersion, MaxVersion string
	KeyLogFile             string

	// Own is the program's own configuration, which takes the place of all these.
	Own *tls.Config
	// Registered, if not nil, returns the configuration that sslmode names: what it
	// leaves open is filled in.
	Registered func() (*tls.Config, error)
}

// ALPN is what PostgreSQL 17 expects in the handshake; older servers ignore it.
const ALPN = "postgresql"

// Config makes the configuration of a handshake with host, at address if that is not
// empty. The files it needs are read each time, as libpq does, so that renewed ones take
// effect.
func (s *Settings) Config(host, address string) (*tls.Config, error) {
	switch {
	case s.Own != nil:
		conf := s.Own.Clone()
		if conf.ServerName == "" {
			conf.ServerName = cmp.Or(host, address)
		}
		if len(conf.NextProtos) == 0 {
			conf.NextProtos = []string{ALPN}
		}
		return conf, nil
	case s.Registered != nil:
		registered, err := s.Registered()
		if err != nil {
			return nil, err
		}
		return s.complete(registered.Clone(), host)
	}
	return s.byMode(host, address)
}

// complete fills in what a registered configuration leaves open, as lib/pq does.
func (s *Settings) complete(conf *tls.Config, host string) (*tls.Config, error) {
	oldest := conf.MinVersion
	if err := s.setTLSVersions(conf); err != nil {
		return nil, err
	}
	if err := s.setKeyLog(conf); err != nil {
		return nil, err
	}
	conf.MinVersion = max(conf.MinVersion, oldest) // the string's default is no reason to lower it
	if conf.ServerName == "" && s.SNI {
		conf.ServerName = host
	}
	if len(conf.NextProtos) == 0 {
		conf.NextProtos = []string{ALPN}
	}
	var roots *rootCerts
	if conf.RootCAs == nil && s.RootCert != "" {
		var err error
		if roots, err = s.rootCerts(); err != nil {
			return nil, err
		}
		if roots != nil {
			conf.RootCAs = roots.all()
		}
	}
	if conf.GetClientCertificate == nil && len(conf.Certificates) == 0 {
		if err := s.setClientCert(conf, roots); err != nil {
			return nil, err
		}
	}
	return conf, nil
}

// byMode follows sslmode, sslrootcert and the others.
func (s *Settings) byMode(host, address string) (*tls.Config, error) {
	conf := &tls.Config{
		// crypto/tls knows only all or nothing; serverCheck knows sslmode's levels.
		InsecureSkipVerify: true,
		NextProtos:         []string{ALPN},
		// Amazon Redshift renegotiates, as PostgreSQL did until 9.4.
		Renegotiation: tls.RenegotiateFreelyAsClient,
	}
	if s.SNI {
		conf.ServerName = host // crypto/tls leaves out addresses
	}
	if err := s.setTLSVersions(conf); err != nil {
		return nil, err
	}
	if err := s.setKeyLog(conf); err != nil {
		return nil, err
	}
	roots, err := s.rootCerts()
	if err != nil {
		return nil, err
	}
	check, err := s.serverCheck(host, address, roots)
	if err != nil {
		return nil, err
	}
	if check != nil {
		conf.VerifyConnection = check.verify
	}
	if err := s.setClientCert(conf, roots); err != nil {
		return nil, err
	}
	return conf, nil
}

func (s *Settings) setTLSVersions(conf *tls.Config) error {
	for _, v := range []struct {
		option, value string
		to            *uint16
	}{
		{"ssl_min_protocol_version", s.MinVersion, &conf.MinVersion},
		{"ssl_max_protocol_version", s.MaxVersion, &conf.MaxVersion},
	} {
		switch strings.ToLower(v.value) {
		case "":
		case "tlsv1", "tlsv1.0":
			*v.to = tls.VersionTLS10
		case "tlsv1.1":
			*v.to = tls.VersionTLS11
		case "tlsv1.2":
			*v.to = tls.VersionTLS12
		case "tlsv1.3":
			*v.to = tls.VersionTLS13
		default:
			return fmt.Errorf("psyco: %s=%q: use TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3", v.option, v.value)
		}
	}
	return nil
}

// serverCheck verifies a server's certificate by libpq's rules.
type serverCheck struct {
	roots *x509.CertPool      // nil: the system's
	links []*x509.Certificate // that may stand between a root and the server's
	crls  *revocations        // nil: no check
	host  string              // "": any name will do
}

// serverCheck returns nil if sslmode does not ask for a check: below verify-ca
// there is one only if there is a root certificate (libpq: initialize_SSL).
func (s *Settings) serverCheck(host, address string, roots *rootCerts) (*serverCheck, error) {
	check := &serverCheck{}
	switch s.Mode {
	case "verify-full":
		if host == "" {
			return nil, fmt.Errorf("psyco: sslmode=verify-full needs a host name to compare with the certificate; give host beside hostaddr=%s", address)
		}
		check.host = host
	case "verify-ca":
	default:
		if roots == nil {
			return nil, nil
		}
	}
	check.roots, check.links = roots.split()
	var err error
	check.crls, err = s.revocations()
	return check, err
}

// verify is a tls.Config's VerifyConnection.
func (c *serverCheck) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("psyco: the server sent no certificate")
	}
	leaf := cs.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: c.roots, Intermediates: x509.NewCertPool()}
	for _, cert := range slices.Concat(cs.PeerCertificates[1:], c.links) {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(opts)
	if err == nil && c.crls != nil {
		err = c.crls.check(chains)
	}
	if err == nil && c.host != "" {
		err = verifyName(leaf, c.host)
	}
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return nil
}

// verifyName compares host with the certificate's subject alternative names
// and, if there are none of host's kind, with its common name
// (libpq: pgtls_verify_peer_name_matches_certificate_guts).
func verifyName(cert *x509.Certificate, host string) error {
	err := cert.VerifyHostname(host)
	if err == nil {
		return nil
	}
	sameKind := len(cert.DNSNames)
	if _, ip := netip.ParseAddr(host); ip == nil {
		sameKind = len(cert.IPAddresses)
	}
	if sameKind == 0 && matchCommonName(cert.Subject.CommonName, host) {
		return nil
	}
	return err
}

// matchCommonName knows one wildcard, a whole leftmost label
// (libpq: wildcard_certificate_match).
func matchCommonName(pattern, host string) bool {
	if strings.EqualFold(pattern, host) {
		return host != ""
	}
	suffix, wildcard := strings.CutPrefix(pattern, "*")
	label, _, dot := strings.Cut(host, ".")
	return wildcard && dot && label != "" && len(suffix) > 1 && suffix[0] == '.' && strings.EqualFold(suffix, host[len(label):])
}
