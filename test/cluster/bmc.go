package cluster

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"ferric/lab/bmc"
)

// Machine is a machine behind a BMC that speaks IPMI on the BMC network. All that it can do is be on or off.
type Machine struct {
	server *bmc.Server
	port   int

	mu      sync.Mutex
	on      bool
	changes int
}

// Machines makes machines, each with a BMC. The function that is returned ends them.
func (c *Cluster) Machines(ctx context.Context, count int) (all []*Machine, end func(), err error) {
	host, err := c.host(ctx, "bmcs", bmcs, BMC)
	if err != nil {
		return nil, nil, err
	}
	end = func() {
		for _, m := range all {
			m.server.Close()
		}
	}
	for i := range count {
		m := &Machine{port: 6230 + i}
		host.inside(func() { // a socket belongs to the namespace that it was made in
			m.server, err = bmc.Start(m, bmc.Options{Address: fmt.Sprintf("%s:%d", address(BMC, bmcs), m.port),
				Users: []bmc.User{{Name: "admin", Password: "secret-word"}}})
		})
		if err != nil {
			end()
			return nil, nil, err
		}
		all = append(all, m)
	}
	return all, end, nil
}

// State returns whether the machine is on, and how often that has changed.
func (m *Machine) State() (on bool, changes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on, m.changes
}

func (m *Machine) set(on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on != on {
		m.on = on
		m.changes++
	}
	return nil
}

// PowerState implements bmc.Chassis.
func (m *Machine) PowerState(context.Context) (bool, error) {
	on, _ := m.State()
	return on, nil
}

// PowerOn implements bmc.Chassis.
func (m *Machine) PowerOn(context.Context) error { return m.set(true) }

// PowerOff implements bmc.Chassis.
func (m *Machine) PowerOff(context.Context) error { return m.set(false) }

// SoftOff implements bmc.Chassis.
func (m *Machine) SoftOff(context.Context) error { return m.set(false) }

// Reset implements bmc.Chassis.
func (*Machine) Reset(context.Context) error { return nil }

// NMI implements bmc.Chassis.
func (*Machine) NMI(context.Context) error { return nil }

// EnrollMachine makes a node of a machine and takes it to manageable.
func (c *Client) EnrollMachine(ctx context.Context, m *Machine) (*Node, error) {
	n, err := c.EnrollAs(ctx, map[string]any{"driver": "ipmi", "driver_info": map[string]any{"ipmi_address": address(BMC, bmcs), "ipmi_port": m.port,
		"ipmi_username": "admin", "ipmi_password": "secret-word"}})
	if err != nil {
		return nil, err
	}
	_, err = c.move(ctx, n, "manage", "enroll", "manageable", "verifying")
	return n, err
}

// Power asks for a power state, "power on" or "power off", and waits until the node has it.
func (c *Client) Power(ctx context.Context, n *Node, target string) error {
	for deadline := time.Now().Add(Patience); ; {
		err := c.Do(ctx, http.MethodPut, "/v1/nodes/"+n.UUID+"/states/power", map[string]any{"target": target}, nil)
		if code := status(err); err == nil || code != 0 && code < 500 && code != http.StatusConflict {
			if err != nil {
				return fmt.Errorf("node %s: %s: %w: %w", n.UUID, target, ErrFailed, err)
			}
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("node %s: %s: %w: no request was taken for %s: %w", n.UUID, target, ErrStuck, Patience, err)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(Patience); ; {
		now, err := c.look(ctx, n)
		switch {
		case err != nil:
			return fmt.Errorf("node %s: %s: %w", n.UUID, target, err)
		case now.Error != "" || now.Maintenance:
			return fmt.Errorf("node %s: %s: %w: %+v", n.UUID, target, ErrFailed, *now)
		case now.Power == target && now.TargetPower == "":
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("node %s: %s: %w: %+v", n.UUID, target, ErrStuck, *now)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}
