package storage

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"ferric"
	"ferric/driver"
)

// Cinder is the storage interface "cinder".
type Cinder struct {
	Client Client
	// Retries is how often clearing up is tried again after Cinder refused it, RetryInterval how long to wait before that.
	Retries       int
	RetryInterval time.Duration
	// Outage is how long a step waits for a Cinder that gives no answer; 0: for ever.
	Outage time.Duration
}

var _ driver.VolumeStorage = (*Cinder)(nil)

// UsesVolumes implements driver.VolumeStorage.
func (c *Cinder) UsesVolumes() {}

// Properties implements driver.Interface.
func (c *Cinder) Properties() map[string]string { return nil }

// WritesImage implements driver.Storage.
func (c *Cinder) WritesImage(m *driver.Machine) bool { return writesImage(m) }

// mountpoint is what Cinder is told instead of a path, as by Ironic.
const mountpoint = "ironic_mountpoint"

// Attach implements driver.Storage. When Cinder refuses a volume, what was done for the others is undone first.
func (c *Cinder) Attach(ctx context.Context, t *driver.Task) error {
	if len(t.Targets) == 0 {
		return nil
	}
	to, err := connector(t)
	if err != nil {
		return err
	}
	j, err := open(ctx, t)
	if err != nil {
		return err
	}
	for _, v := range t.Targets {
		if j.Failed != "" {
			break
		}
		a := attachment{c: c, j: j, task: t, id: v.VolumeID, target: v, to: to}
		err := a.attach(ctx)
		switch {
		case err == nil:
		case passes(err):
			return c.pending(err)
		default:
			j.Failed = err.Error()
			if err := j.write(ctx); err != nil {
				return err
			}
			t.Log.Error("the volumes cannot be attached; what was done is undone", "error", err)
		}
	}
	if j.Failed == "" {
		return nil
	}
	failed := ferric.Errorf(ferric.CodeConflict, "%s", j.Failed)
	if err := c.detach(ctx, t, j, j.volumes(), "Error on aborting volume detach for node"); err != nil {
		var p *driver.Pending
		if errors.As(err, &p) {
			p.Err = ferric.Errorf(ferric.ErrorCode(p.Err), "%s; what was done for the volumes is not undone yet: %w", j.Failed, p.Err)
			return p
		}
		return ferric.Errorf(ferric.CodeConflict, "%w; and not undone, until the instance is deleted: %v", failed, err)
	}
	return failed
}

// Detach implements driver.Storage. Of a node that is active, and was powered off therefore, failures are only logged: its volumes are detached at the
// latest when its instance is deleted.
func (c *Cinder) Detach(ctx context.Context, t *driver.Task) error {
	j, err := open(ctx, t)
	if err != nil {
		return err
	}
	ids := j.volumes()
	for _, v := range t.Targets {
		if v.VolumeID != "" && !slices.Contains(ids, v.VolumeID) {
			ids = append(ids, v.VolumeID)
		}
	}
	if t.Node.ProvisionState != ferric.Active {
		return c.detach(ctx, t, j, ids, "Error detaching volume for node")
	}
	for _, id := range ids {
		a := attachment{c: c, j: j, task: t, id: id, tolerant: true}
		if err := a.detach(ctx); errors.Is(err, ferric.ErrOutage) {
			return err
		} else if err != nil {
			t.Log.Warn("a volume could not be detached; it will be when the instance is deleted", "volume", id, "error", err)
		}
	}
	return nil
}

// detach detaches volumes, again after a while if Cinder refuses.
func (c *Cinder) detach(ctx context.Context, t *driver.Task, j *journal, ids []string, what string) error {
	for _, id := range ids {
		a := attachment{c: c, j: j, task: t, id: id}
		err := a.detach(ctx)
		switch {
		case err == nil:
		case errors.Is(err, ferric.ErrOutage):
			return err
		case passes(err):
			return c.pending(err)
		default:
			err = ferric.Errorf(ferric.ErrorCode(err), "%s %s: %w.", what, t.Node.UUID, err)
			if j.Attempts >= c.Retries {
				j.Attempts = 0 // for the next time that somebody asks
				return errors.Join(err, j.write(ctx))
			}
			j.Attempts++
			if err := j.write(ctx); err != nil {
				return err
			}
			return &driver.Pending{What: "another attempt to detach volume " + id, Poll: c.RetryInterval, Err: err}
		}
	}
	if j.Failed != "" || j.Attempts > 0 {
		j.Failed, j.Attempts = "", 0
		return j.write(ctx)
	}
	return nil
}

