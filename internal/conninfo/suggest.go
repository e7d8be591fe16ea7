package conninfo

import (
	"errors"
	"fmt"
	"strings"

	"github.com/psyco-go/psyco/internal/spelling"
)

// checkKey refuses a keyword that can be no parameter of the server, that is another
// tool's, or that looks like a misspelt option. Everything else that is not an option goes to
// the server as a run-time parameter.
func (g *Grammar) checkKey(key string) error {
	if g.isKeyword(key) {
		return nil
	}
	if advice := adviceFor(key); advice != "" {
		return fmt.Errorf("invalid connection option %q: %s", key, advice)
	}
	if option := g.suggest(key); option != "" {
		return fmt.Errorf("invalid connection option %q: did you mean %q?", key, option)
	}
	if !ValidParamName(key) {
		return errors.New("invalid connection option: a name is made of letters, digits, \"_\", \".\" and \"$\"")
	}
	return nil
}

// ValidParamName follows the server's rule for custom parameters (guc.c:
// valid_custom_variable_name).
func ValidParamName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '$' || c >= 0x80) {
			return false
		}
	}
	return s != ""
}

// serverParams are parameters of the server that would otherwise be taken for
// misspelt options.
var serverParams = map[string]bool{"wal_compression": true, "ssl_crl_dir": true}

// suggest returns the option that key is a misspelling of, or "".
func (g *Grammar) suggest(key string) string {
	key = strings.ToLower(key)
	if serverParams[key] || strings.Contains(key, ".") {
		return ""
	}
	for _, o := range g.options {
		if spelling.Misspells(key, o.Name) {
			return o.Name
		}
	}
	if spelling.Misspells(key, "database") {
		return "dbname"
	}
	return ""
}
