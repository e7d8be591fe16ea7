// Package stmtcache remembers which query texts a connection has run and the
// prepared statements it made for them, and forgets the least recently used.
package stmtcache

import "slices"

// An Entry is one query text with one list of parameter types.
type Entry[S any] struct {
	SQL   string
	Types []uint32 // declared parameter types, 0 where the server infers
	Uses  int      // how often the text was looked up, this time included
	Stmt  S        // the caller's prepared statement
	Ready bool     // Stmt is set

	newer, older *Entry[S]
	variant      *Entry[S] // the same text with other types
}

// A Cache is a bounded list of entries, ordered by their last use. It is owned
// by one connection and not safe for concurrent use.
//
// Texts that were seen but never prepared are entries too: they cost memory
// here and nothing on the server, and let the caller prepare a text on its n-th
// use.
type Cache[S any] struct {
	capacity int
	size     int
	bySQL    map[string]*Entry[S]
	newest   *Entry[S]
	oldest   *Entry[S]
	evicted  []S
}

// New returns a cache of at most capacity entries. A capacity of 0 or less
// makes a cache that remembers nothing.
func New[S any](capacity int) *Cache[S] {
	return &Cache[S]{capacity: capacity, bySQL: make(map[string]*Entry[S])}
}

// Len returns the number of entries.
func (c *Cache[S]) Len() int { return c.size }

// Use finds the entry for a text and its parameter types, or makes one, counts
// the use and marks it as the most recent. It returns nil if the cache has no
// capacity. types is copied when an entry is made. A hit costs no allocation.
func (c *Cache[S]) Use(sql string, types []uint32) *Entry[S] {
	if c.capacity <= 0 {
		return nil
	}
	if e := c.Find(sql, types); e != nil {
		e.Uses++
		return e
	}
	for c.size >= c.capacity {
		c.Remove(c.oldest)
	}
	e := &Entry[S]{SQL: sql, Types: slices.Clone(types), Uses: 1, variant: c.bySQL[sql]}
	c.bySQL[sql] = e
	c.size++
	c.push(e)
	return e
}

// Find returns the entry for a text and its parameter types and marks it as the
// most recent, or nil if there is none. Unlike Use it never evicts another.
func (c *Cache[S]) Find(sql string, types []uint32) *Entry[S] {
	for e := c.bySQL[sql]; e != nil; e = e.variant {
		if slices.Equal(e.Types, types) {
			if c.newest != e {
				c.unlink(e)
				c.push(e)
			}
			return e
		}
	}
	return nil
}

// Remove forgets an entry. Its statement, if it has one, is handed out by the
// next TakeEvicted. Removing an entry twice is harmless.
func (c *Cache[S]) Remove(e *Entry[S]) {
	if !c.detach(e) {
		return
	}
	c.unlink(e)
	c.size--
	if e.Ready {
		c.evicted = append(c.evicted, e.Stmt)
		e.Ready = false
	}
}

// Clear forgets all entries, because the server has dropped their statements:
// nothing is left to close.
func (c *Cache[S]) Clear() {
	clear(c.bySQL)
	clear(c.evicted)
	c.evicted = c.evicted[:0]
	c.newest, c.oldest, c.size = nil, nil, 0
}

// Outdate forgets all statements, whose meaning may have changed: they are handed
// out by the next TakeEvicted. The entries stay, and count their uses.
func (c *Cache[S]) Outdate() {
	for e := c.newest; e != nil; e = e.older {
		if e.Ready {
			c.evicted = append(c.evicted, e.Stmt)
			e.Ready = false
		}
	}
}

// Disable makes a cache without capacity of one whose statements are forgotten.
func (c *Cache[S]) Disable() {
	c.Clear()
	c.capacity = 0
}

// TakeEvicted returns the statements that were evicted since the last call, to
// be closed on the server. The slice is valid until the next Use or Remove.
func (c *Cache[S]) TakeEvicted() []S {
	e := c.evicted
	c.evicted = c.evicted[:0]
	return e
}

// detach takes e out of the map, and reports whether it was there.
func (c *Cache[S]) detach(e *Entry[S]) bool {
	first := c.bySQL[e.SQL]
	if first == e {
		if e.variant == nil {
			delete(c.bySQL, e.SQL)
		} else {
			c.bySQL[e.SQL] = e.variant
		}
		return true
	}
	for v := first; v != nil; v = v.variant {
		if v.variant == e {
			v.variant = e.variant
			return true
		}
	}
	return false
}

func (c *Cache[S]) push(e *Entry[S]) {
	e.older, e.newer = c.newest, nil
	if c.newest != nil {
		c.newest.newer = e
	} else {
		c.oldest = e
	}
	c.newest = e
}

func (c *Cache[S]) unlink(e *Entry[S]) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		c.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		c.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}
