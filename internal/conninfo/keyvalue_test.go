package conninfo_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/conninfo/conninfotest"
)

// grammar is of the options that the tests of this package write.
var grammar = conninfo.NewGrammar(options(`service servicefile host hostaddr port dbname user password! passfile
	options application_name fallback_application_name sslmode requiressl sslpassword! connect_timeout client_encoding
	target_session_attrs binary_parameters binding timezone~ datestyle~`),
	map[string]string{"database": "dbname", "tz": "timezone"})

// options makes options of their names: secret ones end in "!", parameters of the
// server in "~".
func options(names string) []conninfo.Option {
	var list []conninfo.Option
	for _, name := range strings.Fields(names) {
		o := conninfo.Option{Name: strings.TrimRight(name, "!~"), Secret: strings.HasSuffix(name, "!"), AnyCase: strings.HasSuffix(name, "~")}
		list = append(list, o)
	}
	return list
}

func parse(dsn string) (conninfo.Settings, error) {
	return grammar.Parse(dsn, (&conninfotest.Surroundings{}).Source())
}

// wantError checks that a string is refused with exactly these words.
func wantError(t *testing.T, dsn, want string) {
	t.Helper()
	_, err := parse(dsn)
	if err == nil {
		t.Fatalf("%q: no error, want %q", dsn, want)
	}
	if err.Error() != want {
		t.Errorf("%q:\n got %s\nwant %s", dsn, err, want)
	}
}

