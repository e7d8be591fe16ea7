package psyco

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// publishedStrings are connection strings as providers and tools show them to copy, with
// what psyco makes of each: where it connects to, or the error. docs/dsn.md has a table of
// the providers.
var publishedStrings = []struct{ name, dsn, want string }{
	{"Neon", "postgresql://neondb_owner:npg_AbC123@ep-cool-darkness-123456.us-east-2.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
		"neondb_owner@ep-cool-darkness-123456.us-east-2.aws.neon.tech:5432/neondb sslmode=require channel_binding=require"},
	{"Neon, pooled", "postgresql://alex:AbC123@ep-cool-darkness-123456-pooler.us-east-2.aws.neon.tech/dbname?sslmode=require",
		"alex@ep-cool-darkness-123456-pooler.us-east-2.aws.neon.tech:5432/dbname sslmode=require"},
	{"Neon, old clients", "postgresql://alex:AbC123@ep-cool-darkness-123456.us-east-2.aws.neon.tech/dbname?options=endpoint%3Dep-cool-darkness-123456",
		"alex@ep-cool-darkness-123456.us-east-2.aws.neon.tech:5432/dbname options=endpoint=ep-cool-darkness-123456"},
	{"Neon's psql command", "psql 'postgresql://alex:AbC123@ep-cool-darkness-123456.us-east-2.aws.neon.tech/neondb?sslmode=require'",
		`error: it begins with the command "psql": keep the URI only`},
	{"Supabase, direct", "postgresql://postgres:secret@db.abcdefghijklmnop.supabase.co:5432/postgres",
		"postgres@db.abcdefghijklmnop.supabase.co:5432/postgres"},
	{"Supabase, session pooler", "postgres://postgres.abcdefghijklmnop:secret@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
		"postgres.abcdefghijklmnop@aws-0-eu-central-1.pooler.supabase.com:5432/postgres"},
	{"Supabase, transaction pooler for Prisma", "postgresql://postgres.abcdefghijklmnop:secret@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true",
		"postgres.abcdefghijklmnop@aws-0-eu-central-1.pooler.supabase.com:6543/postgres pgbouncer=1"},
	{"Supabase through Vercel", "postgres://postgres.abcdefghijklmnop:secret@aws-0-us-east-1.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
		`error: "supa": leave it out, and write pgbouncer=true if the port is 6543`},
	{"Supabase through Vercel, for Prisma", "postgres://postgres.abcdefghijklmnop:secret@aws-0-us-east-1.pooler.supabase.com:6543/postgres?sslmode=require&pgbouncer=true",
		"postgres.abcdefghijklmnop@aws-0-us-east-1.pooler.supabase.com:6543/postgres sslmode=require pgbouncer=1"},
	{"a password that was left to fill in", "postgresql://postgres:[YOUR-PASSWORD]@db.abcdefghijklmnop.supabase.co:5432/postgres",
		"postgres@db.abcdefghijklmnop.supabase.co:5432/postgres"},
	{"Vercel", "postgres://default:secret@ep-old-snow-123456-pooler.us-east-1.postgres.vercel-storage.com:5432/verceldb?pgbouncer=true&connect_timeout=15",
		"default@ep-old-snow-123456-pooler.us-east-1.postgres.vercel-storage.com:5432/verceldb connect_timeout=15 pgbouncer=1"},
	{"Vercel for drivers without TLS names", "postgres://default:secret@ep-old-snow-123456.us-east-1.postgres.vercel-storage.com:5432/verceldb?workaround=supabase-pooler.vercel",
		`error: "workaround": leave it out`},
	{"Heroku", "postgres://uabcdefg:p0123456789abcdef@ec2-34-200-1-1.compute-1.amazonaws.com:5432/d1abc2def3",
		"uabcdefg@ec2-34-200-1-1.compute-1.amazonaws.com:5432/d1abc2def3"},
	{"Heroku, as its page for Go says", "postgres://uabcdefg:p0123456789abcdef@ec2-34-200-1-1.compute-1.amazonaws.com:5432/d1abc2def3?sslmode=require",
		"uabcdefg@ec2-34-200-1-1.compute-1.amazonaws.com:5432/d1abc2def3 sslmode=require"},
	{"Render, from inside", "postgresql://app_user:secret@dpg-abc123-a/app_db", "app_user@dpg-abc123-a:5432/app_db"},
	{"Render, from outside", "postgresql://app_user:secret@dpg-abc123-a.oregon-postgres.render.com/app_db", "app_user@dpg-abc123-a.oregon-postgres.render.com:5432/app_db"},
	{"Railway", "postgresql://postgres:secret@containers-us-west-1.railway.app:6789/railway", "postgres@containers-us-west-1.railway.app:6789/railway"},
	{"Fly.io", "postgres://app:secret@top2.nearest.of.app-db.internal:5432/app?sslmode=disable", "app@top2.nearest.of.app-db.internal:5432/app sslmode=disable"},
	{"Fly.io, flycast", "postgres://app:secret@app-db.flycast:5432/app?sslmode=disable", "app@app-db.flycast:5432/app sslmode=disable"},
	{"DigitalOcean", "postgresql://doadmin:secret@db-postgresql-nyc1-1-do-user-1-0.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
		"doadmin@db-postgresql-nyc1-1-do-user-1-0.b.db.ondigitalocean.com:25060/defaultdb sslmode=require"},
	{"Aiven", "postgres://avnadmin:secret@pg-1-project.aivencloud.com:12691/defaultdb?sslmode=require",
		"avnadmin@pg-1-project.aivencloud.com:12691/defaultdb sslmode=require"},
	{"Amazon RDS", "host=mydb.123456789012.us-east-1.rds.amazonaws.com port=5432 dbname=postgres user=app sslmode=verify-full sslrootcert=global-bundle.pem",
		"app@mydb.123456789012.us-east-1.rds.amazonaws.com:5432/postgres sslmode=verify-full sslrootcert=global-bundle.pem"},
	{"Amazon RDS, psql's URI", "postgresql://app@mydb.123456789012.us-east-1.rds.amazonaws.com:5432/postgres?sslmode=verify-full&sslrootcert=/certs/global-bundle.pem",
		"app@mydb.123456789012.us-east-1.rds.amazonaws.com:5432/postgres sslmode=verify-full sslrootcert=/certs/global-bundle.pem"},
	{"Amazon Aurora, two endpoints", "postgres://app:secret@c.cluster-1.eu-west-1.rds.amazonaws.com,c.cluster-ro-1.eu-west-1.rds.amazonaws.com/app?target_session_attrs=read-write",
		"app@c.cluster-1.eu-west-1.rds.amazonaws.com:5432,c.cluster-ro-1.eu-west-1.rds.amazonaws.com:5432/app target_session_attrs=read-write"},
	{"Amazon Redshift", "redshift://awsuser:secret@examplecluster.abc123.us-west-2.redshift.amazonaws.com:5439/dev", `error: it begins with "redshift://": write "postgres://"`},
	{"Azure, flexible server", "host=server.postgres.database.azure.com port=5432 dbname=postgres user=admin1 password=secret sslmode=require",
		"admin1@server.postgres.database.azure.com:5432/postgres sslmode=require"},
	{"Azure, single server", "postgres://admin1@server:secret@server.postgres.database.azure.com:5432/postgres?sslmode=require",
		"admin1@server@server.postgres.database.azure.com:5432/postgres sslmode=require"},
	{"Azure, single server, encoded", "postgres://admin1%40server:secret@server.postgres.database.azure.com/postgres?sslmode=require",
		"admin1@server@server.postgres.database.azure.com:5432/postgres sslmode=require"},
	{"Azure, for .NET", "Server=server.postgres.database.azure.com;Database=postgres;Port=5432;User Id=admin1;Password=secret;Ssl Mode=Require;",
		`error: separate connection options with spaces, not with ";"`},
	{"Google Cloud SQL, socket", "user=postgres password=secret dbname=app host=/cloudsql/project:region:instance", "postgres@/cloudsql/project:region:instance:5432/app"},
	{"Google Cloud SQL, URI", "postgres://postgres:secret@/app?host=/cloudsql/project:region:instance", "postgres@/cloudsql/project:region:instance:5432/app"},
	{"Google AlloyDB", "host=10.0.0.2 user=postgres password=secret dbname=postgres sslmode=require", "postgres@10.0.0.2:5432/postgres sslmode=require"},
	{"CockroachDB Cloud", "postgresql://maxroach:secret@free-tier.gcp-us-central1.cockroachlabs.cloud:26257/defaultdb?sslmode=verify-full&options=--cluster%3Dgood-dog-123",
		"maxroach@free-tier.gcp-us-central1.cockroachlabs.cloud:26257/defaultdb sslmode=verify-full options=--cluster=good-dog-123"},
	{"CockroachDB, on a workstation", "postgresql://root@localhost:26257/defaultdb?sslmode=disable", "root@localhost:26257/defaultdb sslmode=disable"},
	{"CockroachDB, migrations", "cockroachdb://root@localhost:26257/defaultdb?sslmode=disable", `error: it begins with "cockroachdb://": write "postgres://"`},
	{"YugabyteDB", "postgres://yugabyte:yugabyte@localhost:5433/yugabyte?load_balance=true&topology_keys=cloud.region.zone",
		`error: "load_balance": write load_balance_hosts=random and name every host`},
	{"Timescale", "postgres://tsdbadmin:secret@abc.def.tsdb.cloud.timescale.com:31234/tsdb?sslmode=require", "tsdbadmin@abc.def.tsdb.cloud.timescale.com:31234/tsdb sslmode=require"},
	{"Crunchy Bridge", "postgres://application:secret@p.abcdefgh.db.postgresbridge.com:5432/postgres", "application@p.abcdefgh.db.postgresbridge.com:5432/postgres"},
	{"Citus on Azure", "host=c.cluster.postgres.cosmos.azure.com port=5432 dbname=citus user=citus password=secret sslmode=require", "citus@c.cluster.postgres.cosmos.azure.com:5432/citus sslmode=require"},
	{"ElephantSQL", "postgres://abc:secret@mouse.db.elephantsql.com/abc", "abc@mouse.db.elephantsql.com:5432/abc"},
	{"Scaleway", "postgresql://user:secret@51.159.1.1:1234/rdb?sslmode=verify-ca&sslrootcert=cert.pem", "user@51.159.1.1:1234/rdb sslmode=verify-ca sslrootcert=cert.pem"},
	{"Koyeb", "postgres://adm:secret@ep-abc.eu-central-1.pg.koyeb.app/koyebdb", "adm@ep-abc.eu-central-1.pg.koyeb.app:5432/koyebdb"},
	{"PlanetScale", "postgresql://postgres.abc:pscale_pw_x@us-east.pg.psdb.cloud:6432/postgres?sslmode=verify-full&sslrootcert=system",
		"postgres.abc@us-east.pg.psdb.cloud:6432/postgres sslmode=verify-full sslrootcert=system"},
	{"Xata", "postgresql://ws:xau_key@eu-central-1.sql.xata.sh/db:main?sslmode=require", "ws@eu-central-1.sql.xata.sh:5432/db:main sslmode=require"},
	{"Nile", "postgres://id:secret@us-west-2.db.thenile.dev:5432/db", "id@us-west-2.db.thenile.dev:5432/db"},
	{"Prisma Postgres", "prisma+postgres://accelerate.prisma-data.net/?api_key=secret", `error: it begins with "prisma+postgres://", which is not PostgreSQL's`},
	{"Docker's image", "postgres://postgres:mysecretpassword@localhost:5432/postgres?sslmode=disable", "postgres@localhost:5432/postgres sslmode=disable"},
	{"docker compose", "postgres://app:secret@db:5432/app?sslmode=disable", "app@db:5432/app sslmode=disable"},
	{"a Kubernetes secret, with its newline", "postgres://app:secret@db.default.svc.cluster.local:5432/app\n", "app@db.default.svc.cluster.local:5432/app"},
	{"CloudNativePG, JDBC", "jdbc:postgresql://cluster-rw.default:5432/app?password=secret&user=app", `error: it begins with "jdbc:postgresql://": write "postgres://"`},

	{"Prisma", "postgresql://johndoe:secret@localhost:5432/mydb?schema=public", `error: "schema": write search_path=NAME`},
	{"Prisma's pool", "postgresql://johndoe:secret@localhost:5432/mydb?connection_limit=5&pool_timeout=2", `error: "connection_limit": the pool is database/sql's: call SetMaxOpenConns of the *sql.DB`},
	{"Prisma's socket_timeout", "postgresql://johndoe:secret@localhost:5432/mydb?socket_timeout=3", `error: "socket_timeout": give the query's context a deadline`},
	{"Prisma's sslaccept", "postgresql://johndoe:secret@localhost:5432/mydb?sslaccept=strict", `error: "sslaccept": write sslmode=verify-full for strict`},
	{"pgx", "postgres://jack:secret@foo.example.com:5432,bar.example.com:5432/mydb", "jack@foo.example.com:5432,bar.example.com:5432/mydb"},
	{"pgxpool", "postgres://jack:secret@pg.example.com:5432/mydb?sslmode=verify-ca&pool_max_conns=10&pool_max_conn_lifetime=1h30m",
		`error: "pool_max_conn`},
	{"pgxpool, keywords", "user=jack password=secret host=pg.example.com port=5432 dbname=mydb sslmode=verify-ca pool_max_conns=10",
		`error: "pool_max_conns": the pool is database/sql's: call SetMaxOpenConns of the *sql.DB`},
	{"pgx behind a pooler", "postgres://jack:secret@pg.example.com:6432/mydb?default_query_exec_mode=simple_protocol", `error: "default_query_exec_mode": write `},
	{"pgx 4 behind a pooler", "postgres://jack:secret@pg.example.com:6432/mydb?statement_cache_mode=describe", `error: "statement_cache_mode": write statement_cache_capacity=0`},
	{"pgx 4 behind a pooler, keywords", "host=h prefer_simple_protocol=true", `error: "prefer_simple_protocol": write binding=client`},
	{"lib/pq", "postgres://pqgotest:secret@localhost/pqgotest?sslmode=verify-full", "pqgotest@localhost:5432/pqgotest sslmode=verify-full"},
	{"lib/pq, keywords", "user=pqgotest dbname=pqgotest sslmode=verify-full", "pqgotest@/pqgotest sslmode=verify-full"},
	{"lib/pq, with an @ in the password", "postgres://u:p@ss@localhost/app", "u@localhost:5432/app"},
	{"GORM", "host=localhost user=gorm password=secret dbname=gorm port=9920 sslmode=disable TimeZone=Asia/Shanghai", "gorm@localhost:9920/gorm sslmode=disable timezone=Asia/Shanghai"},
	{"golang-migrate", "pgx5://postgres:secret@localhost:5432/example?sslmode=disable", `error: it begins with "pgx5://": write "postgres://"`},
	{"golang-migrate's options", "postgres://localhost:5432/example?x-migrations-table=m", `error: "x-migrations-table": golang-migrate takes its x- options out`},
	{"dbmate", "postgres://postgres@127.0.0.1:5432/app?search_path=myschema,public", "postgres@127.0.0.1:5432/app search_path=myschema,public"},
	{"SQLAlchemy", "postgresql+psycopg2://scott:tiger@localhost/mydatabase", `error: it begins with "postgresql+psycopg2://": drop "+psycopg2"`},
	{"SQLAlchemy, asyncpg", "postgresql+asyncpg://scott:tiger@localhost/mydatabase?prepared_statement_cache_size=500", `error: it begins with "postgresql+asyncpg://": drop "+asyncpg"`},
	{"SQLAlchemy, psycopg", "postgresql+psycopg://scott:tiger@localhost/mydatabase", `error: it begins with "postgresql+psycopg://": drop "+psycopg"`},
	{"SQLAlchemy's socket", "postgresql://user:secret@/dbname?host=/var/lib/postgresql", "user@/var/lib/postgresql:5432/dbname"},
	{"Django's dj-database-url", "postgis://user:secret@localhost:5432/app?conn_max_age=600", `error: it begins with "postgis://": write "postgres://"`},
	{"Django's conn_max_age", "postgres://user:secret@localhost:5432/app?conn_max_age=600", `error: "conn_max_age": the pool is database/sql's: call SetConnMaxLifetime`},
	{"Rails", "postgresql://rails:secret@localhost/app_production?pool=5&encoding=unicode", `error: "`},
	{"Rails, prepared statements", "postgresql://rails:secret@localhost/app_production?prepared_statements=false", `error: "prepared_statements": write statement_cache_capacity=0 for false`},
	{"JDBC", "jdbc:postgresql://localhost/test?user=fred&password=secret&ssl=true", `error: it begins with "jdbc:postgresql://": write "postgres://"`},
	{"JDBC's schema", "postgresql://localhost/test?currentSchema=app", `error: "currentSchema": write search_path=NAME`},
	{"JDBC's TLS", "postgresql://localhost/test?ssl=true", "@localhost:5432/test sslmode=require"},
	{"JDBC's several servers", "postgresql://h1,h2/test?targetServerType=primary", `error: "targetServerType": write target_session_attrs=`},
	{"JDBC's several servers, spread", "postgresql://h1,h2/test?loadBalanceHosts=true", `error: "loadBalanceHosts": did you mean "load_balance_hosts"?`},
	{"R2DBC", "r2dbc:postgresql://user:secret@localhost:5432/db", `error: it begins with "r2dbc:postgresql://": write "postgres://"`},
	{"Npgsql", "Host=localhost;Username=app;Password=secret;Database=app", `error: separate connection options with spaces, not with ";"`},
	{"Npgsql, in lower case", "host=localhost;username=app;password=secret;database=app", `error: separate connection options with spaces, not with ";"`},
	{"Ecto", "ecto://postgres:secret@localhost/app", `error: it begins with "ecto://": write "postgres://"`},
	{"node-postgres", "postgresql://dbuser:secret@database.server.com:3211/mydb?sslmode=no-verify", `error: invalid sslmode value: "no-verify": write sslmode=require`},
	{"node-postgres, as libpq", "postgresql://dbuser:secret@database.server.com:3211/mydb?uselibpqcompat=true&sslmode=require", `error: "uselibpqcompat": leave it out`},
	{"node-postgres's pool", "postgresql://dbuser:secret@database.server.com:3211/mydb?max=20", `error: "max": the pool is database/sql's: call SetMaxOpenConns`},
	{"node-postgres's ssl", "postgresql://dbuser:secret@database.server.com:3211/mydb?ssl=no-verify", `error: "ssl": write sslmode=require`},
	{"go-pg and bun", "postgres://postgres:secret@localhost:5432/test?sslmode=disable&timeout=5s", `error: "timeout": did you mean "connect_timeout"?`},
	{"options with a semicolon", "postgres://localhost/app?sslmode=disable;connect_timeout=5", `error: separate the options of a URI with "&", not with ";"`},
	{"a line of .env", `DATABASE_URL="postgres://app:secret@localhost/app"`, `error: it begins with "DATABASE_URL=": keep what stands behind the equals sign`},
	{"quotes of .env", `"postgres://app:secret@localhost/app"`, `error: it begins with a quote`},
	{"psycopg2", "dbname=test user=postgres password=secret host=localhost", "postgres@localhost:5432/test"},
	{"psycopg, options", "host=localhost options='-c statement_timeout=5min -c search_path=app'", "@localhost:5432/tester options=-c statement_timeout=5min -c search_path=app"},
	{"pgbouncer on the same machine", "host=/tmp port=6432 dbname=app user=app", "app@/tmp:6432/app"},
	{"a service", "service=reports", "error: definition of service \"reports\" not found"},
}

