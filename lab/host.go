package lab

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"ferric"
)

//go:embed packages.txt
var packages string

// DebianPackages are the names of the Debian packages that labs and user images need.
func DebianPackages() []string {
	var names []string
	for line := range strings.Lines(packages) {
		line, _, _ = strings.Cut(line, "#")
		names = append(names, strings.Fields(line)...)
	}
	return names
}

// need is a program or file and the Debian package that brings it.
type need struct{ file, pkg string }

// needs are what a lab of that kind calls.
func (c Config) needs() []need {
	all := []need{{"ip", "iproute2"}, {"setsid", "util-linux"}, {qemuProgram, "qemu-system-x86"}, {"qemu-img", "qemu-utils"}}
	for _, m := range c.Machines {
		if m.Firmware == UEFI {
			all = append(all, need{ovmfCode, "ovmf"})
		}
		if m.BMC.Kind == IPMISim {
			all = append(all, need{"ipmi_sim", "openipmi"}, need{"sdrcomp", "openipmi"})
		}
	}
	return all
}

// checkHost says what is missing on this host to run the lab. CodeUnavailable names the packages, CodeForbidden the
// privilege.
func (c Config) checkHost() error {
	missing := map[string]bool{}
	var what []string
	for _, n := range c.needs() {
		_, err := exec.LookPath(n.file)
		if strings.HasPrefix(n.file, "/") {
			_, err = os.Stat(n.file)
		}
		if err != nil && !missing[n.pkg] {
			missing[n.pkg] = true
			what = append(what, n.pkg)
		}
	}
	if len(what) > 0 {
		return ferric.Errorf(ferric.CodeUnavailable, "the lab needs Debian packages that are not installed: apt-get install --no-install-recommends %s",
			strings.Join(what, " "))
	}
	return checkRoot("set up a lab")
}

func checkRoot(what string) error {
	if os.Geteuid() != 0 {
		return ferric.Errorf(ferric.CodeForbidden, "%s: this needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN, for the network namespace); try sudo", what)
	}
	return nil
}

// run executes a program to its end. The error holds what it wrote to its standard error.
func (l *Lab) run(ctx context.Context, args ...string) error {
	_, err := output(ctx, args...)
	return err
}

// output executes a program to its end and returns what it wrote.
func output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	text := strings.TrimSpace(stderr.String())
	if text == "" {
		text = strings.TrimSpace(stdout.String())
	}
	return nil, fmt.Errorf("%s: %w: %s", args[0], err, text)
}
