package clean

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ferric"
	"ferric/agent/command"
	"ferric/agent/disk"
	"ferric/agent/inventory"
	"ferric/agentapi"
)

// Cleaner erases disks.
type Cleaner struct {
	Disks     func() []inventory.Disk
	Open      func(name string) (disk.Device, error)
	Rescan    func(ctx context.Context, name string) error
	StopArray func(name string) error
	ATA       func(name string) (disk.ATA, func() error, error)
	NVMe      func(name string) (disk.NVMe, func() error, error)
}

// Run is one cleaning step's surroundings.
type Run struct {
	Options  Options
	Log      *slog.Logger
	Progress func(agentapi.Progress)
}

// Metadata erases partition tables and superblocks of all disks (erase_devices_metadata).
func (c *Cleaner) Metadata(ctx context.Context, r Run) error {
	return c.each(ctx, r, "erase metadata", false, func(ctx context.Context, d inventory.Disk, _ func(int64, int64)) error {
		return c.wipe(ctx, r, d)
	})
}

// Express erases NVMe drives by their own command and the metadata of all others (erase_devices_express).
func (c *Cleaner) Express(ctx context.Context, r Run) error {
	return c.each(ctx, r, "express erase", false, func(ctx context.Context, d inventory.Disk, _ func(int64, int64)) error {
		if r.Options.NVMe && isNVMe(d) {
			done, err := c.nvme(d, r)
			if done {
				return nil
			}
			if err != nil {
				r.Log.Warn("drive's own erase failed, its metadata is erased instead", "disk", d.Name, "err", err)
			}
		}
		return c.wipe(ctx, r, d)
	})
}

// All erases everything on all disks (erase_devices).
func (c *Cleaner) All(ctx context.Context, r Run) error {
	return c.each(ctx, r, "erase", true, func(ctx context.Context, d inventory.Disk, progress func(int64, int64)) error {
		done, err := c.secure(d, r)
		if done {
			return nil
		}
		if err != nil {
			if !r.Options.OverwriteIfFail {
				return ferric.Errorf(ferric.ErrorCode(err), "%w (overwriting it instead is not enabled: continue_if_secure_erase_failed)", err)
			}
			r.Log.Warn("drive's own erase failed, it is overwritten", "disk", d.Name, "err", err)
		}
		dev, err := c.Open(d.Name)
		if err != nil {
			return err
		}
		defer dev.Close() // Overwrite has flushed it
		r.Log.Info("overwriting", "disk", d.Name, "passes", r.Options.Passes, "zeros", r.Options.Zeroize, "bytes", dev.Size())
		return disk.Overwrite(ctx, dev, r.Options.Passes, r.Options.Zeroize, progress)
	})
}

func isNVMe(d inventory.Disk) bool { return strings.HasPrefix(d.Kernel, "nvme") }

// secure lets the drive erase itself if it can and may.
func (c *Cleaner) secure(d inventory.Disk, r Run) (bool, error) {
	switch {
	case isNVMe(d):
		if r.Options.NVMe {
			return c.nvme(d, r)
		}
	case r.Options.ATA && (d.Tran == "sata" || d.Tran == "sas" || strings.HasPrefix(d.Kernel, "sd")):
		a, closer, err := c.ATA(d.Name)
		if err != nil {
			return false, err
		}
		defer closer() // opened for ioctls only
		done, err := disk.ATAErase(a, d.Name)
		if done {
			r.Log.Info("erased by ATA secure erase", "disk", d.Name)
		}
		return done, err
	}
	return false, nil
}

func (c *Cleaner) nvme(d inventory.Disk, r Run) (bool, error) {
	n, closer, err := c.NVMe(d.Name)
	if err != nil {
		return false, err
	}
	defer closer() // opened for ioctls only
	done, err := disk.NVMeErase(n, d.Name)
	if done {
		r.Log.Info("erased by NVMe format", "disk", d.Name)
	}
	return done, err
}

func (c *Cleaner) wipe(ctx context.Context, r Run, d inventory.Disk) error {
	dev, err := c.Open(d.Name)
	if err != nil {
		return err
	}
	known := make([]disk.Region, len(d.Partitions))
	for i, p := range d.Partitions {
		known[i] = disk.Region{Number: p.Number, Offset: p.Start, Size: p.Size}
	}
	err = disk.WipeMetadata(ctx, dev, known)
	if cerr := dev.Close(); err == nil && cerr != nil {
		err = ferric.Errorf(ferric.CodeUnavailable, "close %s: %w", d.Name, cerr)
	}
	if err == nil {
		r.Log.Info("metadata erased", "disk", d.Name, "partitions", len(known))
	}
	return err
}

