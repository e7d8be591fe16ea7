package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

func (a *app) apiList(w http.ResponseWriter, r *http.Request) error {
	number, err := pageNumber(r)
	if err != nil {
		return err
	}
	p, err := a.store.list(r.Context(), r.FormValue("q"), number)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, p)
	return nil
}

// pageNumber is the request's page parameter, 1 if it has none.
func pageNumber(r *http.Request) (int, error) {
	s := r.FormValue("page")
	if s == "" {
		return 1, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: page is not a number", errBadRequest)
	}
	return int(n), nil
}

func (a *app) apiGet(w http.ResponseWriter, r *http.Request) error {
	n, err := id(r)
	if err != nil {
		return err
	}
	return a.apiClient(w, r, http.StatusOK, n)
}

func (a *app) apiCreate(w http.ResponseWriter, r *http.Request) error {
	in, err := decode(r)
	if err != nil {
		return err
	}
	n, err := a.store.create(r.Context(), in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/api/clients/"+strconv.Itoa(n))
	return a.apiClient(w, r, http.StatusCreated, n)
}

func (a *app) apiUpdate(w http.ResponseWriter, r *http.Request) error {
	n, err := id(r)
	if err != nil {
		return err
	}
	in, err := decode(r)
	if err != nil {
		return err
	}
	if err := a.store.update(r.Context(), n, in); err != nil {
		return err
	}
	return a.apiClient(w, r, http.StatusOK, n)
}

func (a *app) apiDelete(w http.ResponseWriter, r *http.Request) error {
	n, err := id(r)
	if err != nil {
		return err
	}
	if err := a.store.delete(r.Context(), n); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// apiClient answers with a client as it is stored.
func (a *app) apiClient(w http.ResponseWriter, r *http.Request, status, id int) error {
	c, err := a.store.get(r.Context(), id)
	if err != nil {
		return err
	}
	writeJSON(w, status, c)
	return nil
}

func decode(r *http.Request) (in input, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	return in, in.check()
}

func apiError(w http.ResponseWriter, status int, err error) {
	answer := map[string]any{"error": err.Error()}
	var fields fieldErrors
	if errors.As(err, &fields) {
		answer["fields"] = fields
	}
	writeJSON(w, status, answer)
}
