package psycovet

import "sync"

// CloseSchema ends what the flags have opened, as a process would at its end, so that other
// flags can be tried.
func CloseSchema() error {
	err := Finish()
	opened = struct {
		once   sync.Once
		schema *schema
		err    error
	}{}
	return err
}

// Forward is what -migrations makes of a file.
var Forward = forward
