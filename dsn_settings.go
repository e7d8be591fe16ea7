package psyco

import "fmt"

// settings are the options by keyword, before they are turned into a Config.
// A keyword with an empty value was given and hides the service file and the
// environment (libpq: "" and not NULL).
type settings map[string]setting

type setting struct {
	value string
	from  string // for errors: where it was found, if not in the string
}

// addEnvironment fills what is missing from the environment (libpq:
// conninfo_add_defaults).
func (s settings) addEnvironment(src *source) {
	for _, o := range options {
		if _, ok := s[o.name]; ok {
			continue
		}
		for _, name := range o.env {
			if v, ok := src.lookup(name); ok {
				s[o.name] = setting{value: v, from: "environment variable " + name}
				break
			}
		}
	}
	// Deprecated since PostgreSQL 9.3; only a leading "1" counts.
	if v, _ := src.lookup("PGREQUIRESSL"); v != "" && v[0] == '1' {
		if _, ok := s["sslmode"]; !ok {
			s["sslmode"] = setting{value: "require", from: "environment variable PGREQUIRESSL"}
		}
	}
}

// apply writes the settings into c and checks each.
func (s settings) apply(c *Config) error {
	for _, o := range options {
		v, ok := s[o.name]
		if !ok || o.set == nil {
			continue
		}
		err := o.set(c, v.value)
		if err == nil && o.check != nil {
			err = o.check(c)
		}
		if err != nil {
			return s.errorAt(o.name, err)
		}
	}
	for key, v := range s {
		if optionByName(key) == nil {
			c.setRuntimeParam(key, v.value)
		}
	}
	// An application_name that is given but empty stays empty.
	if _, ok := s["application_name"]; ok && c.ApplicationName == "" {
		c.FallbackApplicationName = ""
	}
	return s.applyHosts(c)
}

// errorAt adds where the value was found.
func (s settings) errorAt(key string, err error) error {
	if from := s[key].from; from != "" {
		return fmt.Errorf("%w (from %s)", err, from)
	}
	return err
}
