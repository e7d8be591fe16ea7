package conninfo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// addService fills what is missing from the section of a service file
// (libpq: parseServiceInfo). The user's file goes first; the system's is read
// if that one does not exist or has no such section. An empty name means no
// service, which libpq would look for and not find.
func (g *Grammar) addService(s Settings, src *Source) error {
	name, ok := s["service"]
	if !ok {
		v, _ := src.Lookup("PGSERVICE")
		name = Setting{Value: v, From: "environment variable PGSERVICE"}
	}
	if name.Value == "" {
		return nil
	}
	for _, f := range s.serviceFiles(src) {
		text, err := src.ReadFile(f.name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !f.needed:
			continue
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("service file %q not found", f.name)
		case err != nil:
			return fmt.Errorf("could not read service file: %w", err)
		}
		found, err := g.addSection(s, text, name.Value, f.name)
		if found || err != nil {
			return err
		}
	}
	err := fmt.Errorf("definition of service %q not found", Show(name.Value))
	if name.From != "" {
		err = fmt.Errorf("%w (from %s)", err, name.From)
	}
	return err
}

type serviceFile struct {
	name   string
	needed bool // named by the user: it is an error if it does not exist
}

func (s Settings) serviceFiles(src *Source) []serviceFile {
	var files []serviceFile
	if f, ok := s["servicefile"]; ok && f.Value != "" {
		files = append(files, serviceFile{f.Value, true})
	} else if f, ok := src.Lookup("PGSERVICEFILE"); ok {
		files = append(files, serviceFile{f, true})
	} else if home := src.Home(); home != "" {
		files = append(files, serviceFile{filepath.Join(home, ".pg_service.conf"), false})
	}
	dir, ok := src.Lookup("PGSYSCONFDIR")
	if !ok {
		dir = src.SysconfDir
	}
	if dir != "" {
		files = append(files, serviceFile{filepath.Join(dir, "pg_service.conf"), false})
	}
	return files
}

// addSection reads the lines under [service] (libpq: parseServiceFile). Lines
// have no quotes and no spaces around the equals sign.
func (g *Grammar) addSection(s Settings, text []byte, service, file string) (found bool, err error) {
	for i, raw := range bytes.Split(text, []byte{'\n'}) {
		line := strings.TrimFunc(string(raw), func(r rune) bool { return r < 0x80 && isSpace(byte(r)) })
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '[':
			if found {
				return true, nil
			}
			found = strings.HasPrefix(line[1:], service+"]")
			continue
		case !found:
			continue
		case strings.HasPrefix(line, "ldap"):
			return true, fmt.Errorf("LDAP lookup is not supported in service file %q, line %d", file, i+1)
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || !g.isKeyword(key) {
			return true, fmt.Errorf("syntax error in service file %q, line %d", file, i+1)
		}
		if key == "service" || key == "servicefile" {
			return true, fmt.Errorf("nested service specifications not supported in service file %q, line %d", file, i+1)
		}
		p := g.translate(Pair{Key: key, Value: value})
		if _, ok := s[p.Key]; !ok { // the string and earlier lines go before
			s[p.Key] = Setting{Value: p.Value, From: fmt.Sprintf("service file %q, line %d", file, i+1)}
		}
	}
	return found, nil
}
