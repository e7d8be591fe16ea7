package conninfo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/psyco-go/psyco/internal/spelling"
)

// What stands in connection strings that were written for another tool. The server
// would refuse it as a parameter that it does not know, after a connection was made.

// foreign lists keywords of other tools, in lower case and without underscores and
// hyphens, with what to write in a string for psyco.
var foreign = []struct {
	advice string
	of     []string
}{
	// What psyco has by another name.
	{`did you mean "user"?`, []string{"username"}},
	{`did you mean "password"?`, []string{"pass", "passwd", "pwd"}},
	{`did you mean "host"?`, []string{"hostname", "server"}},
	{`did you mean "dbname"?`, []string{"db"}},
	{`did you mean "connect_timeout"?`, []string{"timeout", "connectiontimeout"}},
	{`did you mean "application_name"?`, []string{"appname"}},
	{`did you mean "client_encoding"?`, []string{"charset", "encoding"}},

	// The schema.
	{"write search_path=NAME", []string{"schema", "currentschema", "schemasearchpath", "searchpaths"}},

	// Pools: Prisma, pgxpool, SQLAlchemy, asyncpg, Rails, Django, node-postgres, Npgsql.
	{"the pool is database/sql's: call SetMaxOpenConns of the *sql.DB", []string{"connectionlimit", "maxconns", "maxopenconns", "poolmaxconns", "maxpoolsize", "maximumpoolsize", "maxsize", "maxoverflow", "poolsize", "pool", "max"}},
	{"the pool is database/sql's: call SetMaxIdleConns of the *sql.DB", []string{"maxidleconns", "poolminconns", "poolminidleconns", "minpoolsize", "minsize"}},
	{"the pool is database/sql's: call SetConnMaxLifetime of the *sql.DB", []string{"connmaxage", "connmaxlifetime", "poolmaxconnlifetime", "poolrecycle", "connectionlifetime"}},
	{"the pool is database/sql's: call SetConnMaxIdleTime of the *sql.DB", []string{"connmaxidletime", "poolmaxconnidletime", "idletimeout", "idletimeoutmillis", "maxidletime"}},
	{"leave it out: the pool is database/sql's", []string{"pooling", "reapingfrequency"}},
	{"leave it out: who waits for a connection of the pool waits as long as the context lasts", []string{"pooltimeout", "checkouttimeout"}},
	{"leave it out: psyco looks at a connection each time it leaves the pool", []string{"poolhealthcheckperiod", "poolpreping", "connhealthchecks"}},
	{"leave it out: the pool is database/sql's, which has none", []string{"poolmaxconnlifetimejitter"}},

	// Timeouts.
	{"write connect_timeout=SECONDS", []string{"logintimeout", "connectiontimeoutmillis", "dialtimeout"}},
	{"give the query's context a deadline, or set the server's statement_timeout", []string{"sockettimeout", "querytimeout", "commandtimeout", "readtimeout", "writetimeout"}},

	// How statements are sent: pgx, JDBC, asyncpg, Prisma, Rails.
	{"write statement_cache_capacity=0 for pgx's exec and describe_exec, binding=client for simple_protocol, nothing for the others", []string{"defaultqueryexecmode"}},
	{"write statement_cache_capacity=0 for describe, nothing for prepare", []string{"statementcachemode"}},
	{"leave it out: psyco needs no descriptions of statements", []string{"descriptioncachecapacity"}},
	{"write binding=client", []string{"prefersimpleprotocol"}},
	{"write binding=client for simple, nothing for the others", []string{"preferquerymode"}},
	{"write statement_cache_capacity=NUMBER", []string{"preparedstatementcachesize", "preparedstatementcachequeries", "statementcachesize", "statementlimit"}},
	{"write statement_cache_capacity=0 for false, nothing for true", []string{"preparedstatements"}},
	{"leave it out: ExecMany and ExecValues send many rows in one round trip", []string{"rewritebatchedinserts"}},
	{"pass ServerSide(NUMBER) as an argument of the query", []string{"defaultrowfetchsize"}},
	{"leave it out: psyco uses binary values where they mean the same", []string{"binarytransfer", "binary"}},
	{"leave it out: the server infers the types of parameters", []string{"stringtype"}},
	{"leave it out", []string{"assumeminserverversion"}},
	{"leave it out: psyco does so anyway", []string{"usenativeunicode"}},
	{"leave it out: ExecMany sends many rows in one round trip", []string{"executemanymode"}},
	{"write timezone=NAME", []string{"servertimezone"}},

	// Several servers: JDBC, YugabyteDB, Prisma.
	{"write target_session_attrs=any, primary, standby or prefer-standby", []string{"targetservertype"}},
	{"write load_balance_hosts=random and name every host", []string{"loadbalance", "ybserversrefreshinterval", "fallbacktotopologykeysonly", "failedhostreconnectdelaysecs"}},
	{"write load_balance_hosts=random and name the hosts of the zones", []string{"topologykeys"}},
	{"leave it out: psyco tries the hosts anew for each connection", []string{"hostrecheckseconds"}},
	{"write default_transaction_read_only=on", []string{"readonly"}},

	// TLS: JDBC, node-postgres, Prisma, Npgsql, asyncpg.
	{"write sslmode=require, or sslmode=disable for false", []string{"ssl", "usessl", "tls"}},
	{"write sslmode=verify-full for strict, sslmode=require for accept_invalid_certs", []string{"sslaccept"}},
	{"write sslcert=FILE and sslkey=FILE, in PEM", []string{"sslidentity"}},
	{"write sslmode=require to check no certificate, sslmode=verify-full to check it", []string{"sslfactory"}},
	{"write sslmode=verify-ca to check no name, sslmode=verify-full to check it", []string{"sslhostnameverifier"}},
	{"write sslrootcert=FILE", []string{"sslca"}},
	{"write sslmode=require for true, sslmode=verify-full for false", []string{"trustservercertificate"}},
	{"write sslmode=require for false, sslmode=verify-full for true", []string{"rejectunauthorized"}},
	{"leave it out: sslmode means here what it means to libpq", []string{"uselibpqcompat"}},
	{"write keepalives=1, or 0 for false", []string{"tcpkeepalive"}},

	// Poolers and providers.
	{"leave it out, and write pgbouncer=true if the port is 6543", []string{"supa", "workaround"}},
	{"write pgbouncer=true", []string{"pooler"}},
	{"write options=endpoint%3D… in a URI", []string{"endpoint"}},
	{"write each setting as a keyword of its own", []string{"serversettings", "variables"}},
	{"write client_min_messages=LEVEL", []string{"minmessages"}},
	{"leave it out", []string{"asyncfallback", "adapter", "engine", "driver"}},
	{"pass WithTracer to NewConnector", []string{"loggerlevel", "loglevel", "echo"}},
	{"golang-migrate takes its x- options out of the string only if it opens the database itself", []string{"xmigrationstable", "xmultistatement", "xstatementtimeout", "xmigrationstablequoted"}},
}

