package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"ferric"
)

// probeTimeout is far more than KVM needs to run the few instructions of the probe.
const probeTimeout = 10 * time.Second

// probeExit is the exit status of QEMU when the probe ran: the debug exit device makes it from the byte 0x21.
const probeExit = 0x21<<1 | 1

var virtualisation = regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`)

// chooseAccel turns "auto" into what works here, and refuses "kvm" where it does not.
func chooseAccel(ctx context.Context, wanted string) (string, error) {
	switch wanted {
	case "tcg":
		return "tcg", nil
	case "", "auto":
		if kvmWorks(ctx) == nil {
			return "kvm", nil
		}
		return "tcg", nil
	case "kvm":
		if err := kvmWorks(ctx); err != nil {
			return "", ferric.Errorf(ferric.CodeUnavailable, "accel kvm: %w; use tcg", err)
		}
		return "kvm", nil
	}
	return "", ferric.Errorf(ferric.CodeInvalid, "lab: accel: %q: want auto, kvm or tcg", wanted)
}

// kvmWorks runs a machine of a few instructions. That /dev/kvm can be opened proves little: there are hosts, virtual
// ones, whose KVM starts machines that then hang; those have no vmx or svm flag.
func kvmWorks(ctx context.Context) error {
	if file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return err
	} else {
		file.Close()
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	if !virtualisation.Match(cpu) {
		return errors.New("the processor shows neither vmx nor svm")
	}
	dir, err := os.MkdirTemp("", "ferric-kvm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rom := filepath.Join(dir, "probe.rom")
	if err := os.WriteFile(rom, probeROM(), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err = exec.CommandContext(ctx, qemuProgram, "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "64", "-nodefaults",
		"-display", "none", "-bios", rom, "-device", "isa-debug-exit,iobase=0xf4,iosize=1").Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == probeExit {
		return nil
	}
	return errors.New("/dev/kvm is there, but a test machine did not run")
}

// probeROM is a firmware of one act: write 0x21 to port 0xf4.
func probeROM() []byte {
	rom := bytes.Repeat([]byte{0xf4}, 64<<10) // hlt
	copy(rom[len(rom)-16:], []byte{
		0xba, 0xf4, 0x00, // mov dx, 0xf4
		0xb0, 0x21, // mov al, 0x21
		0xee,             // out dx, al
		0xf4, 0xeb, 0xfd, // hlt, again
	})
	return rom
}
