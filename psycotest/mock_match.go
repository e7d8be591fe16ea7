package psycotest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/DATA-DOG/go-sqlmock"
)

var _ sqlmock.QueryMatcher = (*mockMatcher)(nil)

// mockMatcher compares expected queries with what psyco sends and with what the
// program wrote. sqlmock hands it only the former.
type mockMatcher struct {
	matcher sqlmock.QueryMatcher

	mu      sync.Mutex
	written map[string][]string // by what was sent
}

func (m *mockMatcher) observe(written, sent string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.written[sent], written) {
		m.written[sent] = append(m.written[sent], written)
	}
}

// Match is called by sqlmock for the query that psyco sends.
func (m *mockMatcher) Match(expected, sent string) error {
	err := m.matcher.Match(expected, sent)
	if err == nil {
		return nil
	}
	m.mu.Lock()
	texts := slices.Clone(m.written[sent])
	m.mu.Unlock()
	if len(texts) == 0 {
		return err
	}
	for _, written := range texts {
		if m.matcher.Match(expected, written) == nil {
			return nil
		}
	}
	return fmt.Errorf(`%w, and neither does what was written: "%s"`, err, strings.Join(strings.Fields(texts[len(texts)-1]), " "))
}
