package conninfo

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/psyco-go/psyco/internal/spelling"
)

// What stands in connection strings that were written for another tool. The server
// would refuse it as a parameter that it does not know, after a connection was made.

// What to write in the place of keywords that more than one tool has.
const (
	ofPool     = "the pool is database/sql's: call %s of the *sql.DB"
	ofContexts = "give the query's context a deadline, or set the server's statement_timeout"
	nothing    = "leave it out: psyco does so anyway"
)

// foreign tells for keywords of other tools, in lower case and without underscores and
// hyphens, what to write in a string for psyco.
var foreign = map[string]string{
	// The schema.
	"schema":           "write search_path=NAME",
	"currentschema":    "write search_path=NAME",
	"schemasearchpath": "write search_path=NAME",
	"searchpaths":      "write search_path=NAME",

	// Pools: Prisma, pgxpool, SQLAlchemy, asyncpg, Rails, Django, node-postgres, Npgsql.
	"connectionlimit":           fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"maxconns":                  fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"maxopenconns":              fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"poolmaxconns":              fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"maxpoolsize":               fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"maximumpoolsize":           fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"maxsize":                   fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"maxoverflow":               fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"poolsize":                  fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"pool":                      fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"max":                       fmt.Sprintf(ofPool, "SetMaxOpenConns"),
	"maxidleconns":              fmt.Sprintf(ofPool, "SetMaxIdleConns"),
	"poolminconns":              fmt.Sprintf(ofPool, "SetMaxIdleConns"),
	"poolminidleconns":          fmt.Sprintf(ofPool, "SetMaxIdleConns"),
	"minpoolsize":               fmt.Sprintf(ofPool, "SetMaxIdleConns"),
	"minsize":                   fmt.Sprintf(ofPool, "SetMaxIdleConns"),
	"connmaxage":                fmt.Sprintf(ofPool, "SetConnMaxLifetime"),
	"connmaxlifetime":           fmt.Sprintf(ofPool, "SetConnMaxLifetime"),
	"poolmaxconnlifetime":       fmt.Sprintf(ofPool, "SetConnMaxLifetime"),
	"poolrecycle":               fmt.Sprintf(ofPool, "SetConnMaxLifetime"),
	"connectionlifetime":        fmt.Sprintf(ofPool, "SetConnMaxLifetime"),
	"connmaxidletime":           fmt.Sprintf(ofPool, "SetConnMaxIdleTime"),
	"poolmaxconnidletime":       fmt.Sprintf(ofPool, "SetConnMaxIdleTime"),
	"idletimeout":               fmt.Sprintf(ofPool, "SetConnMaxIdleTime"),
	"idletimeoutmillis":         fmt.Sprintf(ofPool, "SetConnMaxIdleTime"),
	"maxidletime":               fmt.Sprintf(ofPool, "SetConnMaxIdleTime"),
	"pooling":                   "leave it out: the pool is database/sql's",
	"pooltimeout":               "leave it out: who waits for a connection of the pool waits as long as the context lasts",
	"checkouttimeout":           "leave it out: who waits for a connection of the pool waits as long as the context lasts",
	"poolhealthcheckperiod":     "leave it out: psyco looks at a connection each time it leaves the pool",
	"poolmaxconnlifetimejitter": "leave it out: the pool is database/sql's, which has none",
	"poolpreping":               "leave it out: psyco looks at a connection each time it leaves the pool",
	"connhealthchecks":          "leave it out: psyco looks at a connection each time it leaves the pool",
	"reapingfrequency":          "leave it out: the pool is database/sql's",

	// Timeouts.
	"logintimeout":            "write connect_timeout=SECONDS",
	"connectiontimeoutmillis": "write connect_timeout=SECONDS",
	"dialtimeout":             "write connect_timeout=SECONDS",
	"sockettimeout":           ofContexts,
	"querytimeout":            ofContexts,
	"commandtimeout":          ofContexts,
	"readtimeout":             ofContexts,
	"writetimeout":            ofContexts,

	// How statements are sent: pgx, JDBC, asyncpg, Prisma, Rails.
	"defaultqueryexecmode":          "write statement_cache_capacity=0 for pgx's exec and describe_exec, binding=client for simple_protocol, nothing for the others",
	"statementcachemode":            "write statement_cache_capacity=0 for describe, nothing for prepare",
	"descriptioncachecapacity":      "leave it out: psyco needs no descriptions of statements",
	"prefersimpleprotocol":          "write binding=client",
	"preferquerymode":               "write binding=client for simple, nothing for the others",
	"preparedstatementcachesize":    "write statement_cache_capacity=NUMBER",
	"preparedstatementcachequeries": "write statement_cache_capacity=NUMBER",
	"statementcachesize":            "write statement_cache_capacity=NUMBER",
	"statementlimit":                "write statement_cache_capacity=NUMBER",
	"preparedstatements":            "write statement_cache_capacity=0 for false, nothing for true",
	"rewritebatchedinserts":         "leave it out: ExecMany and ExecValues send many rows in one round trip",
	"defaultrowfetchsize":           "pass ServerSide(NUMBER) as an argument of the query",
	"binarytransfer":                "leave it out: psyco uses binary values where they mean the same",
	"binary":                        "leave it out: psyco uses binary values where they mean the same",
	"stringtype":                    "leave it out: the server infers the types of parameters",
	"assumeminserverversion":        "leave it out",
	"usenativeunicode":              nothing,
	"executemanymode":               "leave it out: ExecMany sends many rows in one round trip",
	"servertimezone":                "write timezone=NAME",

	// Several servers: JDBC, YugabyteDB, Prisma.
	"targetservertype":             "write target_session_attrs=any, primary, standby or prefer-standby",
	"loadbalance":                  "write load_balance_hosts=random and name every host",
	"topologykeys":                 "write load_balance_hosts=random and name the hosts of the zones",
	"ybserversrefreshinterval":     "write load_balance_hosts=random and name every host",
	"fallbacktotopologykeysonly":   "write load_balance_hosts=random and name every host",
	"failedhostreconnectdelaysecs": "write load_balance_hosts=random and name every host",
	"hostrecheckseconds":           "leave it out: psyco tries the hosts anew for each connection",
	"readonly":                     "write default_transaction_read_only=on",

	// TLS: JDBC, node-postgres, Prisma, Npgsql, asyncpg.
	"ssl":                    "write sslmode=require, or sslmode=disable for false",
	"usessl":                 "write sslmode=require, or sslmode=disable for false",
	"tls":                    "write sslmode=require, or sslmode=disable for false",
	"sslaccept":              "write sslmode=verify-full for strict, sslmode=require for accept_invalid_certs",
	"sslidentity":            "write sslcert=FILE and sslkey=FILE, in PEM",
	"sslfactory":             "write sslmode=require to check no certificate, sslmode=verify-full to check it",
	"sslhostnameverifier":    "write sslmode=verify-ca to check no name, sslmode=verify-full to check it",
	"sslca":                  "write sslrootcert=FILE",
	"trustservercertificate": "write sslmode=require for true, sslmode=verify-full for false",
	"rejectunauthorized":     "write sslmode=require for false, sslmode=verify-full for true",
	"uselibpqcompat":         "leave it out: sslmode means here what it means to libpq",
	"tcpkeepalive":           "write keepalives=1, or 0 for false",

	// Poolers and providers.
	"supa":                   "leave it out, and write pgbouncer=true if the port is 6543",
	"workaround":             "leave it out, and write pgbouncer=true if the port is 6543",
	"pooler":                 "write pgbouncer=true",
	"endpoint":               "write options=endpoint%3D… in a URI",
	"serversettings":         "write each setting as a keyword of its own",
	"variables":              "write each setting as a keyword of its own",
	"minmessages":            "write client_min_messages=LEVEL",
	"asyncfallback":          "leave it out",
	"adapter":                "leave it out",
	"engine":                 "leave it out",
	"driver":                 "leave it out",
	"loggerlevel":            "pass WithTracer to NewConnector",
	"loglevel":               "pass WithTracer to NewConnector",
	"echo":                   "pass WithTracer to NewConnector",
	"xmigrationstable":       "golang-migrate takes its x- options out of the string only if it opens the database itself",
	"xmultistatement":        "golang-migrate takes its x- options out of the string only if it opens the database itself",
	"xstatementtimeout":      "golang-migrate takes its x- options out of the string only if it opens the database itself",
	"xmigrationstablequoted": "golang-migrate takes its x- options out of the string only if it opens the database itself",
}

