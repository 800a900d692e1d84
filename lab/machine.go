package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// Machine is one virtual server.
type Machine struct {
	MachineConfig
	lab   *Lab
	files files
	proc  procfs
}

// Dir is the machine's folder.
func (m *Machine) Dir() string { return m.files.dir }

// Log is the file that everything the machine writes to its serial console is added to.
func (m *Machine) Log() string { return m.files.log() }

// Disk is the file behind disk i, from 0: a raw image, sparse. It must not be written while the machine runs.
func (m *Machine) Disk(i int) string { return m.files.disk(i) }

// process returns the machine's QEMU process, errNoProcess if the machine is off.
func (m *Machine) process() (process, error) {
	return m.proc.recordedProcess(m.files.process(), m.files.pidfile(), m.files.pidfile())
}

// On reports whether the machine has power.
func (m *Machine) On() bool {
	_, err := m.process()
	return err == nil
}

// create makes the folder, disks and UEFI variables of a new machine.
func (m *Machine) create() error {
	if err := os.MkdirAll(m.files.dir, 0o700); err != nil {
		return err
	}
	for i, d := range m.Disks {
		file, err := os.OpenFile(m.files.disk(i), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		info, err := file.Stat()
		if err == nil && info.Size() != d.Size {
			err = file.Truncate(d.Size)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("disk %d of %s: %w", i, m.Name, err)
		}
	}
	if m.Firmware == UEFI {
		if _, err := os.Stat(m.files.vars()); errors.Is(err, os.ErrNotExist) {
			return copyFile(ovmfVars, m.files.vars())
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Boot returns the boot device override that the next start or reset will use.
func (m *Machine) Boot() BootSetting {
	b := BootSetting{Device: "none"}
	if err := readJSON(m.files.boot(), &b); err != nil || b.check() != nil {
		return BootSetting{Device: "none"}
	}
	return b
}

// SetBoot sets the boot device override. A running machine takes it up at its next reset. "cdrom" without a CD drive is
// CodeUnsupported.
func (m *Machine) SetBoot(ctx context.Context, b BootSetting) error {
	if err := b.check(); err != nil {
		return err
	}
	if b.Device == "cdrom" && !m.CDROM {
		return ferric.Errorf(ferric.CodeUnsupported, "boot %s from CD: it has no CD drive (ferric lab up --cdrom)", m.Name)
	}
	unlock, err := lock(ctx, m.files.lock())
	if err != nil {
		return err
	}
	defer unlock()
	if err := writeJSON(m.files.boot(), b); err != nil {
		return fmt.Errorf("set boot device of %s: %w", m.Name, err)
	}
	if !m.On() {
		return nil
	}
	q, err := dialQMP(ctx, m.files.qmp())
	if err != nil {
		return fmt.Errorf("set boot device of %s: %w", m.Name, err)
	}
	defer q.close()
	return m.setOrder(q, b)
}

// setOrder changes the boot order of the running machine; the firmware sees it at the next reset. QEMU refuses to set
// the index that a device has already.
func (m *Machine) setOrder(q *qmp, b BootSetting) error {
	for _, device := range order(b.Device).properties(m.MachineConfig) {
		property := map[string]any{"path": "/machine/peripheral/" + device.id, "property": "bootindex"}
		var now int
		err := q.execute("qom-get", property, &now)
		if err == nil && now != device.index {
			property["value"] = device.index
			err = q.execute("qom-set", property, nil)
		}
		if err != nil {
			return fmt.Errorf("boot order of %s: %w", m.Name, err)
		}
	}
	return nil
}

// consumeBoot takes back an override that the boot that begins now has used: the firmware has its order already.
func (m *Machine) consumeBoot(q *qmp, used BootSetting) error {
	if used.Device == "none" || used.Persistent {
		return nil
	}
	if err := writeJSON(m.files.boot(), used.after()); err != nil {
		return err
	}
	return m.setOrder(q, used.after())
}

// Start gives the machine power; nothing happens if it is on. It returns when QEMU runs.
func (m *Machine) Start(ctx context.Context) error {
	unlock, err := lock(ctx, m.files.lock())
	if err != nil {
		return err
	}
	defer unlock()
	if m.On() {
		return nil
	}
	boot := m.Boot()
	os.Remove(m.files.pidfile())
	args := qemuArgs(m.MachineConfig, m.files, m.lab.config.Accel, boot, m.Medium())
	if err := m.lab.run(ctx, m.lab.inNamespace(args)...); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "start %s: %w", m.Name, err)
	}
	p, err := m.process()
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "start %s: QEMU ended at once; see %s", m.Name, m.files.log())
	}
	if err := writeJSON(m.files.process(), p); err != nil {
		return err
	}
	q, err := dialQMP(ctx, m.files.qmp())
	if err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	defer q.close()
	return m.consumeBoot(q, boot)
}

