package psyco

import "testing/fstest"

func mapFile(name, text string) fstest.MapFS {
	return fstest.MapFS{name: {Data: []byte(text), Mode: 0o600}}
}
