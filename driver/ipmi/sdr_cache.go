package ipmi

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"
)

// How long sensor data records are believed in: those of a BMC that says when they changed, and those of one that does not.
const (
	recordsLife        = 24 * time.Hour
	recordsLifeUndated = time.Hour
)

// sdrStamp tells one state of a BMC's sensor data repository from another: the device, the number of records, and when one was added or removed last (33.9).
type sdrStamp struct {
	device [16]byte // Get Device ID
	state  [11]byte // version, number of records, addition, erase
}

// dated reports whether the BMC says when its repository changed. Many say 0 or FFFFFFFFh.
func (s sdrStamp) dated() bool {
	unset := func(b []byte) bool {
		return !slices.ContainsFunc(b, func(v byte) bool { return v != 0 }) || !slices.ContainsFunc(b, func(v byte) bool { return v != 0xff })
	}
	return !unset(s.state[3:7]) || !unset(s.state[7:11])
}

// undated is the stamp of a repository whose dates mean nothing.
func (s sdrStamp) undated() sdrStamp {
	clear(s.state[3:])
	return s
}

// life is how long records with this stamp are believed in.
func (s sdrStamp) life() time.Duration {
	if s.dated() {
		return recordsLife
	}
	return recordsLifeUndated
}

// sdrCache remembers the sensor data records of BMCs, so that only readings are asked for the next time. Equal repositories, as those of machines of one model
// mostly are, are kept once. It is bounded by the number of records; what was not used for the longest time goes first.
type sdrCache struct {
	max int
	now func() time.Time

	mu      sync.Mutex
	bmcs    map[string]*list.Element // of *sdrEntry, by endpoint
	order   *list.List               // the last used one first
	sets    map[[32]byte]*sdrSet
	records int // in sets
}

// sdrEntry is what is known of one BMC.
type sdrEntry struct {
	endpoint string
	stamp    sdrStamp
	set      *sdrSet
	at       time.Time
}

// sdrSet is the content of a repository. Its records are not changed.
type sdrSet struct {
	key     [32]byte
	records []sensorRecord
	users   int
}

func newSDRCache(max int) *sdrCache {
	return &sdrCache{max: max, now: time.Now, bmcs: map[string]*list.Element{}, order: list.New(), sets: map[[32]byte]*sdrSet{}}
}

// get returns the records of a BMC in a state.
func (c *sdrCache) get(endpoint string, stamp sdrStamp) ([]sensorRecord, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.bmcs[endpoint]
	if el == nil {
		return nil, false
	}
	e := el.Value.(*sdrEntry)
	if !e.stamp.dated() {
		stamp = stamp.undated()
	}
	if e.stamp != stamp || c.now().Sub(e.at) > stamp.life() {
		c.drop(el)
		return nil, false
	}
	c.order.MoveToFront(el)
	return e.set.records, true
}

// put keeps the records of a BMC in a state. key is a hash of what they were read from.
func (c *sdrCache) put(endpoint string, stamp sdrStamp, key [32]byte, records []sensorRecord) {
	if !stamp.dated() {
		stamp = stamp.undated()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.bmcs[endpoint]; el != nil {
		c.drop(el)
	}
	if cost(records) > c.max {
		return
	}
	set := c.sets[key]
	if set == nil {
		set = &sdrSet{key: key, records: records}
		c.sets[key] = set
		c.records += cost(records)
	}
	set.users++
	c.bmcs[endpoint] = c.order.PushFront(&sdrEntry{endpoint, stamp, set, c.now()})
	for c.records > c.max || c.order.Len() > c.max {
		c.drop(c.order.Back())
	}
}

// cost is what a set counts; an empty one counts, too.
func cost(records []sensorRecord) int { return len(records) + 1 }

// drop forgets a BMC; c.mu is held.
func (c *sdrCache) drop(el *list.Element) {
	e := c.order.Remove(el).(*sdrEntry)
	delete(c.bmcs, e.endpoint)
	if e.set.users--; e.set.users == 0 {
		delete(c.sets, e.set.key)
		c.records -= cost(e.set.records)
	}
}

// stamp asks in which state the repository is. ok is false if the BMC cannot say.
func (b BMC) sdrStamp(ctx context.Context) (s sdrStamp, ok bool, err error) {
	device, err := b.runOne(ctx, readSDR, getDeviceID)
	if err != nil {
		return s, false, err
	}
	copy(s.device[:], device)
	info, err := b.runOne(ctx, readSDR, command{name: "get SDR repository info", netFn: netFnStorage, code: 0x20})
	var ce *completionError
	if errors.As(err, &ce) && !ce.transient(false) && ce.cc != 0xd4 {
		return s, false, nil
	}
	if err != nil || len(info) < 13 {
		return s, false, err
	}
	copy(s.state[:3], info)
	copy(s.state[3:], info[5:13]) // without the free space
	return s, true, nil
}

// sensorRecords returns the records of the repository, from memory if it is in the state that they were read in.
func (b BMC) sensorRecords(ctx context.Context) ([]sensorRecord, error) {
	cache, endpoint := b.pool.sdrs, b.info.Endpoint()
	stamp, known, err := b.sdrStamp(ctx)
	if err != nil {
		return nil, err
	}
	if known {
		if records, ok := cache.get(endpoint, stamp); ok {
			return records, nil
		}
	}
	records, key, err := b.readRecords(ctx)
	if err != nil || !known {
		return records, err
	}
	after, known, err := b.sdrStamp(ctx)
	if err != nil {
		return nil, err
	}
	if known && after != stamp {
		// It was changed meanwhile, or the BMC takes the present for the time of the last change.
		before := key
		if records, key, err = b.readRecords(ctx); err != nil {
			return nil, err
		}
		after, known = after.undated(), key == before
	}
	if known {
		cache.put(endpoint, after, key, records)
	}
	return records, nil
}

// readRecords walks the repository and tells its content from others'.
func (b BMC) readRecords(ctx context.Context) ([]sensorRecord, [32]byte, error) {
	hash := sha256.New()
	records, err := b.walkRecords(ctx, func(raw []byte) { hash.Write(raw) })
	return records, [32]byte(hash.Sum(nil)), err
}
