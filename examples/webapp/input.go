package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// input is what a form or the API says about a client. Its texts go to the
// server as they are, which makes a number and a date of the last two.
type input struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Total string `json:"total"`
	Since string `json:"since"`
}

// fieldErrors says what is wrong with which field.
type fieldErrors map[string]string

func (e fieldErrors) Error() string {
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(e)) {
		parts = append(parts, fmt.Sprintf("%s %s", field, e[field]))
	}
	return strings.Join(parts, "; ")
}

var amount = regexp.MustCompile(`^-?[0-9]{1,10}(\.[0-9]{1,2})?$`)

// check cleans the input up and returns fieldErrors for what the server could
// not even read. The rest is for the table's constraints to say.
func (in *input) check() error {
	errs := fieldErrors{}
	for field, value := range map[string]*string{"name": &in.Name, "email": &in.Email, "total": &in.Total, "since": &in.Since} {
		*value = strings.TrimSpace(*value)
		if !utf8.ValidString(*value) || strings.ContainsRune(*value, 0) {
			errs[field] = "contains characters that cannot be stored"
		}
	}
	if in.Total == "" {
		in.Total = "0"
	}
	if !amount.MatchString(in.Total) {
		errs["total"] = "is not an amount like 1250.00"
	}
	if in.Since == "" {
		in.Since = time.Now().Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, in.Since); err != nil {
		errs["since"] = "is not a date like 2024-12-31"
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// constraints are the table's, in the words of the form.
var constraints = map[string]fieldErrors{
	"clients_name_length": {"name": "must have 1 to 100 characters"},
	"clients_email_form":  {"email": "is not an e-mail address"},
	"clients_email_key":   {"email": "is already taken"},
	"clients_total_range": {"total": "must not be negative"},
	"clients_since_past":  {"since": "lies in the future"},
}

// fieldError turns the server's error about a constraint into fieldErrors.
func fieldError(err error) error {
	if e := pq.As(err, pqerror.UniqueViolation, pqerror.CheckViolation); e != nil {
		if errs, ok := constraints[e.Constraint]; ok {
			return errs
		}
	}
	return err
}