// passes reports whether an error may pass by itself: nobody answered.
func passes(err error) bool {
	return ferric.IsCode(err, ferric.CodeUnavailable) || ferric.IsCode(err, ferric.CodeTimeout)
}

// pending makes a step wait for Cinder. An outage of our own database is the runner's business.
func (c *Cinder) pending(err error) error {
	if errors.Is(err, ferric.ErrOutage) {
		return err
	}
	return &driver.Pending{What: "Cinder to answer again", Timeout: c.Outage, Err: err}
}

// attachment is the work on one volume.
type attachment struct {
	c        *Cinder
	j        *journal
	task     *driver.Task
	id       string
	target   *ferric.VolumeTarget // to attach
	to       Connector
	tolerant bool // failures to begin are no reason to stop
}

// server is the instance that Cinder is told.
func (a *attachment) server() string {
	if a.task.Node.InstanceID != "" {
		return a.task.Node.InstanceID
	}
	return a.task.Node.UUID
}

// mine is the volume's attachment to the task's machine, nil for none.
func (a *attachment) mine(v *Volume) *Attachment {
	return v.attachedTo(a.task.Node.InstanceID, a.task.Node.UUID)
}

func (a *attachment) get(ctx context.Context) (*Volume, error) {
	v, err := a.c.Client.Volume(ctx, a.id)
	if err != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "Failed to get volume %s from cinder for node %s: %w", a.id, a.task.Node.UUID, err)
	}
	return v, nil
}

// attach brings the volume to where it is attached.
func (a *attachment) attach(ctx context.Context) error {
	v, err := a.get(ctx)
	if err != nil {
		return err
	}
	if s := a.j.Volumes[a.id]; s == leaving || s == disconnected { // a detachment was interrupted: it comes first
		if err := a.detach(ctx); err != nil {
			return err
		}
		if v, err = a.get(ctx); err != nil {
			return err
		}
	}
	at, known := a.j.Volumes[a.id]
	switch {
	case a.mine(v) != nil && (!known || at == attached): // Nova's work, or done before
		return nil
	case a.mine(v) != nil:
		return a.finish(ctx)
	case v.Status == attaching && at.reserved():
	case v.free():
		if at, err = reserving, a.reserve(ctx); err != nil {
			return err
		}
	default:
		if err := a.j.drop(ctx, a.id); err != nil {
			return err
		}
		return ferric.Errorf(ferric.CodeConflict, "Failed to reserve volume %s for node %s: its status is %s, and must be available", a.id, a.task.Node.UUID, v.Status)
	}
	if at != joining {
		if err := a.connect(ctx); err != nil {
			return err
		}
	}
	if err := a.c.Client.Attach(ctx, a.id, a.server(), mountpoint); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Failed to inform cinder that the attachment for volume %s for node %s has been completed: %w", a.id, a.task.Node.UUID, err)
	}
	return a.finish(ctx)
}

// reserve reserves the volume, which is free.
func (a *attachment) reserve(ctx context.Context) error {
	if err := a.j.set(ctx, a.id, reserving); err != nil {
		return err
	}
	err := a.c.Client.Reserve(ctx, a.id)
	if err == nil {
		return nil
	}
	if !passes(err) { // it is not ours
		if err := a.j.drop(ctx, a.id); err != nil {
			return err
		}
	}
	return ferric.Errorf(ferric.ErrorCode(err), "Failed to reserve volume %s for node %s: %w", a.id, a.task.Node.UUID, err)
}

// connect exports the reserved volume and keeps how it is reached.
func (a *attachment) connect(ctx context.Context) error {
	if err := a.j.set(ctx, a.id, connecting); err != nil {
		return err
	}
	data, err := a.c.Client.Connect(ctx, a.id, a.to)
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Failed to initialize connection for volume %s to node %s: %w", a.id, a.task.Node.UUID, err)
	}
	if data["volume_id"] == nil {
		data["volume_id"] = a.id
	}
	data["ironic_volume_uuid"] = a.id
	changed, err := a.task.Volumes.UpdateVolumeTarget(ctx, a.target.UUID, func(v *ferric.VolumeTarget) error {
		v.Properties = data
		return nil
	})
	if err != nil {
		return err
	}
	*a.target = *changed
	return a.j.set(ctx, a.id, joining)
}

