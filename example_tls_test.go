package psyco_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/psyco-go/psyco"
)

// A certificate authority that only this program trusts.
func ExampleRegisterTLSConfig() {
	roots := x509.NewCertPool()
	if data, err := os.ReadFile("ca.pem"); err == nil {
		roots.AppendCertsFromPEM(data)
	}
	if err := psyco.RegisterTLSConfig("internal", &tls.Config{RootCAs: roots}); err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := psyco.ParseDSN("host=db.example.test sslmode=pqgo-internal")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.SSLMode)
	// Output: pqgo-internal
}
