package main

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

//go:embed static
var static embed.FS

// app is the web application, without a network.
type app struct {
	store    store
	log      *slog.Logger
	draining atomic.Bool // it is about to end: /readyz says so
}

func newApp(db *sql.DB, log *slog.Logger) *app { return &app{store: store{db}, log: log} }

// handler is everything that a request goes through.
func (a *app) handler() http.Handler {
	pages, api := http.NewServeMux(), http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /{$}":                  a.showList,
		"GET /clients/new":          a.showNew,
		"POST /clients":             a.postNew,
		"GET /clients/{id}":         a.showClient,
		"POST /clients/{id}":        a.postClient,
		"POST /clients/{id}/delete": a.postDelete,
		"/":                         func(http.ResponseWriter, *http.Request) error { return errNoPage },
	} {
		pages.HandleFunc(pattern, a.handle(h, a.errorPage))
	}
	for pattern, h := range map[string]handler{
		"GET /api/clients":         a.apiList,
		"POST /api/clients":        a.apiCreate,
		"GET /api/clients/{id}":    a.apiGet,
		"PUT /api/clients/{id}":    a.apiUpdate,
		"DELETE /api/clients/{id}": a.apiDelete,
		"/api/":                    func(http.ResponseWriter, *http.Request) error { return errNoPage },
	} {
		api.HandleFunc(pattern, a.handle(h, apiError))
	}
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.Handle("/api/", api)
	mux.Handle("GET /static/", http.FileServerFS(static))
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /readyz", a.readyz)

	// Forms of other sites cannot post here.
	return a.logged(secured(http.NewCrossOriginProtection().Handler(mux)))
}

// handler answers a request, or returns why it did not.
type handler func(w http.ResponseWriter, r *http.Request) error

// Errors of requests. errNotFound is another.
var (
	errNoPage     = errors.New("there is no such page")
	errBadRequest = errors.New("the request cannot be understood")
)

// handle answers the errors of h with report.
func (a *app) handle(h handler, report func(w http.ResponseWriter, status int, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		err := h(w, r)
		var fields fieldErrors
		var tooLarge *http.MaxBytesError
		switch {
		case err == nil:
		case errors.Is(err, errNotFound), errors.Is(err, errNoPage):
			report(w, http.StatusNotFound, err)
		case errors.As(err, &tooLarge):
			report(w, http.StatusRequestEntityTooLarge, err)
		case errors.Is(err, errBadRequest):
			report(w, http.StatusBadRequest, err)
		case errors.As(err, &fields):
			report(w, http.StatusUnprocessableEntity, fields)
		case r.Context().Err() != nil: // the client has gone; the statement was cancelled
		default:
			a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			report(w, http.StatusInternalServerError, errors.New("something went wrong here; it has been written down"))
		}
	}
}

// id is the number in the path.
func id(r *http.Request) (int, error) {
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		return 0, errNotFound
	}
	return int(n), nil
}

// healthz says that the process works, also while the database does not.
func (a *app) healthz(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether requests can be served, and how the pool is doing.
func (a *app) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	status, state := http.StatusOK, "ready"
	if err := a.store.db.PingContext(ctx); err != nil {
		a.log.WarnContext(ctx, "database unreachable", "error", err)
		status, state = http.StatusServiceUnavailable, "database unreachable"
	}
	if a.draining.Load() {
		status, state = http.StatusServiceUnavailable, "shutting down"
	}
	s := a.store.db.Stats()
	writeJSON(w, status, map[string]any{"status": state, "pool": map[string]any{
		"max": s.MaxOpenConnections, "open": s.OpenConnections, "in_use": s.InUse, "idle": s.Idle,
		"waits": s.WaitCount, "waited_ms": s.WaitDuration.Milliseconds(),
	}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// An error is one of the network: nobody is left to be told.
	_ = json.NewEncoder(w).Encode(v)
}

// secured sets the headers that keep a browser from running what is not ours.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// logged writes a line about each request.
func (a *app) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		a.log.InfoContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path,
			"status", rec.status, "bytes", rec.bytes, "duration", time.Since(start))
	})
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status, bytes int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.bytes += n
	return n, err
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"money": money, "initials": initials, "hue": hue,
}).ParseFS(templateFiles, "templates/*.html"))
