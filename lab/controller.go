package lab

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// bmcStart is how long a BMC may take until it listens, on a busy host.
const bmcStart = 60 * time.Second

func (m *Machine) bmcPidfile() string { return filepath.Join(m.files.bmc(), "pid") }
func (m *Machine) bmcRecord() string  { return filepath.Join(m.files.bmc(), "process.json") }
func (m *Machine) bmcLog() string     { return filepath.Join(m.files.bmc(), "log") }

// bmcProcess returns the BMC's process, errNoProcess if it does not run.
func (m *Machine) bmcProcess() (process, error) {
	_, mark := m.bmcCommand()
	return m.proc.recordedProcess(m.bmcRecord(), m.bmcPidfile(), mark)
}

// startBMC makes the BMC run and waits until it listens; nothing happens if it runs.
func (m *Machine) startBMC(ctx context.Context) error {
	if _, err := m.bmcProcess(); err == nil {
		return nil
	}
	if err := os.MkdirAll(m.files.bmc(), 0o700); err != nil {
		return err
	}
	if m.BMC.Kind == IPMISim {
		if err := m.createIPMISim(ctx); err != nil {
			return fmt.Errorf("BMC of %s: %w", m.Name, err)
		}
	}
	os.Remove(m.bmcPidfile())
	command, mark := m.bmcCommand()
	if err := m.lab.detach(ctx, m.bmcPidfile(), m.bmcLog(), command); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "start the BMC of %s: %w", m.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, bmcStart)
	defer cancel()
	started := false
	for {
		p, err := m.proc.recordedProcess(m.bmcRecord(), m.bmcPidfile(), mark)
		if err == nil && m.proc.listensUDP(p.PID, m.BMC.Address, m.BMC.Port) {
			return writeJSON(m.bmcRecord(), p)
		}
		if _, statErr := os.Stat(m.bmcPidfile()); statErr == nil && err != nil && started {
			return ferric.Errorf(ferric.CodeUnavailable, "the BMC of %s ended at once: %s", m.Name, tail(m.bmcLog()))
		}
		started = started || err == nil
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeTimeout, "the BMC of %s does not listen on %s: %w: %s", m.Name, m.BMC.Address, ctx.Err(), tail(m.bmcLog()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stopBMC ends the BMC; nothing happens if it does not run.
func (m *Machine) stopBMC(ctx context.Context) error {
	p, err := m.bmcProcess()
	if err == nil {
		err = m.proc.end(ctx, p, unix.SIGTERM, 3*time.Second)
	}
	if err != nil && !errors.Is(err, errNoProcess) {
		return fmt.Errorf("stop the BMC of %s: %w", m.Name, err)
	}
	os.Remove(m.bmcRecord())
	os.Remove(m.bmcPidfile())
	return nil
}

// detachScript writes its pid, which stays the same through the exec's that follow, and becomes the command.
const detachScript = `echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"`

// detach runs a command in the namespace that outlives this process. Its output goes to log, its pid to pidfile.
func (l *Lab) detach(ctx context.Context, pidfile, log string, command []string) error {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	args := append([]string{"setsid", "--fork", "sh", "-c", detachScript, pidfile}, l.inNamespace(command)...)
	return runDetached(ctx, args, out)
}

// listensUDP reports whether the network namespace of a process has a UDP socket on an address.
func (fs procfs) listensUDP(pid int, address string, port int) bool {
	table, err := os.ReadFile(filepath.Join(fs.root, strconv.Itoa(pid), "net/udp"))
	if err != nil {
		return false
	}
	want, err := udpEntry(address, port)
	return err == nil && strings.Contains(string(table), want)
}

// udpEntry is an address as /proc/net/udp has it: bytes in the host's order (little endian on all that runs this).
func udpEntry(address string, port int) (string, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "", err
	}
	four := ip.As4()
	raw := binary.BigEndian.AppendUint32(nil, binary.NativeEndian.Uint32(four[:]))
	return fmt.Sprintf(" %s:%04X ", strings.ToUpper(hex.EncodeToString(raw)), port), nil
}

// tail is the end of a log file, in one line.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 500
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return strings.Join(strings.Fields(string(data)), " ")
}
