package psyco

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// inferences remembers, for the queries of a connector, which parameter types
// the server accepted, so that each query is tried out only once.
type inferences struct {
	m    sync.Map // inferenceKey → []uint32
	size atomic.Int32
}

type inferenceKey struct{ sql, types string }

// maxInferences bounds the memory; a query that is not remembered costs a
// savepoint at its first use in each connection's cache.
const maxInferences = 4096

// lookup returns the types to declare for st and whether they are known to
// work. A statement that leaves no type open needs no trying out.
func (in *inferences) lookup(st *statement) (types []uint32, known bool) {
	if len(st.open) == 0 {
		return st.types, true
	}
	if v, ok := in.m.Load(key(st)); ok {
		return v.([]uint32), true
	}
	return st.types, false
}

func (in *inferences) store(st *statement, types []uint32) {
	if in.size.Load() >= maxInferences {
		return
	}
	if _, loaded := in.m.LoadOrStore(key(st), append([]uint32(nil), types...)); !loaded {
		in.size.Add(1)
	}
}

func key(st *statement) inferenceKey {
	b := make([]byte, 0, 64)
	for _, types := range [...][]uint32{st.types, st.open} {
		for _, t := range types {
			b = binary.BigEndian.AppendUint32(b, t)
		}
	}
	return inferenceKey{st.sql, string(b)}
}
