package psyco_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// exported has a value of every exported type, made with the password "hunter2" where
// there is room for one.
func exported(t *testing.T) map[string]any {
	const secret = "hunter2"
	cfg, err := psyco.ParseDSN(pgserver.TestDSN(t) + " password=" + secret + " sslpassword=" + secret)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Hosts[0].Password = secret
	cfg.SSLInline, cfg.SSLKey = true, secret
	cfg.OAuthClientSecret = secret
	plain := cfg.Clone()
	plain.SSLInline, plain.SSLKey = false, ""
	con, err := psyco.NewConnectorConfig(plain)
	if err != nil {
		t.Fatal(err)
	}
	listener := psyco.NewListener(con, nil)
	t.Cleanup(func() { listener.Close() })
	db := openDB(t, con)
	var conn *psyco.Conn
	if err := psyco.WithConn(t.Context(), db, func(c *psyco.Conn) error { conn = c; return nil }); err != nil {
		t.Fatal(err)
	}
	tx := mustBegin(t, db)
	cursor, err := psyco.DeclareCursor(t.Context(), tx, "c", nil, "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	store := psyco.LargeObjects(tx)
	cluster, err := psyco.NewClusterConfig(plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Close() })
	_, failed := db.Exec("ALTER ROLE nosuch PASSWORD %s", secret)
	return map[string]any{
		"Config": cfg, "Host": cfg.Hosts[0], "Connector": con, "Listener": listener, "OAuthRequest": psyco.OAuthRequest{Config: cfg, Host: cfg.Hosts[0]}, "Conn": conn, "Cursor": cursor,
		"LargeObjectStore": store, "LargeObject": (*psyco.LargeObject)(nil), "Driver": &psyco.Driver{},
		"ListenerOptions": psyco.ListenerOptions{}, "Option": psyco.WithDialer(nil), "DialFunc": psyco.DialFunc(nil),
		"Batch": &psyco.Batch{}, "BatchError": &psyco.BatchError{Err: failed}, "BatchStatement": psyco.BatchStatement{},
		"RowError": &psyco.RowError{Err: failed}, "Trace": psyco.Trace{Err: failed}, "SlogTracer": &psyco.SlogTracer{},
		"Stats": psyco.Stats{}, "TypeMap": &psyco.TypeMap{}, "TxOptions": psyco.TxOptions{}, "CursorOptions": psyco.CursorOptions{},
		"ValuesOptions": psyco.ValuesOptions{}, "CopyOption": psyco.CopyTextFormat(), "PreparedTx": psyco.PreparedTx{}, "XID": psyco.XID{},
		"Notification": psyco.Notification{}, "Array": psyco.Array[int]{}, "Date": psyco.Date{}, "HStore": psyco.HStore{}, "Inet": psyco.Inet{},
		"Interval": psyco.Interval{}, "JSON": psyco.JSON[int]{}, "Multirange": psyco.Multirange[int]{}, "Numeric": psyco.Numeric("1"),
		"Range": psyco.Range[int]{}, "Record": psyco.Record[int]{}, "Timestamp": psyco.Timestamp{}, "Identifier": psyco.Identifier{"a"},
		"Cluster": cluster, "ClusterReader": cluster.Reader(), "ClusterStats": cluster.Stats(), "ServerStats": psyco.ServerStats{Host: cfg.Hosts[0]},
		"LSN": psyco.LSN{}, "Raw": psyco.Raw("a"), "Rollback": psyco.Rollback("a"), "LargeObjectMode": psyco.LargeObjectMode(0), "ScrollMode": psyco.ScrollMode(0),
	}
}

// TestNoTypeShowsPasswords: whatever is done with a value of psyco in a log, it shows no
// password, and nor does the error of a statement that has one for an argument.
func TestNoTypeShowsPasswords(t *testing.T) {
	values := exported(t)
	for _, name := range exportedTypes(t) {
		v, ok := values[name]
		if !ok {
			t.Errorf("%s is missing in the test", name)
			continue
		}
		forms := map[string]any{"itself": v, "in a struct": struct{ V any }{v}, "in a slice": []any{v}, "in a map": map[string]any{"v": v}}
		switch v := v.(type) {
		case *psyco.Config:
			forms["value"], forms["field"] = *v, struct{ C psyco.Config }{*v}
		case psyco.Host:
			forms["pointer"], forms["field"] = &v, struct{ H psyco.Host }{v}
		}
		for form, v := range forms {
			for what, shown := range shows(v) {
				if strings.Contains(shown, "hunter2") {
					t.Errorf("%s, %s, %s: %.300s", name, form, what, shown)
				}
			}
		}
	}
}