// adviceFor returns what to write in the place of a keyword of another tool, or "".
func adviceFor(key string) string {
	return foreign[spelling.Bare(strings.ToLower(key))]
}

// otherDatabase are the schemes of what does not speak PostgreSQL's protocol.
var otherDatabase = regexp.MustCompile(`^(mysql|mariadb|sqlite|sqlserver|mongodb|redis|https?|prisma)`)

// foreignScheme refuses what is no connection string of either form, but nearly one: a
// URI with the scheme of another tool, or a string within what it was copied with. It
// returns nil if it does not know s.
func foreignScheme(s string) error {
	s = strings.TrimLeft(s, " \t\r\n")
	before, _, ok := strings.Cut(s, "://")
	if !ok {
		if strings.HasPrefix(s, "jdbc:postgresql:") {
			return fmt.Errorf(`invalid URI: it begins with "jdbc:postgresql:": write "postgres:///" for it`)
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
		} else if otherDatabase.MatchString(lower) {
			hint = ", which is not PostgreSQL's"
		}
		return fmt.Errorf("invalid URI: it begins with %q%s", before+"://", hint)
	case strings.HasPrefix(before, "psql "):
		return fmt.Errorf(`invalid connection string: it begins with the command "psql": keep the URI only, without quotes`)
	case strings.HasPrefix(before, `"`), strings.HasPrefix(before, "'"), strings.HasPrefix(before, "`"):
		return fmt.Errorf("invalid URI: it begins with a quote (%s): leave the quotes out", before[:1])
	}
	if name, quoted, ok := strings.Cut(before, "="); ok && uriPrefixLen(strings.Trim(quoted, `"'`)+"://") > 0 && name != "" && strings.ToUpper(name) == name && isPlainWord(name) {
		return fmt.Errorf("invalid URI: it begins with %q: keep what stands behind the equals sign, without quotes", name+"=")
	}
	return nil
}
