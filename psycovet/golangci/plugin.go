// Package golangci makes psycovet a plugin of golangci-lint's module system.
package golangci

import (
	"strconv"

	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"github.com/psyco-go/psyco/psycovet"
)

func init() { register.Plugin("psycovet", New) }

// Settings are those of psycovet's flags that make sense in golangci-lint.
type Settings struct {
	Drivers string `json:"drivers"`
	Known   bool   `json:"known"`
}

// New returns the plugin for the settings of a configuration file.
func New(settings any) (register.LinterPlugin, error) {
	s, err := register.DecodeSettings[Settings](settings)
	return plugin{s}, err
}

type plugin struct{ settings Settings }

// BuildAnalyzers returns the analyzer with its flags set.
func (p plugin) BuildAnalyzers() ([]*analysis.Analyzer, error) {
	flags := &psycovet.Analyzer.Flags
	if p.settings.Drivers != "" {
		if err := flags.Set("drivers", p.settings.Drivers); err != nil {
			return nil, err
		}
	}
	if err := flags.Set("known", strconv.FormatBool(p.settings.Known)); err != nil {
		return nil, err
	}
	return []*analysis.Analyzer{psycovet.Analyzer}, nil
}

// GetLoadMode says that the analyzer needs types.
func (plugin) GetLoadMode() string { return register.LoadModeTypesInfo }
