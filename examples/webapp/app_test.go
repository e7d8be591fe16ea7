package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
)

// testApp is the application on a database of its own, with the samples.
func testApp(t *testing.T) (a *app, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	a = newApp(psycotest.DB(t), slog.New(slog.NewTextHandler(log, nil)))
	if err := a.store.setUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.store.addSamples(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, log
}

// request answers a request; body is a form or JSON.
func request(t *testing.T, a *app, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if !strings.HasPrefix(target, "/api/") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	a, _ := testApp(t)
	for name, c := range map[string]struct {
		method, target, body string
		status               int
		want, not            string
	}{
		"list":                    {"GET", "/", "", 200, "ACME Corp.", "Yellow Door"},
		"last page":               {"GET", "/?page=4", "", 200, "Yellow Door Design", "ACME"},
		"after the last page":     {"GET", "/?page=400", "", 200, "page 4 of 4", "ACME"},
		"before the first page":   {"GET", "/?page=-1", "", 200, "ACME Corp.", ""},
		"page that is not a page": {"GET", "/?page=x", "", 400, "page is not a number", ""},
		"search":                  {"GET", "/?q=acme", "", 200, "1 client ·", "Globex"},
		"search by e-mail":        {"GET", "/?q=info@acme.co", "", 200, "ACME Corp.", "Globex"},
		"search for a percent":    {"GET", "/?q=%25", "", 200, "Nobody fits", "ACME"},
		"search keeps its page":   {"GET", "/?q=e&page=2", "", 200, "/?page=1&amp;q=e", ""},
		"search is escaped":       {"GET", "/?q=%3Cscript%3E", "", 200, "&lt;script&gt;", "<script>"},
		"client":                  {"GET", "/clients/1", "", 200, `value="info@acme.co"`, ""},
		"form":                    {"GET", "/clients/new", "", 200, "New client", "Delete"},
		"no such client":          {"GET", "/clients/12345", "", 404, "no such client", ""},
		"id that is not a number": {"GET", "/clients/x", "", 404, "no such client", ""},
		"no such page":            {"GET", "/nothing", "", 404, "no such page", ""},
		"style sheet":             {"GET", "/static/style.css", "", 200, "prefers-color-scheme", ""},

		"e-mail taken":       {"POST", "/clients", "name=A&email=INFO@acme.co", 422, "E-mail is already taken", "History"},
		"e-mail misspelt":    {"POST", "/clients", "name=A&email=a", 422, "E-mail is not an e-mail address", ""},
		"no name":            {"POST", "/clients", "name=+&email=a@b", 422, "Name must have 1 to 100 characters", ""},
		"amount no number":   {"POST", "/clients", "name=A&email=a@b&total=1e3", 422, "Amount is not an amount", ""},
		"amount negative":    {"POST", "/clients", "name=A&email=a@b&total=-1", 422, "Amount must not be negative", ""},
		"amount too large":   {"POST", "/clients", "name=A&email=a@b&total=99999999999", 422, "Amount is not an amount", ""},
		"no such date":       {"POST", "/clients", "name=A&email=a@b&since=2023-02-29", 422, "Date is not a date", ""},
		"date in the future": {"POST", "/clients", "name=A&email=a@b&since=2999-01-01", 422, "Date lies in the future", ""},
		"NUL":                {"POST", "/clients", "name=A%00&email=a@b", 422, "cannot be stored", ""},
		"what was typed":     {"POST", "/clients", "name=Hooli&email=info@acme.co", 422, `value="Hooli"`, ""},
		"taken by an edit":   {"POST", "/clients/2", "name=A&email=info@acme.co", 422, "E-mail is already taken", ""},
		"edit of nobody":     {"POST", "/clients/12345", "name=A&email=a@b", 404, "no such client", ""},
		"too much":           {"POST", "/clients", "name=" + strings.Repeat("x", 1<<17), 413, "too large", ""},
		"deletion of nobody": {"POST", "/clients/12345/delete", "", 404, "no such client", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := request(t, a, c.method, c.target, c.body)
			body := w.Body.String()
			if w.Code != c.status || !strings.Contains(body, c.want) || c.not != "" && strings.Contains(body, c.not) {
				t.Errorf("%d, want %d with %q and without %q:\n%s", w.Code, c.status, c.want, c.not, body)
			}
		})
	}
}

// A client's life: each step redirects to a page that shows what it did.
func TestCreateEditDelete(t *testing.T) {
	a, _ := testApp(t)
	follow := func(target string, form url.Values) (location, body string) {
		t.Helper()
		w := request(t, a, "POST", target, form.Encode())
		if w.Code != http.StatusSeeOther {
			t.Fatalf("POST %s: %d\n%s", target, w.Code, w.Body)
		}
		location = w.Header().Get("Location")
		return location, request(t, a, "GET", location, "").Body.String()
	}
	location, body := follow("/clients", url.Values{"name": {"Hooli"}, "email": {"hi@hooli.example"}, "total": {"1234.5"}, "since": {"2021-06-30"}})
	for _, want := range []string{"Saved.", `value="Hooli"`, `value="1234.50"`, `value="2021-06-30"`, " created"} {
		if !strings.Contains(body, want) {
			t.Errorf("after creating: no %s in\n%s", want, body)
		}
	}
	client, _, _ := strings.Cut(location, "?")
	_, body = follow(client, url.Values{"name": {"Hooli <Inc.>"}, "email": {"hi@hooli.example"}, "total": {""}, "since": {"2021-06-30"}})
	for _, want := range []string{`value="Hooli &lt;Inc.&gt;"`, `value="0.00"`, " changed", " created"} {
		if !strings.Contains(body, want) {
			t.Errorf("after editing: no %s in\n%s", want, body)
		}
	}
	if _, body = follow(client+"/delete", nil); !strings.Contains(body, "was deleted") {
		t.Errorf("after deleting:\n%s", body)
	}
	if w := request(t, a, "GET", client, ""); w.Code != http.StatusNotFound {
		t.Errorf("still there: %d", w.Code)
	}
}

