package storage

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"ferric"
	"ferric/driver"
)

// stage is how far Ferric is with a volume. It is written before what it names is begun, but for attached and terminated.
type stage string

const (
	reserving    stage = "reserving"
	connecting   stage = "connecting"
	joining      stage = "attaching" // it is reserved and connected, and the target says how it is reached
	attached     stage = "attached"
	leaving      stage = "detaching"
	disconnected stage = "terminated" // only the attachment is left
)

// reserved reports whether the stage is one of a volume whose reservation is ours.
func (s stage) reserved() bool { return s == reserving || s == connecting || s == joining }

// journal is what Ferric knows of a node's volumes beyond what Cinder tells.
type journal struct {
	Volumes map[string]stage `json:"volumes,omitempty"` // by Cinder's id
	// Of the step under way: why it failed, and how often what clears up was tried.
	Step     string `json:"step,omitempty"`
	Failed   string `json:"failed,omitempty"`
	Attempts int    `json:"attempts,omitempty"`

	task *driver.Task
}

const journalName = "cinder"

// open reads the journal of a task's node.
func open(ctx context.Context, t *driver.Task) (*journal, error) {
	data, err := t.States.DriverState(ctx, t.Node.UUID, journalName)
	if err != nil {
		return nil, err
	}
	j := &journal{task: t}
	if len(data) > 0 {
		if err := json.Unmarshal(data, j); err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "journal of the volumes of node %s: %w", t.Node.UUID, err)
		}
	}
	if j.Volumes == nil {
		j.Volumes = map[string]stage{}
	}
	if step := t.Flow.Op.ID + "/" + t.Flow.Step.Name; j.Step != step {
		j.Step, j.Failed, j.Attempts = step, "", 0
	}
	return j, nil
}

// write makes the journal durable. One that says nothing is removed.
func (j *journal) write(ctx context.Context) error {
	var data []byte
	if len(j.Volumes) > 0 || j.Failed != "" || j.Attempts > 0 {
		var err error
		if data, err = json.Marshal(j); err != nil {
			return ferric.Errorf(ferric.CodeInternal, "journal of the volumes of node %s: %w", j.task.Node.UUID, err)
		}
	}
	return j.task.States.SetDriverState(ctx, j.task.Node.UUID, journalName, data)
}

// set notes a volume's stage.
func (j *journal) set(ctx context.Context, volume string, s stage) error {
	if j.Volumes[volume] == s {
		return nil
	}
	j.Volumes[volume] = s
	return j.write(ctx)
}

// drop forgets a volume.
func (j *journal) drop(ctx context.Context, volume string) error {
	if _, ok := j.Volumes[volume]; !ok {
		return nil
	}
	delete(j.Volumes, volume)
	return j.write(ctx)
}

// volumes are those of the journal, sorted.
func (j *journal) volumes() []string { return slices.Sorted(maps.Keys(j.Volumes)) }
