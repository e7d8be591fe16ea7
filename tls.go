package psyco

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

// encryption is what one attempt to connect uses.
type encryption bool

const (
	plaintext encryption = false
	encrypted encryption = true
)

// encryptions lists what to try on an address, in order: the next is for when
// the server refuses the one before (libpq: select_next_encryption_method).
// A tls.Config given by the program is never traded for plain text.
func (d *dialer) encryptions(network string) []encryption {
	switch mode := d.cfg.SSLMode; {
	case network == "unix", mode == "disable":
		return []encryption{plaintext}
	case d.ownTLS() != nil:
		return []encryption{encrypted}
	case mode == "allow":
		return []encryption{plaintext, encrypted}
	case mode == "prefer", mode == "":
		return []encryption{encrypted, plaintext}
	default:
		return []encryption{encrypted}
	}
}

// ownTLS returns the program's own tls.Config, if there is one.
func (d *dialer) ownTLS() *tls.Config {
	if d.tls != nil {
		return d.tls
	}
	return d.cfg.TLSConfig
}

// alpn is what PostgreSQL 17 expects in the handshake; older servers ignore it.
const alpn = "postgresql"

// tlsConfig makes the configuration of a handshake with host. The files it
// names are read each time, as libpq does, so that renewed ones take effect.
func (d *dialer) tlsConfig(host Host) (*tls.Config, error) {
	if own := d.ownTLS(); own != nil {
		conf := own.Clone()
		if conf.ServerName == "" {
			conf.ServerName = cmp.Or(host.Host, host.Hostaddr)
		}
		if len(conf.NextProtos) == 0 {
			conf.NextProtos = []string{alpn}
		}
		return conf, nil
	}
	if name, ok := strings.CutPrefix(d.cfg.SSLMode, tlsConfigPrefix); ok {
		return d.cfg.registeredTLSConfig(name, host)
	}
	return d.cfg.tlsConfig(host)
}

// tlsConfig follows sslmode, sslrootcert and the others.
func (cfg *Config) tlsConfig(host Host) (*tls.Config, error) {
	conf := &tls.Config{
		// crypto/tls knows only all or nothing; serverCheck knows sslmode's levels.
		InsecureSkipVerify: true,
		NextProtos:         []string{alpn},
		// Amazon Redshift renegotiates, as PostgreSQL did until 9.4.
		Renegotiation: tls.RenegotiateFreelyAsClient,
	}
	if cfg.SSLSNI {
		conf.ServerName = host.Host // crypto/tls leaves out addresses
	}
	if err := cfg.setTLSVersions(conf); err != nil {
		return nil, err
	}
	if err := cfg.setKeyLog(conf); err != nil {
		return nil, err
	}
	roots, err := cfg.rootCerts()
	if err != nil {
		return nil, err
	}
	check, err := cfg.serverCheck(host, roots)
	if err != nil {
		return nil, err
	}
	if check != nil {
		conf.VerifyConnection = check.verify
	}
	if err := cfg.setClientCert(conf, roots); err != nil {
		return nil, err
	}
	return conf, nil
}

func (cfg *Config) setTLSVersions(conf *tls.Config) error {
	for _, v := range []struct {
		option, value string
		to            *uint16
	}{
		{"ssl_min_protocol_version", cfg.SSLMinProtocolVersion, &conf.MinVersion},
		{"ssl_max_protocol_version", cfg.SSLMaxProtocolVersion, &conf.MaxVersion},
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
func (cfg *Config) serverCheck(host Host, roots *rootCerts) (*serverCheck, error) {
	check := &serverCheck{}
	switch cfg.SSLMode {
	case "verify-full":
		if host.Host == "" {
			return nil, fmt.Errorf("psyco: sslmode=verify-full needs a host name to compare with the certificate; give host beside hostaddr=%s", host.Hostaddr)
		}
		check.host = host.Host
	case "verify-ca":
	default:
		if roots == nil {
			return nil, nil
		}
	}
	check.roots, check.links = roots.split()
	var err error
	check.crls, err = cfg.revocations()
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