// each chooses the disks, deals with arrays, and runs erase on several disks at once. All disks are tried; the error
// names those that failed. strict makes a read-only disk an error unless the node says otherwise.
func (c *Cleaner) each(ctx context.Context, r Run, phase string, strict bool, erase func(context.Context, inventory.Disk, func(int64, int64)) error) error {
	disks, err := c.choose(r, strict)
	if err != nil {
		return err
	}
	if err := c.guard(r, disks); err != nil {
		return err
	}
	var arrays, plain []inventory.Disk
	for _, d := range disks {
		if d.MD {
			arrays = append(arrays, d)
		} else {
			plain = append(plain, d)
		}
	}
	t := newTally(r, phase, len(disks))
	t.run(ctx, r, arrays, erase)
	if !r.Options.KeepRAID {
		for _, d := range arrays { // their content is erased; now their members can be
			if err := c.StopArray(d.Name); err != nil {
				t.fail(d.Name, err)
			}
		}
	}
	t.run(ctx, r, plain, erase)
	for _, d := range plain {
		if err := c.Rescan(ctx, d.Name); err != nil {
			r.Log.Warn("the kernel keeps its old view of the disk", "disk", d.Name, "err", err)
		}
	}
	return t.err()
}

// choose lists the disks to erase.
func (c *Cleaner) choose(r Run, strict bool) ([]inventory.Disk, error) {
	all := c.Disks()
	members := map[string]string{}
	for _, d := range all {
		for _, m := range d.Members {
			members[m] = d.Name
		}
	}
	var out []inventory.Disk
	for _, d := range all {
		why := ""
		switch {
		case r.Options.Skips(d.BlockDevice):
			why = "it is in properties.skip_block_devices"
		case d.Removable:
			why = "its medium is removable"
		case r.Options.KeepRAID && isMember(d, members):
			why = "it is a member of a software RAID that target_raid_config keeps"
		case d.ReadOnly && strict && !r.Options.SkipReadOnly:
			return nil, command.Failf(agentapi.TypeBlockDeviceErase, "the disk %s is read-only; take it out, list it in properties.skip_block_devices, or allow erase_skip_read_only", d.Name)
		case d.ReadOnly:
			why = "it is read-only"
		}
		if why != "" {
			r.Log.Info("disk is not erased", "disk", d.Name, "because", why)
			continue
		}
		out = append(out, d)
	}
	return out, nil
}

func isMember(d inventory.Disk, members map[string]string) bool {
	if members[d.Kernel] != "" {
		return true
	}
	for _, p := range d.Partitions {
		if members[p.Kernel] != "" {
			return true
		}
	}
	return false
}

// guard looks at all disks before the first one is touched.
func (c *Cleaner) guard(r Run, disks []inventory.Disk) error {
	if !r.Options.Guard {
		return nil
	}
	for _, d := range disks {
		dev, err := c.Open(d.Name)
		if ferric.IsCode(err, ferric.CodeConflict) { // a member of an array: looked at through the array
			continue
		}
		if err != nil {
			return command.Failf(agentapi.TypeBlockDeviceErase, "%w", err)
		}
		what := disk.Protected(dev)
		_ = dev.Close() // nothing was written
		if what != "" {
			return command.Failf(agentapi.TypeProtectedDevice, "%s found on %s; several machines may be using it. Detach it, list it in properties.skip_block_devices, "+
				"or set driver_info/wipe_special_filesystems to true to erase it", what, d.Name)
		}
	}
	return nil
}

// tally adds up progress and failures of disks that are erased side by side.
type tally struct {
	phase    string
	progress func(agentapi.Progress)

	mu          sync.Mutex
	done, total map[string]int64
	finished    int
	disks       int
	failed      map[string]error
	told        time.Time
	log         *slog.Logger
}

func newTally(r Run, phase string, disks int) *tally {
	return &tally{phase: phase, progress: r.Progress, log: r.Log, disks: disks, done: map[string]int64{}, total: map[string]int64{}, failed: map[string]error{}}
}

func (t *tally) run(ctx context.Context, r Run, disks []inventory.Disk, erase func(context.Context, inventory.Disk, func(int64, int64)) error) {
	var g errgroup.Group
	g.SetLimit(r.Options.Concurrency)
	for _, d := range disks {
		g.Go(func() error {
			err := erase(ctx, d, func(done, total int64) { t.update(d.Name, done, total) })
			t.mu.Lock()
			t.finished++
			t.mu.Unlock()
			if err != nil {
				t.fail(d.Name, err)
			}
			t.update(d.Name, 0, 0)
			return nil
		})
	}
	_ = g.Wait() // failures are in the tally
}

func (t *tally) fail(name string, err error) {
	t.log.Error("disk not erased", "disk", name, "err", err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed[name] = err
}

func (t *tally) update(name string, done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if total > 0 {
		t.done[name], t.total[name] = done, total
	}
	p := agentapi.Progress{Phase: t.phase, Message: fmt.Sprintf("%d of %d disks done", t.finished, t.disks)}
	for n := range t.total {
		p.Done += t.done[n]
		p.Total += t.total[n]
	}
	t.progress(p)
	if time.Since(t.told) > 10*time.Second && p.Total > 0 {
		t.told = time.Now()
		t.log.Info(t.phase, "percent", p.Percent(), "disks", p.Message)
	}
}

func (t *tally) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failed) == 0 {
		return nil
	}
	names := make([]string, 0, len(t.failed))
	for n := range t.failed {
		names = append(names, n)
	}
	sort.Strings(names)
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = n + ": " + t.failed[n].Error()
	}
	return command.Failf(agentapi.TypeBlockDeviceErase, "%d of %d disks failed: %s", len(names), t.disks, strings.Join(parts, "; "))
}