// Stop takes the power away at once; nothing happens if the machine is off.
func (m *Machine) Stop(ctx context.Context) error {
	unlock, err := lock(ctx, m.files.lock())
	if err != nil {
		return err
	}
	defer unlock()
	p, err := m.process()
	if err == nil {
		err = m.proc.end(ctx, p, unix.SIGKILL, 0)
	}
	if err != nil && !errors.Is(err, errNoProcess) {
		return fmt.Errorf("stop %s: %w", m.Name, err)
	}
	for _, name := range []string{m.files.process(), m.files.pidfile(), m.files.qmp()} {
		os.Remove(name)
	}
	return nil
}

// Reset restarts the machine without taking the power away. CodeConflict if it is off.
func (m *Machine) Reset(ctx context.Context) error {
	return m.command(ctx, "reset", func(q *qmp) error {
		if err := q.execute("system_reset", nil, nil); err != nil {
			return err
		}
		return m.consumeBoot(q, m.Boot())
	})
}

// SoftOff presses the power button; it is for the operating system to shut down. CodeConflict if the machine is off.
func (m *Machine) SoftOff(ctx context.Context) error {
	return m.command(ctx, "shut down", func(q *qmp) error { return q.execute("system_powerdown", nil, nil) })
}

// NMI raises a non-maskable interrupt. CodeConflict if the machine is off.
func (m *Machine) NMI(ctx context.Context) error {
	return m.command(ctx, "interrupt", func(q *qmp) error { return q.execute("inject-nmi", nil, nil) })
}

// Screenshot writes what the machine's screen shows to a PNG file. CodeConflict if the machine is off.
func (m *Machine) Screenshot(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return m.command(ctx, "take a screenshot of", func(q *qmp) error {
		return q.execute("screendump", map[string]any{"filename": path, "format": "png"}, nil)
	})
}

// Medium is the image in the CD drive, "" if there is none.
func (m *Machine) Medium() string {
	var medium struct {
		File string `json:"file"`
	}
	if err := readJSON(m.files.medium(), &medium); err != nil {
		return ""
	}
	return medium.File
}

// SetMedium puts an image into the CD drive, or takes it out ("").
func (m *Machine) SetMedium(ctx context.Context, path string) error {
	if !m.CDROM {
		return ferric.Errorf(ferric.CodeUnsupported, "%s has no CD drive (ferric lab up --cdrom)", m.Name)
	}
	if path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		if _, err := os.Stat(absolute); err != nil {
			return ferric.Errorf(ferric.CodeInvalid, "CD image: %w", err)
		}
		path = absolute
	}
	if err := writeJSON(m.files.medium(), map[string]string{"file": path}); err != nil {
		return err
	}
	if !m.On() {
		return nil
	}
	return m.command(ctx, "change the CD of", func(q *qmp) error {
		if path == "" {
			return q.execute("eject", map[string]any{"id": cdID, "force": true}, nil)
		}
		return q.execute("blockdev-change-medium", map[string]any{
			"id": cdID, "filename": path, "format": "raw", "read-only-mode": "read-only", "force": true,
		}, nil)
	})
}

// command runs f on a running machine.
func (m *Machine) command(ctx context.Context, what string, f func(*qmp) error) error {
	unlock, err := lock(ctx, m.files.lock())
	if err != nil {
		return err
	}
	defer unlock()
	if !m.On() {
		return ferric.Errorf(ferric.CodeConflict, "%s %s: it is off", what, m.Name)
	}
	q, err := dialQMP(ctx, m.files.qmp())
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, m.Name, err)
	}
	defer q.close()
	if err := f(q); err != nil {
		return fmt.Errorf("%s %s: %w", what, m.Name, err)
	}
	return nil
}

// WaitOff returns when the machine is off: after SoftOff, or when its system shuts itself down.
func (m *Machine) WaitOff(ctx context.Context) error {
	for m.On() {
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeTimeout, "wait until %s is off: %w", m.Name, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
