package dial

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
)

// Error is the error of [Params.Connect].
type Error struct {
	Where string // the address, and whether with TLS; "" if there were several attempts
	Cause error  // of several attempts all, joined
	Do    string // what to do about it; "" if that is not known
}

func (e *Error) Error() string {
	if e.Where == "" {
		return e.Cause.Error()
	}
	return e.Where + ": " + e.Cause.Error()
}

func (e *Error) Unwrap() error { return e.Cause }

// Advice says what to do about one kind of error.
type Advice struct {
	Kind string // as a user would call it
	Do   string
	is   func(err error) bool
}

// Advices are all kinds, the special before the general.
var Advices = []Advice{
	{"wrong password", "check the user and the password; it is taken from WithPassword, the connection string, PGPASSWORD or the passfile, in this order",
		state("28P01", "")},
	{"no line in pg_hba.conf", "the server's pg_hba.conf has no line for this user, database and address, with or without TLS: add one, or try sslmode=require",
		state("28000", "pg_hba.conf")},
	{"no such role", "create the role, or name another with user=; without it the user is PGUSER or that of the system",
		state("28000", "role")},
	{"no such database", "create the database, or name another with dbname=; without it the database is PGDATABASE or called like the user",
		state("3D000", "")},
	{"too many connections", "the server has no connection left: let sql.DB's SetMaxOpenConns be less than its share of max_connections, or put a pooler in front",
		state("53300", "")},
	{"server starting or stopping", "the server is starting up or shutting down: try again in a moment",
		state("57P03", "")},
	{"setting refused by a pooler", "a pooler such as pgbouncer takes few settings in a connection string: write ALTER ROLE … SET … for this one, or SET LOCAL in the transaction, or have the pooler ignore it (ignore_startup_parameters)",
		state("08P01", "startup parameter")},
	{"server without TLS", "the server has no TLS: switch it on there (ssl=on), or write sslmode=disable where the network is trusted",
		func(err error) bool { return is[*noTLSError](err) }},
	{"certificate of an unknown authority", "name the file with the authority's certificate in sslrootcert=, or write sslmode=require to encrypt without checking who answers",
		is[x509.UnknownAuthorityError]},
	{"certificate for another name", "connect by a name that the certificate has, with hostaddr= for the address if need be, or write sslmode=verify-ca to accept any name",
		is[x509.HostnameError]},
	{"certificate out of date", "renew the server's certificate, or set the clock of this machine",
		func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		}},
	{"no such host", "check the spelling of host=, and whether this machine's name server knows it",
		func(err error) bool { var e *net.DNSError; return errors.As(err, &e) && e.IsNotFound }},
	{"no answer in time", "nothing answers there, or too slowly: check host= and port=, firewalls, and whether connect_timeout= is long enough",
		func(err error) bool { return is[*connectTimeoutError](err) || isAny(err, timedOut) }},
	{"socket missing", "no server listens on this socket: is it running, and are its port and unix_socket_directories the same? Write host=localhost to use TCP",
		func(err error) bool { return onSocket(err) && (errors.Is(err, fs.ErrNotExist) || isAny(err, refused)) }},
	{"socket not permitted", "this system user may not use the socket: see the permissions of its directory and the server's unix_socket_permissions",
		func(err error) bool { return onSocket(err) && errors.Is(err, os.ErrPermission) }},
	{"server down", "is a server running there, on this port, and does it listen on this address (listen_addresses)?",
		func(err error) bool { return isAny(err, refused) }},
	{"no route", "this machine has no way to the address; if that is IPv6, which many networks lack, give the host's IPv4 address in hostaddr=",
		func(err error) bool { return isAny(err, unreachable) }},
}

// advise returns what to do about err, or "" where that is not known or
// the program itself has ended the attempt.
func advise(err error) string {
	if errors.Is(err, context.Canceled) {
		return ""
	}
	for i := range Advices {
		if a := &Advices[i]; a.is(err) {
			return a.Do
		}
	}
	return ""
}

func isAny(err error, kinds []error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

func is[T error](err error) bool {
	var e T
	return errors.As(err, &e)
}

// state is for errors of the server with an SQLSTATE and a word in their text, "" for any.
func state(code, word string) func(error) bool {
	return func(err error) bool {
		var se serverError
		return errors.As(err, &se) && se.SQLState() == code && strings.Contains(se.Error(), word)
	}
}

func onSocket(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Net == "unix"
}
