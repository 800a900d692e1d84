package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Status is a lab's state at a moment.
type Status struct {
	Name      string          `json:"name"`
	Dir       string          `json:"dir"`
	Namespace bool            `json:"namespace"` // the network namespace exists
	Gateway   string          `json:"gateway"`   // the host's address on the provisioning bridge, with prefix length
	Bridge    string          `json:"bridge"`
	Accel     string          `json:"accel"`
	Consoles  int             `json:"consoles_pid,omitempty"` // pid of the console server; 0: it does not run
	Nodes     []MachineStatus `json:"nodes"`
}

// MachineStatus is a machine's state at a moment.
type MachineStatus struct {
	Name     string   `json:"name"`
	UUID     string   `json:"uuid"`
	MAC      string   `json:"mac"`  // of the first card
	MACs     []string `json:"macs"` // of all
	Firmware string   `json:"firmware"`
	Memory   int      `json:"memory_mib"`
	CPUs     int      `json:"cpus"`
	Disks    []Disk   `json:"disks"`
	Power    string   `json:"power"` // "on" or "off"
	Boot     string   `json:"boot"`  // device of the next start or reset
	PID      int      `json:"pid,omitempty"`
	BMC      BMC      `json:"bmc"`
	BMCPID   int      `json:"bmc_pid,omitempty"` // 0: the BMC does not run
	Log      string   `json:"log"`               // of the serial console
}

// Status looks at the lab's processes.
func (l *Lab) Status() Status {
	s := Status{Name: l.config.Name, Dir: l.dir, Namespace: namespaceExists(l.config.Name), Gateway: Gateway, Bridge: Bridge, Accel: l.config.Accel}
	if p, err := l.consoles().process(); err == nil {
		s.Consoles = p.PID
	}
	for _, m := range l.Machines() {
		s.Nodes = append(s.Nodes, m.Status())
	}
	return s
}

// Status looks at the machine's processes.
func (m *Machine) Status() MachineStatus {
	s := MachineStatus{Name: m.Name, UUID: m.UUID, MAC: m.NICs[0].MAC, Firmware: m.Firmware, Memory: m.Memory, CPUs: m.CPUs,
		Disks: m.Disks, Power: "off", Boot: m.Boot().Device, BMC: m.BMC, Log: m.Log()}
	for _, nic := range m.NICs {
		s.MACs = append(s.MACs, nic.MAC)
	}
	if p, err := m.process(); err == nil {
		s.Power, s.PID = "on", p.PID
	}
	if p, err := m.controller().process(); err == nil {
		s.BMCPID = p.PID
	}
	return s
}

// WriteJSON writes the status as one JSON object.
func (s Status) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

// WriteTable writes the status for people.
func (s Status) WriteTable(w io.Writer) error {
	state := "up"
	if !s.Namespace {
		state = "its network namespace is gone; run ferric lab up again"
	}
	if _, err := fmt.Fprintf(w, "lab %s (%s), %s, provisioning network %s on %s, state in %s\n", s.Name, state, s.Accel, s.Gateway, s.Bridge, s.Dir); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tPOWER\tFIRMWARE\tMAC\tBMC\tUSER\tPASSWORD\tPIDS\tUUID")
	for _, n := range s.Nodes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s:%d (%s)\t%s\t%s\t%s\t%s\n", n.Name, n.Power, n.Firmware, n.MAC,
			n.BMC.Address, n.BMC.Port, n.BMC.Kind, n.BMC.User, n.BMC.Password, pids(n), n.UUID)
	}
	return table.Flush()
}

func pids(n MachineStatus) string {
	show := func(pid int) string {
		if pid == 0 {
			return "-"
		}
		return fmt.Sprint(pid)
	}
	return show(n.PID) + "/" + show(n.BMCPID)
}