// adviceFor returns what to write in the place of a keyword of another tool, or "".
func adviceFor(key string) string {
	key = spelling.Bare(strings.ToLower(key))
	for _, f := range foreign {
		if slices.Contains(f.of, key) {
			return f.advice
		}
	}
	return ""
}

// otherDatabase are the beginnings of schemes of what does not speak PostgreSQL's protocol.
var otherDatabase = []string{"mysql", "mariadb", "sqlite", "sqlserver", "mongodb", "redis", "http", "prisma"}

// foreignScheme refuses what is not a connection string of either form, but nearly one: a
// URI with the scheme of another tool, or a string within what it was copied with. It
// returns nil if it does not know s.
func foreignScheme(s string) error {
	s = strings.TrimLeft(s, " \t\r\n")
	before, _, ok := strings.Cut(s, "://")
	if !ok {
		if strings.HasPrefix(s, "jdbc:postgresql:") {
			return errors.New(`invalid URI: it begins with "jdbc:postgresql:": write "postgres:///" for it`)
		}
		return nil
	}
	switch {
	case strings.Trim(before, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.:") == "":
		lower := strings.ToLower(before)
		scheme := lower + "://"
		if before != lower && uriPrefixLen(scheme) > 0 {
			return fmt.Errorf("invalid URI: it begins with %q: write %q", before+"://", scheme)
		}
		hint := `: write "postgres://"`
		if _, driver, ok := strings.Cut(lower, "+"); ok && strings.HasPrefix(lower, "postgres") {
			hint = fmt.Sprintf(": drop %q, which is meant for SQLAlchemy", "+"+driver)
		} else if slices.ContainsFunc(otherDatabase, func(name string) bool { return strings.HasPrefix(lower, name) }) {
			hint = ", which is not PostgreSQL's"
		}
		return fmt.Errorf("invalid URI: it begins with %q%s", before+"://", hint)
	case strings.HasPrefix(before, "psql "):
		return errors.New(`invalid connection string: it begins with the command "psql": keep the URI only, without quotes`)
	case strings.HasPrefix(before, `"`), strings.HasPrefix(before, "'"), strings.HasPrefix(before, "`"):
		return fmt.Errorf("invalid URI: it begins with a quote (%s): leave the quotes out", before[:1])
	}
	if name, quoted, ok := strings.Cut(before, "="); ok && uriPrefixLen(strings.Trim(quoted, `"'`)+"://") > 0 && name != "" && strings.ToUpper(name) == name && isPlainWord(name) {
		return fmt.Errorf("invalid URI: it begins with %q: keep what stands behind the equals sign, without quotes", name+"=")
	}
	return nil
}
