package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ferric"
	"ferric/lab"
	"ferric/lab/userimage"
)

// buildRamdisk builds the deploy ramdisk, unless the one there is of the same programs.
func (d *demo) buildRamdisk(ctx context.Context) error {
	d.screen.heading("The deploy ramdisk: Debian's kernel and Ferric's agent")
	out, stamp := d.path("data", "ramdisk"), d.path("ramdisk.sum")
	args := []string{d.ferric, "ramdisk", "build", "--out", d.relative(out)}
	d.command(args...)
	sum, err := digest(d.ferric, agentProgram)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(stamp); err == nil && string(old) == sum && exist(filepath.Join(out, "kernel"), filepath.Join(out, "initramfs")) {
		d.screen.say("  up to date")
		return nil
	}
	text, err := d.watched(ctx, "ramdisk", "building", args...)
	if err != nil {
		return err
	}
	d.screen.output(d.short(text))
	return os.WriteFile(stamp, []byte(sum), 0o644)
}

// watched runs a command that may take a while, and shows for how long it has been running. It returns what it wrote.
func (d *demo) watched(ctx context.Context, what, state string, args ...string) (string, error) {
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	began := time.Now()
	done := make(chan error, 1)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	go func() { done <- cmd.Wait() }()
	defer d.screen.settle()
	for {
		d.screen.show(progress{Node: what, State: state, Percent: -1, Elapsed: time.Since(began)})
		select {
		case err := <-done:
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			if err != nil {
				return "", fmt.Errorf("%s: %w: %s", strings.Join(args[:min(3, len(args))], " "), err, strings.TrimSpace(problems.String()))
			}
			return out.String(), nil
		case <-time.After(time.Second):
		}
	}
}

// digest is one checksum over several files.
func digest(paths ...string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func exist(paths ...string) bool {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}

// buildImage builds the Debian image, or takes it from the cache, and puts it where Ferric may read images from.
func (d *demo) buildImage(ctx context.Context) error {
	d.screen.heading("The image to deploy: Debian 12, made of Debian's packages")
	images := d.path("data", "user-images")
	d.command(d.ferric, "lab", "image", "--out", d.relative(images))
	image, err := d.debian(ctx)
	if err != nil {
		return err
	}
	d.image = filepath.Join(images, filepath.Base(image.QCOW2))
	info, err := os.Stat(image.QCOW2)
	if err != nil {
		return err
	}
	have, err := os.ReadFile(d.image + ".sha256")
	copied, statErr := os.Stat(d.image)
	if err != nil || statErr != nil || copied.Size() != info.Size() || !strings.HasPrefix(string(have), image.QCOW2SHA256) {
		// The checksum is copied last, so a copy that was interrupted is not taken for whole.
		if err := os.RemoveAll(d.image + ".sha256"); err != nil {
			return err
		}
		if _, err := image.CopyTo(ctx, images); err != nil {
			return err
		}
	}
	d.screen.say("  %s  %d MiB, a disk of %d MiB, built %s", d.relative(d.image), info.Size()>>20, image.Size>>20, image.Built.Local().Format("2006-01-02 15:04"))
	return nil
}

// debian builds the image and shows how far it is.
func (d *demo) debian(ctx context.Context) (userimage.Image, error) {
	type result struct {
		image userimage.Image
		err   error
	}
	steps, done := make(chan string, 16), make(chan result, 1)
	began := time.Now()
	go func() {
		image, err := userimage.Build(ctx, userimage.Recipe{}, userimage.Options{Progress: func(step string, _ time.Duration) {
			select {
			case steps <- step:
			case <-ctx.Done():
			}
		}})
		done <- result{image, err}
	}()
	step := ""
	for {
		select {
		case step = <-steps:
		case r := <-done:
			d.screen.settle()
			return r.image, r.err
		case <-time.After(time.Second):
		}
		if step != "" && step != "done" {
			d.screen.show(progress{Node: "image", State: "building", Step: step, Percent: -1, Elapsed: time.Since(began)})
		}
	}
}

// setUpLab makes the virtual servers, or completes what is there of them, and the SSH key.
func (d *demo) setUpLab(ctx context.Context) error {
	d.screen.heading("Two servers in QEMU, one BIOS, one UEFI, each with a BMC (OpenIPMI's simulator)")
	d.command(d.ferric, "lab", "up", "--name", d.name, "--dir", d.shown("lab"), "--nodes", "2", "--firmware", "mixed", "--bmc", lab.IPMISim)
	if err := d.forgetLost(ctx); err != nil {
		return err
	}
	self, err := filepath.Abs(d.ferric)
	if err != nil {
		return err
	}
	d.lab, err = lab.Up(ctx, lab.Spec{Name: d.name, Dir: d.path("lab"), Nodes: 2, Firmware: "mixed", BMC: lab.IPMISim, Self: []string{self, "lab"}})
	if err != nil {
		return err
	}
	status := d.lab.Status()
	for _, m := range status.Nodes {
		d.screen.say("  %s  %-4s  %d MiB  disk %d GiB  MAC %s  BMC %s (%s)  power %s", m.Name, m.Firmware, m.Memory, m.Disks[0].Size>>30, m.MAC,
			m.BMC.Address, m.BMC.Kind, m.Power)
	}
	if status.Accel != "kvm" {
		d.screen.say("  There is no KVM here: the processors are emulated, and everything takes several times as long.")
	}
	return d.makeKey(ctx)
}

// forgetLost makes Ferric forget nodes whose servers are gone, with the host's restart or `ferric lab down`: what it
// was doing with them cannot be carried on. What is left of a lab without its network is removed.
func (d *demo) forgetLost(ctx context.Context) error {
	left, err := lab.Open(d.name, d.path("lab"))
	if err == nil && left.Status().Namespace {
		return nil
	}
	if _, err := stopService(ctx, d.path("data")); err != nil {
		return err
	}
	switch {
	case ferric.IsCode(err, ferric.CodeNotFound):
		err = d.orphans(ctx)
	case err == nil:
		_, err = left.Down(ctx)
	}
	if err != nil {
		return err
	}
	return d.forget()
}

// forget removes what Ferric keeps, but not what was built for it.
func (d *demo) forget() error {
	entries, err := os.ReadDir(d.path("data"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() == "ramdisk" || e.Name() == "user-images" {
			continue
		}
		if err := os.RemoveAll(d.path("data", e.Name())); err != nil {
			return err
		}
	}
	for _, name := range []string{doneFile, "ferric.log"} {
		if err := os.RemoveAll(d.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// makeKey makes the SSH key that the config drives carry.
func (d *demo) makeKey(ctx context.Context) error {
	public := d.path("key.pub")
	if !exist(d.path("key"), public) {
		if err := errors.Join(os.RemoveAll(d.path("key")), os.RemoveAll(public)); err != nil {
			return err
		}
		if err := quietly(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ferric-demo", "-f", d.path("key")); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(public)
	if err != nil {
		return err
	}
	d.key = strings.TrimSpace(string(b))
	return nil
}