// TestPublishedStrings: what people paste is understood, or refused with what to write.
func TestPublishedStrings(t *testing.T) {
	shown := []string{"sslmode", "sslrootcert", "channel_binding", "connect_timeout", "options", "target_session_attrs", "pgbouncer"}
	for _, tt := range publishedStrings {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parseDSN(tt.dsn, (&surroundings{}).Source())
			if err != nil {
				want, refused := strings.CutPrefix(tt.want, "error: ")
				if !refused || !strings.Contains(err.Error(), want) {
					t.Errorf("got error: %v\nwant %s", err, tt.want)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the password is shown: %v", err)
				}
				return
			}
			var places []string
			for _, h := range c.Hosts {
				host, _, _ := strings.Cut(h.String(), "%")
				places = append(places, host)
			}
			if len(places) == 3 {
				places = nil // no host: the default ones
			}
			user := c.User
			if user == "tester" {
				user = ""
			}
			got := fmt.Sprintf("%s@%s/%s", user, strings.Join(places, ","), c.Database)
			for _, name := range shown {
				if v := optionByName(name).get(c); v != "" && v != optionByName(name).get(NewConfig()) && v != "prefer" && v != "any" && v != "0" {
					got += " " + name + "=" + v
				}
			}
			for _, name := range []string{"timezone", "search_path"} {
				if v := c.RuntimeParams[name]; v != "" {
					got += " " + name + "=" + v
				}
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestProvidersAreDocumented: the strings in docs/dsn.md are among those that are tested.
func TestProvidersAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("docs/dsn.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "| provider | string |")
	table, _, _ = strings.Cut(table, "\n\n")
	n := 0
	for line := range strings.Lines(table) {
		_, dsn, ok := strings.Cut(line, "`")
		if !ok {
			continue
		}
		dsn, _, _ = strings.Cut(dsn, "`")
		n++
		if !slices.ContainsFunc(publishedStrings, func(p struct{ name, dsn, want string }) bool {
			return p.dsn == dsn && !strings.HasPrefix(p.want, "error")
		}) {
			t.Errorf("not tested: %s", dsn)
		}
	}
	if n < 15 {
		t.Errorf("%d strings", n)
	}
}
