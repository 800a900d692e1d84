package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Node is a node as its user sees it, and what the user has done with it.
type Node struct {
	UUID    string
	Deploys int // that were asked for, and ended well
	Cleans  int
	Took    Took
}

// Took is how long a node's deploys and cleans took, from the request to the state that was wanted.
type Took struct{ Deploys, Cleans []time.Duration }

// The ways in which work on a node goes wrong.
var (
	ErrFailed = errors.New("failed")
	ErrStuck  = errors.New("stuck")
)

// view is what a user looks at.
type view struct {
	State       string `json:"provision_state"`
	Target      string `json:"target_provision_state"`
	Error       string `json:"last_error"`
	Reservation string `json:"reservation"`
	Maintenance bool   `json:"maintenance"`
	Reason      string `json:"maintenance_reason"`
	Power       string `json:"power_state"`
	TargetPower string `json:"target_power_state"`
	Updated     string `json:"provision_updated_at"`
	DeployStep  any    `json:"deploy_step"`
	CleanStep   any    `json:"clean_step"`
}

// Patience is how long a node may stay as it is before it counts as stuck.
const Patience = 2 * time.Minute

// pause is the time between two looks at a node.
const pause = 200 * time.Millisecond

// Enroll makes a node of fake hardware, which is enrolled.
func (c *Client) Enroll(ctx context.Context) (*Node, error) {
	return c.EnrollAs(ctx, map[string]any{"driver": "fake-hardware"})
}

// EnrollAs makes a node with these fields.
func (c *Client) EnrollAs(ctx context.Context, fields map[string]any) (*Node, error) {
	n := &Node{UUID: uuid.NewString()}
	fields["uuid"] = n.UUID
	for {
		err := c.Do(ctx, http.MethodPost, "/v1/nodes", fields, nil)
		switch {
		case err == nil, status(err) == http.StatusConflict && strings.Contains(err.Error(), "already exists"):
			return n, nil
		case status(err) >= 500, errors.Is(err, errBroken):
			if err := wait(ctx, pause); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("create a node: %w", err)
		}
	}
}

// Provide takes an enrolled node to available. The clean on the way counts.
func (c *Client) Provide(ctx context.Context, n *Node) error {
	if _, err := c.move(ctx, n, "manage", "enroll", "manageable", "verifying"); err != nil {
		return err
	}
	took, err := c.move(ctx, n, "provide", "manageable", "available", "cleaning", "clean wait")
	if err == nil {
		n.Cleans++
		n.Took.Cleans = append(n.Took.Cleans, took)
	}
	return err
}

// Deploy deploys an available node.
func (c *Client) Deploy(ctx context.Context, n *Node) error {
	took, err := c.move(ctx, n, "active", "available", "active", "deploying", "wait call-back")
	if err == nil {
		n.Deploys++
		n.Took.Deploys = append(n.Took.Deploys, took)
	}
	return err
}

// Undeploy takes the instance off a node and waits until the node is cleaned and available.
func (c *Client) Undeploy(ctx context.Context, n *Node) error {
	took, err := c.move(ctx, n, "deleted", "active", "available", "deleting", "cleaning", "clean wait")
	if err == nil {
		n.Cleans++
		n.Took.Cleans = append(n.Took.Cleans, took)
	}
	return err
}

// move asks for a provision state and waits until the node is there. Any state but from, want and those between is a failure.
func (c *Client) move(ctx context.Context, n *Node, target, from, want string, between ...string) (time.Duration, error) {
	began := time.Now()
	if err := c.ask(ctx, n, target, from); err != nil {
		return 0, fmt.Errorf("node %s: %s: %w", n.UUID, target, err)
	}
	var last view
	changed := time.Now()
	for {
		now, err := c.look(ctx, n)
		if err != nil {
			return 0, fmt.Errorf("node %s: %s: %w", n.UUID, target, err)
		}
		switch {
		case now.State == want && now.Reservation == "" && now.Target == "":
			return time.Since(began), nil
		case now.Maintenance, now.State != from && now.State != want && !slices.Contains(between, now.State):
			return 0, fmt.Errorf("node %s: %s: %w: %+v", n.UUID, target, ErrFailed, *now)
		}
		if comparable(*now) != comparable(last) {
			last, changed = *now, time.Now()
		}
		if time.Since(changed) > Patience {
			return 0, fmt.Errorf("node %s: %s: %w for %s: %+v", n.UUID, target, ErrStuck, Patience, *now)
		}
		if err := wait(ctx, pause); err != nil {
			return 0, err
		}
	}
}

func comparable(v view) string { return fmt.Sprintf("%+v", v) }

// ask asks for a provision state until it is sure that this was heard.
func (c *Client) ask(ctx context.Context, n *Node, target, from string) error {
	for deadline := time.Now().Add(Patience); ; {
		err := c.Do(ctx, http.MethodPut, "/v1/nodes/"+n.UUID+"/states/provision", map[string]any{"target": target}, nil)
		if err == nil {
			return nil
		}
		code := status(err)
		if ctx.Err() != nil || code == 0 && !errors.Is(err, errBroken) {
			return err
		}
		now, lookErr := c.look(ctx, n)
		if lookErr != nil {
			return lookErr
		}
		switch {
		case now.State != from: // an earlier try was heard
			return nil
		case code >= 400 && code < 500 && code != http.StatusConflict:
			return fmt.Errorf("%w: %w", ErrFailed, err)
		case time.Now().After(deadline):
			return fmt.Errorf("%w: no request was taken for %s: %w", ErrStuck, Patience, err)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// look reads a node, whatever it takes.
func (c *Client) look(ctx context.Context, n *Node) (*view, error) {
	for deadline := time.Now().Add(Patience); ; {
		v := &view{}
		err := c.Do(ctx, http.MethodGet, "/v1/nodes/"+n.UUID, nil, v)
		if err == nil {
			return v, nil
		}
		if ctx.Err() != nil || status(err) < 500 {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w: the node could not be read for %s: %w", ErrStuck, Patience, err)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
