package doctor

import (
	"context"
	"fmt"
	"time"

	"ferric"
)

// dropsTold is how long notifications that were thrown away are spoken of.
const dropsTold = 24 * time.Hour

// sinks looks at where notifications go.
func (r *round) sinks(ctx context.Context, s Store) error {
	list, err := s.Sinks(ctx)
	if err != nil {
		return err
	}
	for _, k := range list {
		r.sink(k)
	}
	return nil
}

func (r *round) sink(k ferric.Sink) {
	switch {
	case k.Error != "" && r.now.Sub(k.FailingSince) > r.Grace:
		r.add(ferric.Finding{Code: "notifications-wait", Severity: ferric.FindingError, Conductor: k.Holder, Since: k.FailingSince,
			What: fmt.Sprintf("%d notifications wait to be delivered to %s, the oldest one for %s", k.Waiting, k.Name, r.age(k.Oldest)),
			Why:  "the last attempt failed: " + k.Error,
			Do:   "start what does not answer, or mend the settings in [notifications]; nothing is lost until notifications.max_queued or max_age is reached"})
	case k.Waiting > 0 && r.now.Sub(k.HeldUntil) > r.Grace && r.now.Sub(k.Oldest) > r.Grace:
		r.add(ferric.Finding{Code: "notifications-wait", Severity: ferric.FindingError, Since: k.Oldest,
			What: fmt.Sprintf("%d notifications wait to be delivered to %s, the oldest one for %s", k.Waiting, k.Name, r.age(k.Oldest)),
			Why:  "no conductor delivers them", Do: "start a conductor with the same [notifications] as the others"})
	}
	if k.Dropped > 0 && r.now.Sub(k.DroppedAt) < dropsTold {
		r.add(ferric.Finding{Code: "notifications-dropped", Severity: ferric.FindingWarning, Since: k.DroppedAt,
			What: fmt.Sprintf("notifications to %s were thrown away: %d since it was set up", k.Name, k.Dropped),
			Why:  "they could not be delivered before notifications.max_queued or max_age was reached",
			Do:   "whoever reads them has to read the API once, to see what they did not tell; then raise the limits if such outages are to be bridged"})
	}
}

func (r *round) age(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return r.now.Sub(t).Round(time.Second)
}
