package keystone

import (
	"container/list"
	"crypto/sha256"
	"time"
)

// key stands for a token in the cache, so that a dump of memory holds none.
type key [sha256.Size]byte

// entry is what is known of one token.
type entry struct {
	key   key
	token *token    // nil: Keystone does not know it
	asked time.Time // when Keystone said so
	// asking is closed when the question under way is answered. nil: none is.
	asking chan struct{}
	use    *list.Element
}

// cache holds entries, the least recently used go first. It is used under the validator's lock.
type cache struct {
	max   int
	byKey map[key]*entry
	used  *list.List // of *entry, the most recently used first
}

func newCache(most int) *cache {
	return &cache{max: most, byKey: map[key]*entry{}, used: list.New()}
}

// get returns the entry of a token, a new one if there is none.
func (c *cache) get(k key) *entry {
	e := c.byKey[k]
	if e == nil {
		e = &entry{key: k}
		e.use = c.used.PushFront(e)
		c.byKey[k] = e
		for oldest := c.used.Back(); c.used.Len() > c.max && oldest != nil; {
			before := oldest.Prev()
			if old := oldest.Value.(*entry); old != e && old.asking == nil {
				c.drop(old)
			}
			oldest = before
		}
	}
	c.used.MoveToFront(e.use)
	return e
}

func (c *cache) drop(e *entry) {
	c.used.Remove(e.use)
	delete(c.byKey, e.key)
}
