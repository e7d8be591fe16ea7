package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/psyco-go/psyco"
)

// form is what the page for one client shows.
type form struct {
	ID      int // 0: not stored yet
	Title   string
	Input   input
	Errors  fieldErrors
	History []event
	Saved   bool
}

func (a *app) showList(w http.ResponseWriter, r *http.Request) error {
	number, err := pageNumber(r)
	if err != nil {
		return err
	}
	p, err := a.store.list(r.Context(), strings.TrimSpace(r.FormValue("q")), number)
	if err != nil {
		return err
	}
	return render(w, http.StatusOK, "list.html", map[string]any{
		"Page": p, "Previous": pageLink(p, -1), "Next": pageLink(p, 1), "Deleted": r.FormValue("deleted"),
	})
}

// pageLink leads to a page before or after p, if there is one.
func pageLink(p page, step int) string {
	number := p.Page + step
	if number < 1 || number > p.Pages {
		return ""
	}
	q := url.Values{"page": {strconv.Itoa(number)}}
	if p.Search != "" {
		q.Set("q", p.Search)
	}
	return "/?" + q.Encode()
}

func (a *app) showNew(w http.ResponseWriter, r *http.Request) error {
	return render(w, http.StatusOK, "client.html", form{Title: "New client"})
}

func (a *app) postNew(w http.ResponseWriter, r *http.Request) error {
	in, err := formInput(r)
	id := 0
	if err == nil {
		id, err = a.store.create(r.Context(), in)
	}
	return a.saved(w, r, form{Title: "New client", Input: in}, id, err)
}

func (a *app) showClient(w http.ResponseWriter, r *http.Request) error {
	n, err := id(r)
	if err != nil {
		return err
	}
	c, err := a.store.get(r.Context(), n)
	if err != nil {
		return err
	}
	f := form{ID: n, Title: c.Name, Saved: r.FormValue("saved") != ""}
	f.Input = input{Name: c.Name, Email: c.Email, Total: string(c.Total), Since: c.Since}
	if f.History, err = a.store.history(r.Context(), n); err != nil {
		return err
	}
	return render(w, http.StatusOK, "client.html", f)
}

func (a *app) postClient(w http.ResponseWriter, r *http.Request) error {
	n, err := id(r)
	if err != nil {
		return err
	}
	in, err := formInput(r)
	if err == nil {
		err = a.store.update(r.Context(), n, in)
	}
	return a.saved(w, r, form{ID: n, Title: "Edit client", Input: in}, n, err)
}

// saved goes on to the stored client, or back to the form with what is wrong.
func (a *app) saved(w http.ResponseWriter, r *http.Request, f form, id int, err error) error {
	if errors.As(err, &f.Errors) {
		return render(w, http.StatusUnprocessableEntity, "client.html", f)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, fmt.Sprintf("/clients/%d?saved=1", id), http.StatusSeeOther)
	return nil
}

func (a *app) postDelete(w http.ResponseWriter, r *http.Request) error {
	n, err := id(r)
	if err != nil {
		return err
	}
	if err := a.store.delete(r.Context(), n); err != nil {
		return err
	}
	http.Redirect(w, r, "/?deleted=1", http.StatusSeeOther)
	return nil
}

func formInput(r *http.Request) (input, error) {
	if err := r.ParseForm(); err != nil {
		return input{}, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	f := r.PostForm
	in := input{Name: f.Get("name"), Email: f.Get("email"), Total: f.Get("total"), Since: f.Get("since")}
	return in, in.check()
}

// render writes a page, complete or not at all.
func render(w http.ResponseWriter, status int, name string, data any) error {
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // an error is one of the network: nobody is left to be told
	return nil
}

func (a *app) errorPage(w http.ResponseWriter, status int, err error) {
	if rerr := render(w, status, "error.html", map[string]any{"Status": status, "Error": err.Error()}); rerr != nil {
		a.log.Error("no page for an error", "error", rerr)
		http.Error(w, err.Error(), status)
	}
}

// money groups the digits: 10,000.00.
func money(n psyco.Numeric) string {
	whole, cents, _ := strings.Cut(string(n), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + "." + cents
}

// initials are up to two letters for a name.
func initials(name string) string {
	var letters []rune
	for _, word := range strings.Fields(name) {
		if r := []rune(word)[0]; unicode.IsLetter(r) && len(letters) < 2 {
			letters = append(letters, unicode.ToUpper(r))
		}
	}
	return string(letters)
}

// hue is one of the eight colours of the style sheet, always the same for a
// name.
func hue(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32() % 8
}
