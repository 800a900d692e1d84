package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ferric"
	"ferric/lab"
)

// endTime bounds stopping everything, which is done after Ctrl-C, too.
const endTime = 2 * time.Minute

// stopAll ends Ferric and the servers, whose disks go with them. After a failure the logs are kept.
func (d *demo) stopAll(keepLogs bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	d.screen.heading("Stop Ferric and the servers")
	if keepLogs && d.lab != nil {
		for _, m := range d.lab.Machines() {
			if err := quietly(ctx, "cp", m.Log(), d.path(m.Name+".console.log")); exist(m.Log()) && err != nil {
				return err
			}
		}
	}
	if err := d.takeDown(ctx); err != nil {
		return err
	}
	if keepLogs {
		d.screen.say("  The logs are in %s.", d.shown())
		return nil
	}
	return d.forget()
}

// takeDown ends the service and the lab.
func (d *demo) takeDown(ctx context.Context) error {
	stopped, err := stopService(ctx, d.path("data"))
	if err != nil {
		return err
	}
	if stopped {
		d.screen.say("  Ferric has stopped")
	}
	l, err := lab.Open(d.name, d.path("lab"))
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return d.orphans(ctx)
	}
	if err != nil {
		return err
	}
	d.command(d.ferric, "lab", "down", "--name", d.name, "--dir", d.shown("lab"))
	strangers, err := l.Down(ctx)
	if err != nil {
		return err
	}
	d.screen.say("  the servers, their disks and their network are gone")
	for _, s := range strangers {
		d.screen.say("  left alone, since it is not the demo's: %s (pid %d)", s.Command, s.PID)
	}
	return nil
}

// orphans looks for a namespace whose lab's state is gone: the directory was deleted while it was up.
func (d *demo) orphans(ctx context.Context) error {
	if !exist("/run/netns/" + d.name) {
		return nil
	}
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", d.name).Output()
	if err != nil {
		return fmt.Errorf("ip netns pids: %w", err)
	}
	text := fmt.Sprintf("the network namespace %s is there, but not its state in %s, so what runs in it is not touched. To remove it: ", d.name, d.shown())
	if pids := strings.Fields(string(out)); len(pids) > 0 {
		text += "kill " + strings.Join(pids, " ") + "; "
	}
	return errors.New(text + "ip netns delete " + d.name)
}

// removeAll removes what earlier runs left, except for the caches of the image and of the ramdisk's kernel.
func (d *demo) removeAll(ctx context.Context) error {
	if err := d.takeDown(ctx); err != nil {
		return fail("taking everything down", "", err)
	}
	names := []string{"data", "key", "key.pub", "ramdisk.sum", "ferric.log", doneFile}
	for _, pattern := range []string{"ssh-*", "*.console.log"} {
		found, err := filepath.Glob(d.path(pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	for _, name := range append(names, "lock") {
		if err := os.RemoveAll(d.path(name)); err != nil {
			return fail("removing the demo's files", "", err)
		}
	}
	// What the demo did not put there stays, and with it the directory.
	_ = os.Remove(d.dir)
	d.screen.say("Nothing of the demo is left but the caches.")
	return nil
}

// flags are the flags that this run was given, for the next one.
func (d *demo) flags() string {
	text := ""
	if dir := d.shown(); dir != "build/demo" {
		text += " --dir " + quote(d.cwd, dir)
	}
	if d.name != "ferric-demo" {
		text += " --name " + d.name
	}
	return text
}

// next says what one could try now.
func (d *demo) next() {
	d.screen.say("\nFerric and the servers are still up. What to try next:\n%s", d.suggestions(d.nodes[0].m.Name))
}

// suggestions are commands to try with a node, ready to be copied.
func (d *demo) suggestions(node string) string {
	var b strings.Builder
	about := func(text string) { fmt.Fprintf(&b, "\n  # %s\n", text) }
	line := func(args ...string) {
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(commandLine(d.cwd, args), "\n", "\n  "))
	}
	labFlags := []string{"--name", d.name, "--dir", d.shown("lab")}
	about("a shell on the servers' network")
	line("ip", "netns", "exec", d.name, "bash")
	line("export", "OS_AUTH_TYPE=none", "OS_ENDPOINT="+endpoint)
	line("openstack", "baremetal", "node", "list")
	about("in it: deploy again, kill Ferric meanwhile, start it again: the deploy carries on")
	line("openstack", "baremetal", "node", "set", node, "--instance-info", "image_source=file://"+d.image)
	fmt.Fprintf(&b, `  openstack baremetal node deploy %s --config-drive \
    '{"meta_data": {"hostname": "again", "public_keys": {"me": "'"$(cat %s)"'"}}}'`+"\n", node, quote(d.cwd, d.shown("key.pub")))
	fmt.Fprintf(&b, "  kill -9 $(pgrep -f %s)\n", quote(d.cwd, d.path("data")))
	serve := strings.ReplaceAll(commandLine(d.cwd, serveArgs(d.ferric, d.path("data"))), "\n", "\n  ")
	fmt.Fprintf(&b, "  %s >>%s 2>&1 &\n", serve, quote(d.cwd, d.shown("ferric.log")))
	line("openstack", "baremetal", "node", "show", node, "--fields", "provision_state", "deploy_step", "last_error")
	line("ssh", "-F", d.shown("ssh-"+node), node)
	about("in it: what took how long")
	line("openstack", "baremetal", "node", "history", "list", node)
	line("curl", "-s", endpoint+"/ferric/v1/nodes/"+node+"/operations")
	about("in another shell: the serial console; ~. leaves")
	line(append(append([]string{d.ferric, "lab", "console"}, labFlags...), node)...)
	about("the same again; or remove everything")
	fmt.Fprintf(&b, "  go run ./demo%[1]s\n  go run ./demo --down%[1]s", d.flags())
	return b.String()
}

// goOn says how to go on after a run that did not come to its end.
func (d *demo) goOn() {
	d.screen.say("\n`go run ./demo%[1]s` goes on from here; `go run ./demo --down%[1]s` removes everything.", d.flags())
}
