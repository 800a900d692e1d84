package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sort"
	"strings"
	"time"

	"ferric"
)

// poll is how often a node is looked at.
const poll = 500 * time.Millisecond

// patience is how long Ferric may be out of reach while it works on a node.
const patience = time.Minute

// enrol registers the server: its BMC, and the card that it boots from.
func (d *demo) enrol(ctx context.Context, n *server) error {
	name := n.m.Name
	if n.start.force {
		if err := d.openstack(ctx, "baremetal", "node", "maintenance", "set", name); err != nil {
			return err
		}
	}
	if n.start.remove {
		if err := d.openstack(ctx, "baremetal", "node", "delete", name); err != nil {
			return err
		}
	}
	_, err := d.api.node(ctx, name)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		err = d.openstack(ctx, "baremetal", "node", "create", "--driver", "ipmi", "--name", name,
			"--driver-info", "ipmi_address="+n.m.BMC.Address, // its port is the usual one, 623
			"--driver-info", "ipmi_username="+n.m.BMC.User, "--driver-info", "ipmi_password="+n.m.BMC.Password,
			"--format", "value", "--column", "uuid")
	}
	if err != nil {
		return err
	}
	ports, err := d.api.ports(ctx, name)
	if err != nil || len(ports) > 0 {
		return err
	}
	have, err := d.api.node(ctx, name)
	if err != nil {
		return err
	}
	// The client's `port create` takes the UUID only.
	return d.openstack(ctx, "baremetal", "port", "create", "--node", have.UUID, n.m.NICs[0].MAC, "--format", "value", "--column", "address")
}

// commands are what one types to take a node through a stage that is a verb.
func (d *demo) commands(n *server, s stage) ([][]string, error) {
	name := n.m.Name
	var all [][]string
	add := func(args ...string) { all = append(all, append([]string{"openstack", "baremetal", "node"}, args...)) }
	if n.start.stage == s {
		if n.start.unset {
			add("maintenance", "unset", name)
		}
		if n.start.waiting {
			return all, nil
		}
		for _, verb := range n.start.verbs {
			add(verb, name)
		}
	}
	if s != deploy {
		add(s.info().verb, name)
		return all, nil
	}
	drive, err := configDrive(n.hostname, d.key)
	if err != nil {
		return nil, err
	}
	add("set", name, "--instance-info", "image_source=file://"+d.image)
	add("deploy", name, "--config-drive", drive)
	return all, nil
}

// announce shows what is about to be done with a node.
func (d *demo) announce(ctx context.Context, n *server, s stage) error {
	if s == undeploy {
		if err := d.showPartitions(ctx, n); err != nil && n.start.stage != undeploy { // else it may be half wiped
			return err
		}
	}
	if s.info().verb == "" {
		return nil
	}
	all, err := d.commands(n, s)
	for _, args := range all {
		d.command(args...)
	}
	if len(all) == 0 {
		d.screen.say("  %s is on its way already", n.m.Name)
	}
	return err
}

// verb gives the stage's verb and follows the node to the stage's goal.
func (d *demo) verb(ctx context.Context, n *server, s stage) error {
	all, err := d.commands(n, s)
	if err != nil {
		return err
	}
	return d.follow(ctx, n, s, func(ctx context.Context) error {
		for _, args := range all {
			if err := d.inside(ctx, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// configDrive is what the config drive is made of: host name and SSH key.
func configDrive(hostname, key string) (string, error) {
	b, err := json.Marshal(map[string]any{"meta_data": map[string]any{"hostname": hostname, "public_keys": map[string]string{"demo": key}}})
	return string(b), err
}

// follow shows how a node is doing until it reaches the stage's goal or fails. Meanwhile it runs ask, which gives the
// verb. The goal counts only after ask came back.
func (d *demo) follow(ctx context.Context, n *server, s stage, ask func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	asked := make(chan error, 1)
	go func() { asked <- ask(ctx) }()
	accepted := false
	defer func() {
		cancel()
		if !accepted {
			<-asked
		}
	}()
	var first progress // what was there before the verb is no news
	began, answered := time.Now(), time.Now()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		now, op, err := d.look(ctx, n)
		switch {
		case err == nil:
			answered = time.Now()
			step, waits := op.step()
			p := progress{Node: n.m.Name, State: now.shown(), Step: step, Waits: waits, Percent: -1, Elapsed: time.Since(began)}
			log := readConsole(n.m.Log())
			if n.m.On() {
				p.Console = log.last()
			}
			if step == "write_image" {
				p.Percent = max(0, log.written())
			}
			if first.Node == "" {
				first = p
			}
			if accepted || p.key() != first.key() {
				d.screen.show(p)
			}
		case !away(err) || time.Since(answered) > patience:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if accepted && err == nil {
			switch s.judge(now) {
			case reached:
				return nil
			case failed:
				return verdictError(now)
			}
		}
		wait := asked
		if accepted {
			wait = nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-wait:
			accepted = true
			if err != nil {
				return err
			}
		case <-ticker.C:
		}
	}
}

// look asks for a node and its newest operation.
func (d *demo) look(ctx context.Context, n *server) (node, operation, error) {
	now, err := d.api.node(ctx, n.m.Name)
	if err != nil {
		return node{}, operation{}, err
	}
	op, err := d.api.operation(ctx, n.m.Name)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		err = nil
	}
	return now, op, err
}

// shown is the node's state for people.
func (n node) shown() string {
	if n.Maintenance {
		return n.ProvisionState + ", maintenance"
	}
	return n.ProvisionState
}

// verdictError says why a node did not get where it should.
func verdictError(n node) error {
	why := n.LastError
	if why == "" {
		why = n.MaintReason
	}
	if why == "" {
		why = "no last_error"
	}
	return fmt.Errorf("the node is %q: %s", n.shown(), why)
}

// afterwards shows what a stage has brought about.
func (d *demo) afterwards(ctx context.Context, s stage, here []*server) error {
	if s != inspect {
		return nil
	}
	for _, n := range here {
		now, err := d.api.node(ctx, n.m.Name)
		if err != nil {
			return fail(s.info().name, n.m.Name, err)
		}
		d.screen.say("  %s has: %s", n.m.Name, facts(now))
	}
	return nil
}

// facts is what inspection found, in one line.
func facts(n node) string {
	var all []string
	for key, value := range n.Properties {
		if key != "capabilities" {
			all = append(all, fmt.Sprintf("%s=%v", key, value))
		}
	}
	sort.Strings(all)
	if capabilities, _ := n.Properties["capabilities"].(string); capabilities != "" {
		all = append(all, capabilities)
	}
	return strings.Join(all, " ")
}

// undeploy takes the node back and shows that the disk is wiped.
func (d *demo) undeploy(ctx context.Context, n *server) error {
	if err := d.verb(ctx, n, undeploy); err != nil {
		return err
	}
	if err := d.showPartitions(ctx, n); err == nil {
		return errors.New("the disk still has partitions")
	}
	if err := checkWiped(n.m.Disk(0)); err != nil {
		return err
	}
	d.screen.say("  %s: the disk is wiped: its first and last %d MiB hold zeros only", n.m.Name, diskEdge>>20)
	return nil
}

// showPartitions lists the partitions on the server's disk. It is an error if there are none.
func (d *demo) showPartitions(ctx context.Context, n *server) error {
	args := []string{"partx", "--show", d.relative(n.m.Disk(0))}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	d.screen.done(ran{commandLine(d.cwd, args), string(out)})
	if err != nil {
		return fmt.Errorf("list the partitions: %w: %s", err, out)
	}
	return nil
}