// shows is what a value looks like to every verb and encoder.
func shows(v any) map[string]string {
	none := "no verb"
	//lint:ignore SA5009 fmt shows an argument that is too many
	all := map[string]string{"Print": fmt.Sprint(v), "extra argument": fmt.Sprintf(none, v)}
	// Of %p and %w with what is neither a pointer nor an error, fmt asks no method; go vet refuses them.
	for _, verb := range "vTtbcdoOxXUeEfFgGsqz" {
		for _, flags := range []string{"", "+", "#", " ", "-20", "020", ".3", "+#"} {
			if flags == ".3" && verb == 's' {
				continue // three characters of it are not a secret, and no test
			}
			all["%"+flags+string(verb)] = fmt.Sprintf("%"+flags+string(verb), v)
		}
	}
	var buf bytes.Buffer
	for name, h := range map[string]slog.Handler{
		"slog as text": slog.NewTextHandler(&buf, nil), "slog as JSON": slog.NewJSONHandler(&buf, nil),
	} {
		slog.New(h).Info("x", "v", v, slog.Group("g", "v", v))
		slog.New(h).With("v", v).Info("x")
		all[name] = buf.String()
		buf.Reset()
	}
	encode := func(name string, f func(any) ([]byte, error)) {
		// What cannot be encoded shows nothing but its error.
		text, err := f(v)
		all[name] = fmt.Sprintf("%s %v", text, err)
	}
	encode("JSON", json.Marshal)
	encode("XML", xml.Marshal)
	encode("indented JSON", func(v any) ([]byte, error) { return json.MarshalIndent(v, "", " ") })
	if e, ok := v.(error); ok {
		if pe := pq.As(e); pe != nil {
			all["ErrorWithDetail"] = pe.ErrorWithDetail()
			all["pq.Error"] = fmt.Sprintf("%v %+v %#v", *pe, *pe, *pe)
		}
	}
	return all
}

// exportedTypes lists the package's types that have values.
func exportedTypes(t *testing.T) (names []string) {
	files := token.NewFileSet()
	//lint:ignore SA1019 build tags make no difference here
	pkgs, err := parser.ParseDir(files, ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range pkgs["psyco"].Files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() && !s.Assign.IsValid() {
					if _, ok := s.Type.(*ast.InterfaceType); !ok {
						names = append(names, s.Name.Name)
					}
				}
			}
		}
	}
	return names
}

// TestErrorsShowNoLiterals: an error of a statement into which values were written shows
// the statement as the program wrote it.
func TestErrorsShowNoLiterals(t *testing.T) {
	for _, dsn := range []string{"", " binding=client"} {
		db := open(t, sameDatabase(t, testDB(t))+dsn)
		for _, query := range []string{
			"ALTER ROLE nosuch PASSWORD %s", "ALTER ROLE nosuch PASSWORD %s nonsense", "CREATE ROLE x PASSWORD %s VALID UNTIL 'x'",
			"SELECT %s::text, nosuch", "SELECT nosuch(%s::text)", "INSERT INTO nosuch VALUES (%s)",
		} {
			_, err := db.Exec(query, "hunter2")
			pe := pq.As(err)
			if pe == nil {
				t.Errorf("%s: %v", query, err)
				continue
			}
			for what, shown := range shows(err) {
				if strings.Contains(shown, "hunter2") {
					t.Errorf("%s%s: %s: %s", query, dsn, what, shown)
				}
			}
		}
	}
}

func TestRedactedJSON(t *testing.T) {
	cfg, err := psyco.ParseDSN("host=db user=app password=hunter2 dbname=shop")
	if err != nil {
		t.Fatal(err)
	}
	con, err := psyco.NewConnectorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{cfg, *cfg, con} {
		text, err := json.Marshal(v)
		var read struct {
			User, Password string
			Hosts          []psyco.Host
		}
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		if err != nil || read.User != "app" || read.Password != "***" || read.Hosts[0].Host != "db" {
			t.Errorf("%s: %+v, %v", text, read, err)
		}
	}
}
