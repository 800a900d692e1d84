package lab

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// controller is the machine's BMC as a process.
func (m *Machine) controller() daemon {
	d := daemon{lab: m.lab, what: "the BMC of " + m.Name, dir: m.files.bmc(), ready: func(p process) bool {
		return m.proc.listensUDP(p.PID, m.BMC.Address, m.BMC.Port)
	}}
	if m.BMC.Kind == IPMISim {
		f := simFiles{m.files.bmc()}
		d.command, d.mark = []string{"ipmi_sim", "-n", "-c", f.lan(), "-f", f.commands(), "-s", f.state()}, f.lan()
		return d
	}
	d.mark = m.files.bmc()
	d.command = append(slices.Clone(m.lab.config.Self), "bmc", "--dir", m.lab.dir, "--mark", d.mark, m.Name)
	return d
}

// startBMC makes the BMC run; nothing happens if it runs.
func (m *Machine) startBMC(ctx context.Context) error {
	if m.BMC.Kind == IPMISim {
		if err := m.createIPMISim(ctx); err != nil {
			return fmt.Errorf("BMC of %s: %w", m.Name, err)
		}
	}
	return m.controller().start(ctx)
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

// udpEntry is an address as /proc/net/udp has it: the bytes of the address as a number of the host's byte order.
func udpEntry(address string, port int) (string, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "", err
	}
	four := ip.As4()
	raw := binary.BigEndian.AppendUint32(nil, binary.NativeEndian.Uint32(four[:]))
	return fmt.Sprintf(" %s:%04X ", strings.ToUpper(hex.EncodeToString(raw)), port), nil
}