// finish notes that the volume is attached.
func (a *attachment) finish(ctx context.Context) error {
	a.annotate(ctx, "attached")
	a.task.Log.Info("volume attached", "volume", a.id)
	return a.j.set(ctx, a.id, attached)
}

// detach brings the volume to where it is neither attached nor reserved.
func (a *attachment) detach(ctx context.Context) error {
	v, err := a.get(ctx)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		a.task.Log.Warn("a volume that was to be detached is gone", "volume", a.id)
		return a.j.drop(ctx, a.id)
	}
	if err != nil {
		return err
	}
	at, known := a.j.Volumes[a.id]
	held := a.mine(v)
	switch {
	case held == nil && v.Status == attaching && at.reserved():
		return a.release(ctx, at)
	case held == nil && known && !at.reserved() && at != attached: // detached, and killed before it was noted
		a.annotate(ctx, "detached")
		fallthrough
	case held == nil:
		return a.j.drop(ctx, a.id)
	}
	if at != disconnected {
		if err := a.disconnect(ctx, v); err != nil {
			return err
		}
	}
	if err := a.c.Client.Detach(ctx, a.id, held.ID); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Failed to inform cinder that the detachment for volume %s from node %s has been completed: %w", a.id, a.task.Node.UUID, err)
	}
	a.annotate(ctx, "detached")
	a.task.Log.Info("volume detached", "volume", a.id)
	return a.j.drop(ctx, a.id)
}

// disconnect takes the way to the volume away from the machine.
func (a *attachment) disconnect(ctx context.Context, v *Volume) error {
	from, err := connector(a.task)
	if err != nil {
		return err
	}
	if err := a.j.set(ctx, a.id, leaving); err != nil {
		return err
	}
	if v.Status != detaching {
		if err := a.c.Client.BeginDetaching(ctx, a.id); err != nil {
			err = ferric.Errorf(ferric.ErrorCode(err), "Failed to request detach for volume %s from cinder for node %s: %w", a.id, a.task.Node.UUID, err)
			if !a.tolerant || passes(err) {
				return err
			}
			a.task.Log.Warn("the detachment goes on all the same", "error", err)
		}
	}
	if err := a.c.Client.Disconnect(ctx, a.id, from); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Failed to detach volume %s from node %s: %w", a.id, a.task.Node.UUID, err)
	}
	return a.j.set(ctx, a.id, disconnected)
}

// release gives a reservation back.
func (a *attachment) release(ctx context.Context, at stage) error {
	if at != reserving {
		from, err := connector(a.task)
		if err == nil {
			err = a.c.Client.Disconnect(ctx, a.id, from)
		}
		if err != nil {
			return ferric.Errorf(ferric.ErrorCode(err), "Failed to detach volume %s from node %s: %w", a.id, a.task.Node.UUID, err)
		}
		if err := a.j.set(ctx, a.id, reserving); err != nil {
			return err
		}
	}
	if err := a.c.Client.Unreserve(ctx, a.id); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Failed to give back the reservation of volume %s for node %s: %w", a.id, a.task.Node.UUID, err)
	}
	return a.j.drop(ctx, a.id)
}

// annotate helps people to see in Cinder who uses the volume. It is not vital.
func (a *attachment) annotate(ctx context.Context, action string) {
	text, err := json.Marshal(struct {
		Instance string `json:"instance_uuid"`
		Seen     string `json:"last_seen"`
		Action   string `json:"last_action"`
	}{a.server(), time.Now().UTC().Format("2006-01-02T15:04:05.000000"), action})
	if err == nil {
		err = a.c.Client.Annotate(ctx, a.id, map[string]string{"ironic_node_" + a.task.Node.UUID: string(text)})
	}
	if err != nil {
		a.task.Log.Warn("Failed to update volume metadata", "volume", a.id, "error", err)
	}
}
