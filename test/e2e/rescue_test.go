package e2e

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// rescuePassword is what people log in with.
const rescuePassword = "correct horse battery staple"

// rescue opens a deployed machine with a password, logs in to the ramdisk with it, and gives the machine back.
func (s *site) rescue(n *node) {
	s.t.Helper()
	began := time.Now()
	s.enterRescue(n)
	rescued, seen := time.Since(began), n.consoleSize()
	n.verb("unrescue", nil)
	n.until(time.Minute, "active")
	n.console(deployTime, `login: `, seen)
	s.t.Logf("%s: in rescue after %.0f s, back in its system after %.0f s", n.name, rescued.Seconds(), time.Since(began).Seconds())
}

// enterRescue boots the rescue ramdisk and logs in.
func (s *site) enterRescue(n *node) {
	s.t.Helper()
	n.verb("rescue", map[string]any{"rescue_password": rescuePassword})
	n.until(bootTime, "rescue")
	var out string
	var err error
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) { // it listens a moment after the agent has gone
		if out, err = s.login(n, rescuePassword, "id -u; cat /proc/cmdline; ls -d /sys/block/*"); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil || !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "ipa-api-url=") || !strings.Contains(out, "/sys/block/") {
		s.t.Errorf("%s: in the rescue ramdisk: %q, %v; want to be root in it and to see the disks", n.name, out, err)
	}
	if out, err := s.login(n, "wrong "+rescuePassword, "true"); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		s.t.Errorf("%s: with a wrong password: %q, %v; want to be turned away", n.name, out, err)
	}
	if v := n.get(); strings.Contains(fmt.Sprint(v["instance_info"]), "rescue") {
		s.t.Errorf("%s: the password is kept: %v", n.name, v["instance_info"])
	}
}

// login runs a line in the rescue ramdisk.
func (s *site) login(n *node, password, line string) (string, error) {
	address := s.addressOf(n)
	conn, err := s.dial(s.t.Context(), "tcp", address+":22")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{User: "rescue", Auth: []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	out, err := session.CombinedOutput(line)
	return string(out), err
}
