package userimage

// grubMenu boots the kernel that /vmlinuz and /initrd.img lead to: Debian's kernel packages keep these links, so an
// upgrade of the kernel needs no new menu.
const grubMenu = `set timeout=0
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
linux %s root=%s rw console=tty0 console=ttyS0,115200n8 %s
initrd %s
boot
`

var debianFormat = format{espSize: 36 << 20, spare: 96 << 20, fat: "32", overhead: 16, mkfs: []string{"-J", "size=16"}}

// arrangeDebian turns a plain Debian into the image's.
func arrangeDebian(t tree, fsUUID string) error {
	e := &edit{tree: t}
	e.file("etc/fstab", "# The root file system is mounted by the kernel command line, /boot/grub/grub.cfg.\n")
	e.file("etc/hostname", "debian\n")
	e.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	e.file("etc/machine-id", "")
	e.file("etc/default/locale", "LANG=C.UTF-8\n")
	e.file("etc/sudoers.d/90-debian", "debian ALL=(ALL) NOPASSWD:ALL\n")
	e.symlink("etc/resolv.conf", "../run/resolv.conf")
	e.drop("etc/ssh/ssh_host_*", "var/cache/apt/*.bin", "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "var/log/*.log", "var/log/apt/*",
		"var/cache/debconf/*-old", "var/lib/dpkg/*-old", "etc/modules-load.d/modules.conf")
	e.file("boot/grub/grub.cfg", grubConfig("/vmlinuz", "/initrd.img", "UUID="+fsUUID, "fsck.mode=skip"))
	e.file("etc/modprobe.d/ferric.conf", "# Nested virtualisation and frequency scaling, which machines of the lab pretend to have.\nblacklist kvm_amd\nblacklist kvm_intel\nblacklist powernow_k8\n")

	e.network()
	e.ssh()
	e.init()
	for _, name := range []string{"configdrive", "json.awk", "network.awk", "userdata", "resolv", "powerbutton", "late"} {
		e.program(name)
	}
	e.unit("ferric-configdrive.service", "multi-user.target")
	e.unit("ferric-userdata.service", "multi-user.target")
	e.unit("ferric-late.service", "multi-user.target")
	e.unit("ferric-powerbutton.service", "multi-user.target")
	e.unit("ferric-resolv.path", "multi-user.target")
	e.unit("ferric-resolv.service", "")
	e.file("etc/repart.d/50-root.conf", "[Partition]\nType=root\n")
	return e.err
}

// network makes systemd-networkd ask for addresses on every card that the config drive says nothing about.
func (e *edit) network() {
	e.file("etc/systemd/network/80-dhcp.network", "[Match]\nType=ether\nKind=!*\n[Network]\nDHCP=yes\n[DHCPv4]\nClientIdentifier=mac\n")
	e.symlink("etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "/lib/systemd/system/systemd-networkd.service")
	e.symlink("etc/systemd/system/sockets.target.wants/systemd-networkd.socket", "/lib/systemd/system/systemd-networkd.socket")
	e.symlink("etc/systemd/system/dbus-org.freedesktop.network1.service", "/lib/systemd/system/systemd-networkd.service")
}

// ssh limits the host keys to the kind that is made quickly, at the first boot.
func (e *edit) ssh() {
	e.file("etc/ssh/sshd_config.d/ferric.conf", "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nUseDNS no\nLoginGraceTime 600\n")
	e.file("etc/systemd/system/ssh.service.d/ferric.conf", `[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c '[ -s /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
`)
}

// init trims what systemd does at boot.
func (e *edit) init() {
	masks, err := parts.ReadFile("guest/masks.txt")
	if e.err == nil {
		e.err = err
	}
	for _, unit := range lines(string(masks)) {
		e.symlink("etc/systemd/system/"+unit, "/dev/null")
	}
	e.drop("etc/systemd/system/multi-user.target.wants/e2scrub_reap.service", "etc/systemd/system/multi-user.target.wants/remote-fs.target",
		"etc/systemd/system/timers.target.wants/*", "etc/systemd/system/sysinit.target.wants/systemd-pstore.service", "etc/systemd/system/getty.target.wants/*")
	e.symlink("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
	e.symlink("etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service", "/lib/systemd/system/serial-getty@.service")
	// The prompt does not wait for the end of all jobs.
	e.file("etc/systemd/system/serial-getty@.service.d/ferric.conf", "[Service]\nType=simple\n")
	for _, generator := range []string{"cryptsetup", "debug", "getty", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local", "run", "system-update",
		"sysv", "veritysetup"} {
		e.symlink("etc/systemd/system-generators/systemd-"+generator+"-generator", "/dev/null")
	}
	// Users may log in before the network is up.
	e.file("etc/systemd/system/systemd-user-sessions.service", `[Unit]
Description=Permit User Sessions
After=nss-user-lookup.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/lib/systemd/systemd-user-sessions start
ExecStop=/lib/systemd/systemd-user-sessions stop
`)
	// Only devices that have a driver to load, or a rule that matters here.
	e.file("etc/systemd/system/systemd-udev-trigger.service.d/ferric.conf", `[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --prioritized-subsystem=block,net,tty `+
		"--subsystem-match=block --subsystem-match=net --subsystem-match=tty --subsystem-match=pci --subsystem-match=virtio "+
		"--subsystem-match=scsi --subsystem-match=usb --subsystem-match=input --subsystem-match=acpi --subsystem-match=misc\n")
	e.file("etc/systemd/system.conf.d/ferric.conf", "[Manager]\nDefaultTimeoutStartSec=5min\nDefaultMemoryAccounting=no\nDefaultTasksAccounting=no\n")
	e.file("etc/systemd/journald.conf.d/ferric.conf", "[Journal]\nStorage=volatile\n")
	for _, service := range []string{"systemd-journald", "systemd-udevd", "systemd-networkd"} {
		e.file("etc/systemd/system/"+service+".service.d/ferric.conf", sandboxOff)
	}
}

// sandboxOff drops what confines these services: filters of system calls, sockets and devices and a file system view of
// their own cost an emulated processor a noticeable part of a second per service.
const sandboxOff = `[Service]
DeviceAllow=
IPAddressDeny=
LockPersonality=no
MemoryDenyWriteExecute=no
ProtectClock=no
ProtectControlGroups=no
ProtectHome=no
ProtectHostname=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectProc=default
ProtectSystem=no
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
RestrictSUIDSGID=no
SystemCallArchitectures=
SystemCallFilter=
`
