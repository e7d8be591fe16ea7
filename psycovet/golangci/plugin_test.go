package golangci_test

import (
	"testing"

	"github.com/golangci/plugin-module-register/register"

	_ "github.com/psyco-go/psyco/psycovet/golangci"
)

// golangci-lint finds the plugin by its name, and gives it what stands under settings.
func TestPlugin(t *testing.T) {
	build, err := register.GetPlugin("psycovet")
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := build(map[string]any{"drivers": "psyco,pq", "known": true})
	if err != nil {
		t.Fatal(err)
	}
	analyzers, err := plugin.BuildAnalyzers()
	if err != nil {
		t.Fatal(err)
	}
	flags := &analyzers[0].Flags
	t.Cleanup(func() { flags.Set("drivers", "psyco,postgres,pgx"); flags.Set("known", "false") })
	if len(analyzers) != 1 || flags.Lookup("drivers").Value.String() != "psyco,pq" || flags.Lookup("known").Value.String() != "true" {
		t.Errorf("%d analyzers, flags %v", len(analyzers), flags)
	}
	if plugin.GetLoadMode() != register.LoadModeTypesInfo {
		t.Error("the analyzer gets no types")
	}
	if _, err := build(map[string]any{"unknown": 1}); err == nil {
		t.Error("a setting that does not exist is taken")
	}
}
