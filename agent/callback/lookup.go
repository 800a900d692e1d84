package callback

import (
	"context"
	"math/rand/v2"
	"time"

	"ferric"
	"ferric/agentapi"
)

// LookupLoop looks the node up until the API knows it or ctx ends. macs is asked before every try, since links come up
// late. Reasons are logged, each time they change and every minute otherwise.
func (c *Client) LookupLoop(ctx context.Context, macs func() []string, nodeUUID string, pause time.Duration) (agentapi.LookupResponse, error) {
	var told string
	var toldAt time.Time
	for wait := pause; ; wait = min(wait*3/2, 20*pause) {
		res, err := c.Lookup(ctx, macs(), nodeUUID)
		if err == nil {
			return res, nil
		}
		if text := err.Error(); text != told || time.Since(toldAt) > time.Minute {
			told, toldAt = text, time.Now()
			c.o.Log.Warn("lookup failed, trying again", "err", err, "addresses", macs())
		}
		if err := sleep(ctx, jitter(wait, 0.5, 1)); err != nil {
			return res, ferric.Errorf(ferric.CodeTimeout, "lookup given up: %w", err)
		}
	}
}

// InspectionLoop posts inspection data, at most tries times while the API cannot be reached, is in trouble or has the
// node locked.
func (c *Client) InspectionLoop(ctx context.Context, urls []string, data agentapi.InspectionData, tries int, pause time.Duration) (agentapi.InspectionResponse, error) {
	var last error
	for i := range tries {
		if i > 0 {
			if err := sleep(ctx, jitter(pause<<(i-1), 0.5, 1)); err != nil {
				return agentapi.InspectionResponse{}, ferric.Errorf(ferric.CodeTimeout, "inspection data not posted: %w", err)
			}
		}
		res, err := c.Inspection(ctx, urls, data)
		if err == nil {
			return res, nil
		}
		last = err
		if !ferric.IsCode(err, ferric.CodeUnavailable) && !ferric.IsCode(err, ferric.CodeLocked) {
			break
		}
		c.o.Log.Warn("inspection data not taken", "try", i+1, "of", tries, "err", err)
	}
	return agentapi.InspectionResponse{}, last
}

func jitter(d time.Duration, from, to float64) time.Duration {
	return time.Duration(float64(d) * (from + rand.Float64()*(to-from)))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
