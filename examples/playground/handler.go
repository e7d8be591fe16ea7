package main

import (
	"embed"
	"encoding/json"
	"errors"
	"net"
	"net/http"
)

//go:embed static
var static embed.FS

// handler is the page and what it asks for.
func (p *playground) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, static, "static/page.html")
	})
	mux.Handle("GET /static/", http.FileServerFS(static))
	mux.HandleFunc("POST /run", p.answer)
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

// answer runs a query.
func (p *playground) answer(w http.ResponseWriter, r *http.Request) {
	var req request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&req); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "the query is too long", http.StatusRequestEntityTooLarge)
			return
		}
		http.Error(w, "the request cannot be understood: "+err.Error(), http.StatusBadRequest)
		return
	}
	res, err := p.run(r.Context(), req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	// An error is one of the network: nobody is left to be told.
	_ = json.NewEncoder(w).Encode(res)
}

// secured keeps other sites out, also those that call themselves by this machine's address: a page
// that may run queries must be asked by its own name.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "ask 127.0.0.1 or localhost", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
