package conninfo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var uriPrefixes = []string{"postgresql://", "postgres://"}

// IsURI reports whether s is a connection URI.
func IsURI(s string) bool { return uriPrefixLen(s) > 0 }

func uriPrefixLen(s string) int {
	for _, p := range uriPrefixes {
		if strings.HasPrefix(s, p) {
			return len(p)
		}
	}
	return 0
}

// parseURI reads postgresql://[user[:password]@][host][:port][,…][/dbname][?key=value&…]
// (libpq: conninfo_uri_parse_options). Each part may be percent-encoded. What lastAt means
// is in userinfoEnd; libpq takes the first one.
func (g *Grammar) parseURI(uri string, lastAt bool) ([]Pair, error) {
	u := &uriParser{g: g}
	uri = strings.TrimRight(uri, "\r\n") // of the file that it was read from
	rest := uri[uriPrefixLen(uri):]

	withPassword := false
	i := userinfoEnd(rest, lastAt)
	if i >= 0 {
		user, password, _ := strings.Cut(rest[:i], ":")
		withPassword = password != ""
		rest = rest[i+1:]
		u.hide = strings.Contains(rest, "@")
		u.decode("user", user)
		u.decode("password", password)
	} else {
		u.hide = strings.Contains(rest, "@")
	}

	hosts, ports, rest, err := splitHosts(rest, len(uri)-len(rest))
	if u.err == nil {
		u.err = err
	}
	u.decode("host", hosts)
	u.decode("port", ports)
	if u.hide && strings.Trim(ports, "0123456789,") != "" && u.err == nil {
		u.pairs[len(u.pairs)-1].mistake = errors.New("invalid port number in URI: percent-encode the \"/\" of a password as %2F and the \"@\" as %40")
	}

	path, query, _ := strings.Cut(rest, "?")
	u.decode("dbname", strings.TrimPrefix(path, "/"))
	if withPassword && strings.Contains(path, "@") && u.err == nil {
		u.pairs[len(u.pairs)-1].mistake = errors.New("the database's name in the URI has an \"@\": percent-encode it as %40, " +
			"and if it belongs to the password, the \"/\" too, as %2F")
	}
	u.query(query)
	return u.pairs, u.err
}

// userinfoEnd returns where the "@" is that ends user and password, or -1: the first one
// that comes before any "/", or the last one in front of the "/" or the "?".
func userinfoEnd(s string, last bool) int {
	end := strings.IndexAny(s, "@/")
	if end < 0 || s[end] == '/' {
		return -1
	}
	if last {
		authority, _ := cutAny(s[end:], "/?")
		end += strings.LastIndexByte(authority, '@')
	}
	return end
}

// reread reads a URI again that has more than one "@" in front of the first "/", where
// libpq takes the rest of a password, or of a user's name, for the name of a host. Unlike
// that, and like net/url, it takes all up to the last "@". Where that is not certainly
// what was meant it returns nil: an abstract socket's name begins with an "@", and where a
// comma stands between them, each may be the end of what was written for one host.
func (g *Grammar) reread(uri string) []Pair {
	rest := uri[uriPrefixLen(uri):]
	first, last := userinfoEnd(rest, false), userinfoEnd(rest, true)
	if first == last || rest[first+1] == '@' || strings.Contains(rest[first:last], ",") {
		return nil
	}
	pairs, err := g.parseURI(uri, true)
	if err != nil || slices.ContainsFunc(pairs, func(p Pair) bool { return p.mistake != nil }) {
		return nil
	}
	return pairs
}

// splitHosts reads the list of host[:port] entries and returns its two
// columns, still encoded, and what follows it. offset is where s starts in
// the URI.
func splitHosts(s string, offset int) (hosts, ports, rest string, err error) {
	whole := len(s)
	var hostList, portList strings.Builder
	for {
		var host, port string
		if strings.HasPrefix(s, "[") {
			end := strings.IndexByte(s, ']')
			switch {
			case end < 0:
				return "", "", "", errors.New(`end of string reached when looking for matching "]" in IPv6 host address in URI`)
			case end == 1:
				return "", "", "", errors.New("IPv6 host address may not be empty in URI")
			}
			host, s = s[1:end], s[end+1:]
			if s != "" && !strings.ContainsRune(":/?,", rune(s[0])) {
				return "", "", "", fmt.Errorf("unexpected character %q at position %d in URI (expected \":\" or \"/\")",
					s[:1], offset+whole-len(s)+1)
			}
		} else {
			host, s = cutAny(s, ":/?,")
		}
		if strings.HasPrefix(s, ":") {
			port, s = cutAny(s[1:], "/?,")
		}
		hostList.WriteString(host)
		portList.WriteString(port)
		if !strings.HasPrefix(s, ",") {
			return hostList.String(), portList.String(), s, nil
		}
		hostList.WriteByte(',')
		portList.WriteByte(',')
		s = s[1:]
	}
}

