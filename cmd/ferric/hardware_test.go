package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ferric/lab/bmc"
)

// running is a machine that is always on.
type running struct{}

func (running) PowerState(context.Context) (bool, error) { return true, nil }
func (running) PowerOn(context.Context) error            { return nil }
func (running) PowerOff(context.Context) error           { return nil }
func (running) Reset(context.Context) error              { return nil }
func (running) SoftOff(context.Context) error            { return nil }
func (running) NMI(context.Context) error                { return nil }

// until asks until an answer is as it should be.
func until(t *testing.T, url, what string, ok func(map[string]any) bool) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		v := call(t, "GET", url, nil)
		if ok(v) {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, v)
		}
	}
}

// echo talks over a console until what was typed comes back.
func echo(t *testing.T, url string) net.Conn {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://"))
		if err == nil {
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			io.WriteString(conn, "hello")
			got := make([]byte, 5)
			if _, err := io.ReadFull(conn, got); err == nil && string(got) == "hello" {
				return conn
			}
			conn.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("the console %s does not answer: %v", url, err)
		}
	}
}

// TestHardwareOverRestart uses a console over a BMC and fake hardware, through the API; both are as they were when Ferric has been restarted.
func TestHardwareOverRestart(t *testing.T) {
	server, err := bmc.Start(running{}, bmc.Options{Users: []bmc.User{{Name: "admin", Password: "pw"}},
		Console: func(context.Context) (io.ReadWriteCloser, error) {
			near, far := net.Pipe()
			go io.Copy(far, far) // the machine repeats what is typed
			return near, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dir := t.TempDir()
	url, stop := ferricd(t, dir)
	addr := server.Addr()
	call(t, "POST", url+"/v1/nodes", map[string]any{"name": "real", "driver": "ipmi", "driver_info": map[string]any{"ipmi_address": addr.IP.String(),
		"ipmi_port": addr.Port, "ipmi_username": "admin", "ipmi_password": "pw"}})
	call(t, "POST", url+"/v1/nodes", map[string]any{"name": "fake", "driver": "fake-hardware"})

	console := func(enabled bool) map[string]any {
		return until(t, url+"/v1/nodes/real/states/console", "the console", func(v map[string]any) bool { return v["console_enabled"] == enabled })
	}
	call(t, "PUT", url+"/v1/nodes/real/states/console", map[string]any{"enabled": true})
	where := console(true)["console_info"].(map[string]any)["url"].(string)
	echo(t, where).Close()
	call(t, "PUT", url+"/v1/nodes/fake/management/boot_device", map[string]any{"boot_device": "cdrom", "persistent": true})
	call(t, "POST", url+"/v1/nodes/fake/vmedia", map[string]any{"device_type": "cdrom", "image_url": "http://192.0.2.1/boot.iso"})
	call(t, "PUT", url+"/v1/nodes/fake/states/boot_mode", map[string]any{"target": "bios"})
	until(t, url+"/v1/nodes/fake", "the boot mode", func(v map[string]any) bool { return v["boot_mode"] == "bios" && v["reservation"] == nil })

	stop()
	url, stop = ferricd(t, dir)
	defer stop()
	if got := console(true)["console_info"].(map[string]any)["url"]; got != where {
		t.Errorf("the console is at %v, was at %s", got, where)
	}
	conn := echo(t, where)
	defer conn.Close()
	if d := call(t, "GET", url+"/v1/nodes/fake/management/boot_device", nil); d["boot_device"] != "cdrom" || d["persistent"] != true {
		t.Errorf("boot device %v", d)
	}
	call(t, "PUT", url+"/v1/nodes/real/states/console", map[string]any{"enabled": false})
	console(false)
	if rest, err := io.ReadAll(conn); err != nil || !strings.Contains(string(rest), "closed") {
		t.Errorf("the client was told %q, %v", rest, err)
	}
	call(t, "PUT", url+"/v1/nodes/real/states/boot_mode", map[string]any{"target": "uefi"})
	until(t, url+"/v1/nodes/real", "the boot mode", func(v map[string]any) bool { return v["boot_mode"] == "uefi" })
	if raw := server.Boot().Raw; raw[0] != 0xe0 {
		t.Errorf("the BMC has % x", raw)
	}
}
