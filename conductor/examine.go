package conductor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/rpc"
)

// How machines are asked in an examination.
const (
	examineWithin  = 20 * time.Second
	examinePatient = 8 * time.Second // with one machine
	examineWorkers = 64
	examineAtOnce  = 500 // nodes that are read together
)

// examination is one under way.
type examination struct {
	c *Conductor

	mu      sync.Mutex
	found   rpc.Examination
	skipped int
}

func (e *examination) add(f ferric.Finding) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.Conductor = e.c.Host
	e.found.Findings = append(e.found.Findings, f)
}

// examine looks at what the database does not know: files, disks, and machines if asked for.
func (c *Conductor) examine(ctx context.Context, a rpc.ExamineArgs) (*rpc.Examination, error) {
	e := &examination{c: c, found: rpc.Examination{Host: c.Host, Now: time.Now(), Findings: []ferric.Finding{}}}
	if a.Within <= 0 || a.Within > examineWithin {
		a.Within = examineWithin
	}
	if c.Local != nil && len(a.Nodes) == 0 {
		for _, f := range c.Local(ctx) {
			e.add(f)
		}
	}
	asking, cancel := context.WithTimeout(driver.WithBackground(ctx), a.Within)
	defer cancel()
	work := make(chan *ferric.Node)
	var workers sync.WaitGroup
	if a.Hardware {
		for range examineWorkers {
			workers.Go(func() {
				for n := range work {
					e.machine(asking, n)
				}
			})
		}
	}
	err := c.eachOwned(ctx, a.Nodes, func(n *ferric.Node) {
		e.ramdisk(n)
		if !a.Hardware || n.ProvisionState == ferric.Enroll || n.ProvisionState == ferric.Verifying {
			return
		}
		select {
		case work <- n:
		case <-asking.Done():
			e.skip()
		}
	})
	if err == nil {
		err = e.strays(asking, a.Nodes)
	}
	close(work)
	workers.Wait()
	if err != nil {
		return nil, err
	}
	if e.skipped > 0 {
		e.found.Unseen = append(e.found.Unseen, fmt.Sprintf("%s: %d machines could not be asked within %s", c.Host, e.skipped, a.Within))
	}
	return &e.found, nil
}

func (e *examination) skip() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.skipped++
}

func (e *examination) unseen(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.found.Unseen = append(e.found.Unseen, what)
}

// eachOwned calls do for the nodes that this conductor serves.
func (c *Conductor) eachOwned(ctx context.Context, only []string, do func(*ferric.Node)) error {
	filter, page := ferric.NodeFilter{UUIDs: only, IncludeChildren: true}, ferric.Page{Limit: examineAtOnce}
	for {
		nodes, err := c.Store.Nodes(ctx, filter, page)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if c.ownsNode(n.UUID, n.ConductorGroup, n.Driver) {
				do(n)
			}
		}
		if len(nodes) < page.Limit {
			return nil
		}
		page.Marker = nodes[len(nodes)-1].UUID
	}
}

// ramdisk looks whether a node has a ramdisk to boot. Interfaces that boot none do not need one.
func (e *examination) ramdisk(n *ferric.Node) {
	if name := n.Interfaces[ferric.KindBoot]; name == "" || strings.HasPrefix(name, "fake") || n.ProvisionState == ferric.Enroll {
		return
	}
	boot := e.c.ramdiskFor(n, driver.ForProvisioning)
	for what, source := range map[string]string{"kernel": boot.Kernel, "ramdisk": boot.Ramdisk} {
		f := ferric.Finding{Code: "no-ramdisk", Severity: ferric.FindingError, Node: n.UUID, NodeName: n.Name,
			Do: "ferric ramdisk build, or set boot.deploy_" + what + ", or: openstack baremetal node set --driver-info deploy_" + what + "=URL"}
		path, local := strings.TrimPrefix(source, "file://"), filepath.IsAbs(strings.TrimPrefix(source, "file://"))
		switch _, err := os.Stat(path); {
		case source == "":
			f.What, f.Why = "the node has no deploy "+what+" to boot", "neither the node nor the configuration names one"
		case local && errors.Is(err, fs.ErrNotExist):
			f.What, f.Why = "the deploy "+what+" of the node does not exist: "+source, "the file is not on this host"
		default:
			continue
		}
		e.add(f)
	}
}

// machine compares what is on record of a machine with what its BMC says.
func (e *examination) machine(ctx context.Context, n *ferric.Node) {
	if ctx.Err() != nil {
		e.skip()
		return
	}
	t, err := e.c.looseTask(ctx, n)
	begin := func(code string, severity ferric.Severity) ferric.Finding {
		return ferric.Finding{Code: code, Severity: severity, Node: n.UUID, NodeName: n.Name, Since: n.UpdatedAt}
	}
	if err != nil {
		if ctx.Err() != nil {
			e.skip()
			return
		}
		f := begin("interfaces", ferric.FindingError)
		f.What, f.Why, f.Do = "the node's interfaces cannot be used here", err.Error(), "openstack baremetal node validate "+n.UUID
		e.add(f)
		return
	}
	asking, cancel := context.WithTimeout(ctx, examinePatient)
	defer cancel()
	power, err := t.Set.Power().PowerState(asking, t.Machine)
	switch {
	case err != nil && ctx.Err() != nil:
		e.skip()
		return
	case err != nil && n.Fault == ferric.FaultPower: // the database knows
		return
	case err != nil:
		f := begin("bmc-silent", ferric.FindingError)
		f.What, f.Why = "the BMC does not answer", err.Error()
		f.Do = "look at its address, credentials and network: openstack baremetal node validate " + n.UUID
		e.add(f)
		return
	case power != n.PowerState && n.TargetPowerState == "" && n.Reservation == "" && e.still(ctx, n):
		f := begin("power-differs", ferric.FindingWarning)
		f.What = fmt.Sprintf("the machine is %q, and on record it is %q", power, n.PowerState)
		f.Why = "somebody else switched it, or the record was restored from a backup"
		f.Do = "nothing if it is right so: the next power sync records it; else: openstack baremetal node power on|off " + n.UUID
		e.add(f)
	}
	e.bootDevice(asking, t)
}

// still reports whether nothing was done to a node since it was listed: only then does a difference mean something.
func (e *examination) still(ctx context.Context, n *ferric.Node) bool {
	now, err := e.c.Store.Node(ctx, n.UUID)
	return err == nil && now.Version == n.Version && now.Reservation == ""
}

// bootDevice looks whether a deployed machine would boot from the network for ever.
func (e *examination) bootDevice(ctx context.Context, t *driver.Task) {
	n := t.Node
	if n.ProvisionState != ferric.Active || n.Interfaces[ferric.KindDeploy] != "direct" {
		return
	}
	set, err := t.Set.Management().BootDevice(ctx, t.Machine)
	if err != nil || set.Device == "" || set.Device == ferric.BootDisk || set.Persistent == nil || !*set.Persistent || !e.still(ctx, n) {
		return
	}
	e.add(ferric.Finding{Code: "boot-device-differs", Severity: ferric.FindingWarning, Node: n.UUID, NodeName: n.Name,
		What: fmt.Sprintf("the machine has a deployed system on its disk, and boots from %q every time", set.Device),
		Why:  "somebody else changed its boot device, or the BMC forgot it", Do: "openstack baremetal node boot device set --persistent " + n.UUID + " disk"})
}