// cutAny splits s before the first of the characters in set.
func cutAny(s, set string) (before, rest string) {
	if i := strings.IndexAny(s, set); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// uriParser collects pairs and keeps the first error.
type uriParser struct {
	g     *Grammar
	pairs []Pair
	err   error
	// hide: pieces of the string may be pieces of a password, because it has
	// another "@" further on (an unencoded "/" or "@" in the password cuts it
	// in two), or because a password came before.
	hide bool
}

// decode adds a part of the URI unless it is empty: an empty part is one that
// was not given.
func (u *uriParser) decode(key, encoded string) {
	if encoded == "" || u.err != nil {
		return
	}
	value, err := unescape(encoded)
	if err != nil {
		u.err = u.badEscape(err, key, encoded)
		return
	}
	u.pairs = append(u.pairs, Pair{Key: key, Value: value})
}

// query adds the pairs after the "?" (libpq: conninfo_uri_parse_params).
func (u *uriParser) query(query string) {
	for query != "" && u.err == nil {
		var param string
		param, query, _ = strings.Cut(query, "&")
		rawKey, rawValue, ok := strings.Cut(param, "=")
		if !ok {
			u.err = fmt.Errorf("missing key/value separator \"=\" in URI query parameter: %q", u.show(rawKey))
			return
		}
		if strings.Contains(rawValue, ";") && strings.Contains(rawValue, "=") {
			u.err = fmt.Errorf("separate the options of a URI with \"&\", not with \";\": after %q", u.show(rawKey))
			return
		}
		if strings.Contains(rawValue, "=") {
			u.err = fmt.Errorf("extra key/value separator \"=\" in URI query parameter: %q (write %%3D for a \"=\" in the value)", u.show(rawKey))
			return
		}
		key, err := unescape(rawKey)
		if err != nil {
			u.err = u.badEscape(err, "", rawKey)
			return
		}
		value, err := unescape(rawValue)
		if err != nil {
			u.err = u.badEscape(err, key, rawValue)
			return
		}
		if key == "ssl" && value == "true" { // as JDBC writes it
			key, value = "sslmode", "require"
		}
		if o := u.g.Option(key); o != nil && o.Secret {
			u.hide = true
		}
		u.pairs = append(u.pairs, u.g.translate(Pair{Key: key, Value: value}))
	}
}

func (u *uriParser) badEscape(err error, key, encoded string) error {
	if o := u.g.Option(key); u.hide || o != nil && o.Secret {
		encoded = Hidden
	}
	if err == errSpaces {
		return fmt.Errorf("%w in %q, use percent-encoded spaces (%%20) instead", err, encoded)
	}
	return fmt.Errorf("%w: %q (write %%25 for a \"%%\")", err, encoded)
}

// show is a keyword of the URI that an error may repeat.
func (u *uriParser) show(key string) string {
	if u.hide {
		return u.g.showKey(key)
	}
	return key
}

var (
	errBadEscape = errors.New("invalid percent-encoded token")
	errSpaces    = errors.New("unexpected spaces found")
	errNulEscape = errors.New("forbidden value %00 in percent-encoded value")
)

// unescape replaces %xy by the byte it stands for, and drops spaces at both ends (libpq
// 17: conninfo_uri_decode).
func unescape(s string) (string, error) {
	s = strings.Trim(s, " ")
	spaces := strings.IndexByte(s, ' ')
	if spaces < 0 && !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i == spaces {
			return "", errSpaces
		}
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errBadEscape
		}
		hi, ok1 := hexDigit(s[i+1])
		lo, ok2 := hexDigit(s[i+2])
		if !ok1 || !ok2 {
			return "", errBadEscape
		}
		if hi == 0 && lo == 0 {
			return "", errNulEscape
		}
		b.WriteByte(hi<<4 | lo)
		i += 2
	}
	return b.String(), nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