func TestParseConninfo(t *testing.T) {
	type kv = map[string]string
	for _, tt := range []struct {
		name, dsn string
		want      kv
	}{
		{"empty", "", kv{}},
		{"only spaces", " \t\n", kv{}},
		{"one", "host=a", kv{"host": "a"}},
		{"every kind of space", "host=a\tport=1\nuser=b\vdbname=c\fpassword=d\roptions=e",
			kv{"host": "a", "port": "1", "user": "b", "dbname": "c", "password": "d", "options": "e"}},
		{"spaces around =", " host =  a  port= 1", kv{"host": "a", "port": "1"}},
		{"quotes", "password='a b' user='x'", kv{"password": "a b", "user": "x"}},
		{"no space after a quote", "password='a'user='b'", kv{"password": "a", "user": "b"}},
		{"a quote inside a plain value", "password=a'b'c", kv{"password": "a'b'c"}},
		{"backslashes", `password=a\ b\\c\'d user='e\'f\\g\h'`, kv{"password": `a b\c'd`, "user": `e'f\gh`}},
		{"a backslash at the end", `password=a\`, kv{"password": "a"}},
		{"empty values", "user= ", kv{"user": ""}},
		{"an empty quoted value", "user='' host=a", kv{"user": "", "host": "a"}},
		{"= in a value", "options=-ca=b", kv{"options": "-ca=b"}},
		{"repeated: the last wins", "host=a host=b", kv{"host": "b"}},
		{"requiressl=1", "requiressl=1x", kv{"sslmode": "require"}},
		{"requiressl=0", "sslmode=disable requiressl=yes", kv{"sslmode": "prefer"}},
		{"lib/pq's database", "database=d", kv{"dbname": "d"}},
		{"lib/pq's tz", "tz=UTC", kv{"timezone": "UTC"}},
		{"parameters in any case", "TimeZone=UTC DATESTYLE='ISO, MDY'", kv{"timezone": "UTC", "datestyle": "ISO, MDY"}},
		{"a parameter", "search_path=a,b my.Own=c", kv{"search_path": "a,b", "my.Own": "c"}},
		{"no URI inside a value", "password=postgres://x", kv{"password": "postgres://x"}},
		{"semicolons in a password", "password=a;port=1", kv{"password": "a;port=1"}},
		{"semicolons in other values", "options='-c a=b;c' application_name=a;b=c", kv{"options": "-c a=b;c", "application_name": "a;b=c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := parse(tt.dsn)
			if err != nil {
				t.Fatal(err)
			}
			if got := texts(set); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func texts(set conninfo.Settings) map[string]string {
	m := make(map[string]string)
	for key, v := range set {
		m[key] = v.Value
	}
	return m
}

func TestConninfoErrors(t *testing.T) {
	for _, tt := range []struct{ name, dsn, want string }{
		{"a word", "mydb", `missing "=" after "mydb" in connection info string`},
		{"an option", "user=a host", `missing "=" after "host" in connection info string`},
		{"two words before =", "host a=b", `missing "=" after "host" in connection info string`},
		{"a password with a space", "password=correct horse", `missing "=" after "***" in connection info string at byte 18 (a value with spaces in it needs single quotes)`},
		{"another scheme", "postgre://u:secret@h", `invalid URI: it begins with "postgre://": write "postgres://"`},
		{"a scheme after a space", "  pgx5://u:secret@h", `invalid URI: it begins with "pgx5://": write "postgres://"`},
		{"a scheme in capitals", "POSTGRES://u:secret@h", `invalid URI: it begins with "POSTGRES://": write "postgres://"`},
		{"JDBC's scheme", "jdbc:postgresql://h/db?user=u&password=secret", `invalid URI: it begins with "jdbc:postgresql://": write "postgres://"`},
		{"JDBC's scheme without a host", "jdbc:postgresql:db", `invalid URI: it begins with "jdbc:postgresql:": write "postgres:///" for it`},
		{"another database's scheme", "mysql://u:secret@h", `invalid URI: it begins with "mysql://", which is not PostgreSQL's`},
		{"psql's command", "psql 'postgresql://u:secret@h'", `invalid connection string: it begins with the command "psql": keep the URI only, without quotes`},
		{"quotes", `"postgres://u:secret@h"`, "invalid URI: it begins with a quote (\"): leave the quotes out"},
		{"a line of the environment", "DATABASE_URL='postgres://u:secret@h'", `invalid URI: it begins with "DATABASE_URL=": keep what stands behind the equals sign, without quotes`},
		{"another tool's keyword", "connectionLimit=1", `invalid connection option "connectionLimit": the pool is database/sql's: call SetMaxOpenConns of the *sql.DB`},
		{"ssl", "ssl=true", `invalid connection option "ssl": write sslmode=require, or sslmode=disable for false`},
		{"semicolons", "host=a;port=1", `separate connection options with spaces, not with ";"`},
		{"semicolons, other names", "dbname=a;Username=u", `separate connection options with spaces, not with ";"`},
		{"semicolons, and a keyword of nobody", "application_name=a;b=c;user=d", `separate connection options with spaces, not with ";"`},
		{"SQLAlchemy's scheme", "postgresql+psycopg2://u:secret@h", `invalid URI: it begins with "postgresql+psycopg2://": drop "+psycopg2", which is meant for SQLAlchemy`},
		{"no keyword", "=a", `invalid connection option: a name is made of letters, digits, "_", "." and "$"`},
		{"an open quote", "password='secret", "unterminated quoted string in connection info string"},
		{"an open quote after a backslash", `password='secret\'`, "unterminated quoted string in connection info string"},
		{"a missing value", "port= password=secret", `connection option "port" has no value, so the option after it would be taken for one (write '' for an empty value)`},
		{"a NUL byte", "user=a\x00b", "connection string contains a NUL byte"},
		{"misspelt", "pasword=secret", `invalid connection option "pasword": did you mean "password"?`},
	} {
		t.Run(tt.name, func(t *testing.T) { wantError(t, tt.dsn, tt.want) })
	}
}

func TestExpandDatabase(t *testing.T) {
	type kv = map[string]string
	for _, tt := range []struct {
		name, dsn string
		want      kv
	}{
		{"a URI", "dbname=postgres://u@h/d", kv{"user": "u", "host": "h", "dbname": "d"}},
		{"a conninfo string", "dbname='host=h user=u'", kv{"host": "h", "user": "u"}},
		{"it overrides what is before and yields to what is after", "host=a dbname='host=b user=c' user=d", kv{"host": "b", "user": "d"}},
		{"names before it are gone", "dbname=x dbname='host=b'", kv{"host": "b"}},
		{"only the last", "dbname='host=b' dbname=x", kv{"dbname": "x"}},
		{"once", `dbname='dbname=\'a=b\''`, kv{"dbname": "a=b"}},
		{"a plain name", "dbname=a", kv{"dbname": "a"}},
		{"none in a URI", "postgres://h/a%3Db", kv{"host": "h", "dbname": "a=b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := parse(tt.dsn)
			if err != nil {
				t.Fatal(err)
			}
			if got := texts(set); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	wantError(t, "dbname='host=h user'", `dbname: missing "=" after "user" in connection info string`)
	wantError(t, "dbname=postgres://[", `dbname: end of string reached when looking for matching "]" in IPv6 host address in URI`)
}
