package ipmi

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// TestSDRCacheIsBounded remembers more BMCs than fit: of many models, the ones used last stay; of one model, all do.
func TestSDRCacheIsBounded(t *testing.T) {
	dated := func(count byte) sdrStamp { return sdrStamp{state: [11]byte{0x51, count, 0, 1, 2, 3, 4, 5, 6, 7, 8}} }
	put := func(c *sdrCache, bmc int, content string) {
		c.put(fmt.Sprint(bmc), dated(9), sha256.Sum256([]byte(content)), make([]sensorRecord, 9))
	}
	has := func(c *sdrCache, bmc int) bool { _, ok := c.get(fmt.Sprint(bmc), dated(9)); return ok }

	c := newSDRCache(100)
	for bmc := range 50 {
		put(c, bmc, fmt.Sprint("model ", bmc))
		if bmc > 0 && !has(c, 0) {
			t.Fatalf("after %d others, the BMC that is used all the time is forgotten", bmc)
		}
	}
	if c.records > 100 || len(c.bmcs) != 10 || len(c.sets) != 10 || !has(c, 49) || has(c, 1) {
		t.Errorf("%d records of %d BMCs in %d sets are kept", c.records, len(c.bmcs), len(c.sets))
	}
	put(c, 49, "new firmware")
	put(c, 48, "new firmware")
	if len(c.bmcs) != 10 || len(c.sets) != 9 || c.records != 90 {
		t.Errorf("after changes: %d records of %d BMCs in %d sets", c.records, len(c.bmcs), len(c.sets))
	}
	c.put("0", dated(9), sha256.Sum256(nil), make([]sensorRecord, 1000))
	if has(c, 0) || c.records > 100 {
		t.Errorf("a repository larger than the memory is kept")
	}

	c = newSDRCache(100)
	for bmc := range 90 {
		put(c, bmc, "one model")
	}
	if c.records != 10 || !has(c, 0) || !has(c, 89) {
		t.Errorf("90 machines of one model take the room of %d records", c.records)
	}
}

// TestSDRCacheForgets: another state of the repository, another device, or a day, and the records are read again; with dates that say nothing it is an hour.
func TestSDRCacheForgets(t *testing.T) {
	const dated, undated = "dated", "undated"
	stamps := map[string]sdrStamp{dated: {state: [11]byte{0x51, 9, 0, 1, 2, 3, 4, 0, 0, 0, 0}}, undated: {state: [11]byte{0x51, 9, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}}}
	change := func(s sdrStamp, i int) sdrStamp { s.state[i]++; return s }
	device := func(s sdrStamp) sdrStamp { s.device[2]++; return s }
	for name, test := range map[string]struct {
		was, is sdrStamp
		after   time.Duration
		want    bool
	}{
		"the same":                {stamps[dated], stamps[dated], 23 * time.Hour, true},
		"too old":                 {stamps[dated], stamps[dated], 25 * time.Hour, false},
		"another count":           {stamps[dated], change(stamps[dated], 1), 0, false},
		"something added":         {stamps[dated], change(stamps[dated], 3), 0, false},
		"something removed":       {stamps[dated], change(stamps[dated], 7), 0, false},
		"other firmware":          {stamps[dated], device(stamps[dated]), 0, false},
		"no dates":                {stamps[undated], stamps[undated], 59 * time.Minute, true},
		"no dates, too old":       {stamps[undated], stamps[undated], 61 * time.Minute, false},
		"no dates, more":          {stamps[undated], change(stamps[undated], 1), 0, false},
		"dates that mean nothing": {stamps[dated].undated(), change(stamps[dated], 3), 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			c := newSDRCache(100)
			c.now = func() time.Time { return now }
			c.put("bmc", test.was, [32]byte{}, make([]sensorRecord, 9))
			now = now.Add(test.after)
			if records, ok := c.get("bmc", test.is); ok != test.want || ok && len(records) != 9 {
				t.Errorf("remembered: %t, %d records", ok, len(records))
			}
			if len(c.bmcs) == 0 && (c.records != 0 || len(c.sets) != 0) {
				t.Errorf("%d records stay behind", c.records)
			}
		})
	}
}
