// Package conninfo reads connection strings as libpq does: keyword/value pairs
// and URIs, and what fills the gaps in them, which are the service file, the
// environment and the passfile. It knows how options are written and where they
// come from; what a value means is its caller's business.
package conninfo

// Option is a keyword of connection strings.
type Option struct {
	Name string
	// Env are the environment variables that hold its value; the first that is
	// set counts.
	Env []string
	// Secret: no error may repeat the value.
	Secret bool
	// AnyCase: the keyword is a parameter of the server, which takes its name in
	// any case.
	AnyCase bool
}

// Grammar is a set of keywords. Every other keyword of a string is a run-time
// parameter of the server, unless it looks like a misspelt one of the set.
type Grammar struct {
	options []Option
	byName  map[string]*Option
	aliases map[string]string // other names that strings may use
}

// NewGrammar returns the grammar of strings with these options. Aliases are
// other names of options.
func NewGrammar(options []Option, aliases map[string]string) *Grammar {
	g := &Grammar{options: options, byName: make(map[string]*Option, len(options)), aliases: aliases}
	for i := range options {
		g.byName[options[i].Name] = &options[i]
	}
	return g
}

// Option returns the option of that name, or nil.
func (g *Grammar) Option(name string) *Option { return g.byName[name] }

func (g *Grammar) isKeyword(name string) bool {
	return g.byName[name] != nil || g.aliases[name] != ""
}

// Parse reads a connection string and fills what it leaves out from the service
// file's section, then from the environment. Errors are in libpq's words where
// libpq has some, and never show a password.
func (g *Grammar) Parse(dsn string, src *Source) (Settings, error) {
	s, err := g.parseString(dsn)
	if err != nil {
		return nil, err
	}
	if err := g.addService(s, src); err != nil {
		return nil, err
	}
	g.addEnvironment(s, src)
	return s, nil
}
