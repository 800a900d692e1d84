package inventory

import (
	"net"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"ferric/agentapi"
)

// Interfaces lists the network interfaces that are backed by hardware, by name.
func (r *Reader) Interfaces() []agentapi.Interface {
	out := []agentapi.Interface{}
	entries, err := os.ReadDir(r.path("sys/class/net"))
	if err != nil {
		return out
	}
	for _, e := range entries {
		name := e.Name()
		sys := "sys/class/net/" + name + "/"
		device := r.device(sys + "device")
		if device == "" {
			continue // bridges, tunnels, loopback
		}
		mac := r.permanent(name)
		if mac == "" {
			mac = strings.ToLower(r.text(sys + "address"))
		}
		if mac == "" {
			continue
		}
		v4, v6 := r.addresses(name)
		nic := agentapi.Interface{
			Name: name, MACAddress: mac, IPv4Address: agentapi.Text(v4), IPv6Address: agentapi.Text(v6),
			HasCarrier: r.text(sys+"carrier") == "1",
			Vendor:     agentapi.Text(r.text(sys + "device/vendor")), Product: agentapi.Text(r.text(sys + "device/device")),
			PCIAddress: agentapi.Text(pciOf(device)), Driver: agentapi.Text(r.link(sys + "device/driver")),
		}
		if speed, ok := r.number(sys + "speed"); ok && speed > 0 && speed < 1<<31 {
			mbps := int(speed)
			nic.SpeedMbps = &mbps
		}
		out = append(out, nic)
	}
	return out
}

// interfaceAddresses gives the first address of each family, IPv6 preferably a global one.
func interfaceAddresses(name string) (v4, v6 string) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return "", ""
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return "", ""
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		switch {
		case n.IP.To4() != nil:
			if v4 == "" {
				v4 = n.IP.String()
			}
		case v6 == "" || strings.HasPrefix(v6, "fe80:") && !n.IP.IsLinkLocalUnicast():
			v6 = n.IP.String()
		}
	}
	return v4, v6
}

// permanentMAC asks the driver for the address in the hardware (ETHTOOL_GPERMADDR), "" if it has none.
func permanentMAC(name string) string {
	const gpermaddr, maxLen = 0x20, 32
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	req := struct {
		cmd, size uint32
		data      [maxLen]byte
	}{cmd: gpermaddr, size: maxLen}
	var ifr struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(ifr.name[:unix.IFNAMSIZ-1], name)
	ifr.data = unsafe.Pointer(&req)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr))); e != 0 {
		return ""
	}
	if req.size != 6 {
		return "" // InfiniBand has 20 bytes; its Ethernet form is the class address
	}
	mac := net.HardwareAddr(req.data[:6])
	for _, b := range mac {
		if b != 0 {
			return mac.String()
		}
	}
	return ""
}