// What fails leaves no trace, in the history neither.
func TestFailedChangeIsRolledBack(t *testing.T) {
	a, _ := testApp(t)
	count := func() (n int) {
		if err := a.store.db.QueryRow("SELECT count(*) FROM webapp.history").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	if _, err := a.store.db.Exec("ALTER TABLE webapp.history ADD CHECK (action <> 'deleted')"); err != nil {
		t.Fatal(err)
	}
	if w := request(t, a, "POST", "/clients/1/delete", ""); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "check constraint") {
		t.Errorf("%d\n%s", w.Code, w.Body)
	}
	if w := request(t, a, "GET", "/clients/1", ""); w.Code != http.StatusOK || count() != before {
		t.Errorf("%d, %d events, want %d", w.Code, count(), before)
	}
}

func TestAPI(t *testing.T) {
	a, log := testApp(t)
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		want                       string
	}{
		{"list", "GET", "/api/clients?q=acme", "", 200, `{"clients":[{"id":1,"name":"ACME Corp.","email":"info@acme.co","total":"10000.00","since":"2020-01-01"}],"search":"acme","page":1,"pages":1,"count":1}`},
		{"nobody", "GET", "/api/clients?q=zzz", "", 200, `{"clients":[],"search":"zzz","page":1,"pages":1,"count":0}`},
		{"create", "POST", "/api/clients", `{"name":"Hooli","email":"hi@hooli.example","total":"0.10","since":"2021-06-30"}`, 201, `{"id":41,"name":"Hooli","email":"hi@hooli.example","total":"0.10","since":"2021-06-30"}`},
		{"get", "GET", "/api/clients/41", "", 200, `{"id":41,"name":"Hooli","email":"hi@hooli.example","total":"0.10","since":"2021-06-30"}`},
		{"taken", "POST", "/api/clients", `{"name":"Hooli","email":"hi@hooli.example"}`, 422, `{"error":"email is already taken","fields":{"email":"is already taken"}}`},
		{"update", "PUT", "/api/clients/41", `{"name":"Hooli","email":"hi@hooli.example","total":"7","since":"2021-06-30"}`, 200, `{"id":41,"name":"Hooli","email":"hi@hooli.example","total":"7.00","since":"2021-06-30"}`},
		{"not JSON", "PUT", "/api/clients/41", `{`, 400, `{"error":"the request cannot be understood: unexpected EOF"}`},
		{"unknown field", "POST", "/api/clients", `{"nmae":"Hooli"}`, 400, `{"error":"the request cannot be understood: json: unknown field \"nmae\""}`},
		{"delete", "DELETE", "/api/clients/41", "", 204, ""},
		{"gone", "GET", "/api/clients/41", "", 404, `{"error":"there is no such client"}`},
		{"no such page", "GET", "/api/nothing", "", 404, `{"error":"there is no such page"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := request(t, a, c.method, c.target, c.body)
			if got := strings.TrimSpace(w.Body.String()); w.Code != c.status || got != c.want {
				t.Errorf("%d %s\nwant %d %s", w.Code, got, c.status, c.want)
			}
		})
	}
	if line := "msg=request method=POST path=/api/clients status=201"; !strings.Contains(log.String(), line) {
		t.Errorf("not in the log: %s\n%s", line, log)
	}
}

func TestPostsOfOtherSites(t *testing.T) {
	a, _ := testApp(t)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/clients/1/delete", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || request(t, a, "GET", "/clients/1", "").Code != http.StatusOK {
		t.Errorf("got %d", w.Code)
	}
}

func TestHealth(t *testing.T) {
	a, _ := testApp(t)
	ask := func(path string) (status int, state string, pool map[string]int) {
		t.Helper()
		w := request(t, a, "GET", path, "")
		var answer struct {
			Status string
			Pool   map[string]int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return w.Code, answer.Status, answer.Pool
	}
	if status, state, pool := ask("/readyz"); status != 200 || state != "ready" || pool["open"] == 0 {
		t.Errorf("got %d %s %v", status, state, pool)
	}
	a.draining.Store(true)
	if status, state, _ := ask("/readyz"); status != 503 || state != "shutting down" {
		t.Errorf("while it ends: %d %s", status, state)
	}
	a.draining.Store(false)
	if err := a.store.db.Close(); err != nil {
		t.Fatal(err)
	}
	if status, state, _ := ask("/readyz"); status != 503 || state != "database unreachable" {
		t.Errorf("without a database: %d %s", status, state)
	}
	if status, state, _ := ask("/healthz"); status != 200 || state != "ok" {
		t.Errorf("the process: %d %s", status, state)
	}
}

// A request that runs when the end comes is answered, here one that waits for a
// lock.
func TestGracefulShutdown(t *testing.T) {
	a, _ := testApp(t)
	lock, err := a.store.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback()
	if _, err := lock.Exec("LOCK webapp.clients"); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- a.serve(ctx, ln) }()
	answered := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + ln.Addr().String() + "/")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			answered <- err.Error()
			return
		}
		answered <- string(body)
	}()
	waitUntil(t, lock, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'webapp.clients'::regclass)")
	stop()
	for !a.draining.Load() {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if page := <-answered; !strings.Contains(page, "ACME Corp.") {
		t.Errorf("got %s", page)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func waitUntil(t *testing.T, tx *sql.Tx, query string) {
	t.Helper()
	for done := false; !done; {
		if err := tx.QueryRowContext(t.Context(), query).Scan(&done); err != nil {
			t.Fatal(err)
		}
	}
}
