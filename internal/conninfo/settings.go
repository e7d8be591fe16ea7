package conninfo

import "fmt"

// Settings are the options by keyword, with the place each was found in. A
// keyword with an empty value was given and hides the service file and the
// environment (libpq: "" and not NULL).
type Settings map[string]Setting

// Setting is the value of an option.
type Setting struct {
	Value string
	From  string // for errors: where it was found, if not in the string
}

// addEnvironment fills what is missing from the environment (libpq:
// conninfo_add_defaults).
func (g *Grammar) addEnvironment(s Settings, src *Source) {
	for _, o := range g.options {
		if _, ok := s[o.Name]; ok {
			continue
		}
		for _, name := range o.Env {
			if v, ok := src.Lookup(name); ok {
				s[o.Name] = Setting{Value: v, From: "environment variable " + name}
				break
			}
		}
	}
	// Deprecated since PostgreSQL 9.3; only a leading "1" counts.
	if v, _ := src.Lookup("PGREQUIRESSL"); v != "" && v[0] == '1' {
		if _, ok := s["sslmode"]; !ok {
			s["sslmode"] = Setting{Value: "require", From: "environment variable PGREQUIRESSL"}
		}
	}
}

// ErrorAt adds to an error about an option's value where the value was found.
func (s Settings) ErrorAt(key string, err error) error {
	if from := s[key].From; from != "" {
		return fmt.Errorf("%w (from %s)", err, from)
	}
	return err
}
