package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "ferric/store" // the database driver
)

// mustKill are the moments of a deploy in which Ferric must be caught and killed: they last long enough to be seen on any machine. Of the others, which
// are over in a few milliseconds, some are caught; all of them have a test of their own (TestKilledAtEveryWrite in package conductor).
var mustKill = []string{"deploy", "deploy, agent awaited", "write_image", "write_image, in its middle", "prepare_instance_boot", "tear_down_agent", "hold", "boot_instance"}

// deployThroughKills kills Ferric in every step of a deploy, as soon as the ledger says that it is begun, and starts it again each time. When the deploy rests
// at its hold the machine's disk must be as the image is.
func (s *site) deployThroughKills(n *node, console int) {
	s.t.Helper()
	uuid := n.get()["uuid"].(string)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "ferric.db")+"?mode=ro")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	killed := map[string]bool{}
	var unholding chan struct{}
	for deadline := time.Now().Add(deployTime); ; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: the deploy is not over after %s; killed in %v", n.name, deployTime, killed)
		}
		at, over, err := moment(db, uuid)
		if err != nil {
			s.t.Fatal(err)
		}
		if over {
			break
		}
		if at == "write_image" && killed[at] && n.shows(`step=write_image percent=[1-9]`, console) {
			at = "write_image, in its middle"
		}
		if at != "" && !killed[at] {
			s.t.Logf("%s: kill -9 in %s", n.name, at)
			killed[at] = true
			s.kill()
			if at == "hold" {
				s.checkImage(n)
			}
			s.launch()
			if at == "hold" {
				s.healthy()
			}
		}
		if at == "hold" && unholding == nil {
			unholding = make(chan struct{})
			go func() { // the next steps are over soon: they are watched meanwhile
				defer close(unholding)
				n.call("PUT", "/v1/nodes/"+n.name+"/states/provision", map[string]any{"target": "unhold"})
			}()
		}
	}
	<-unholding
	s.healthy()
	n.until(deployTime, "active")
	for _, at := range mustKill {
		if !killed[at] {
			s.t.Errorf("%s: Ferric was not killed in %q", n.name, at)
		}
	}
	s.t.Logf("%s: killed %d times; steps and how often they were begun: %v", n.name, len(killed), n.steps())
	// The write was begun once by the conductor that was killed and looked after by the next one; the agent ran it once.
	text, err := os.ReadFile(n.m.Log())
	if err != nil {
		s.t.Fatal(err)
	}
	if writes := bytes.Count(text, []byte("command accepted command=deploy.execute_deploy_step")); writes != 1 {
		s.t.Errorf("%s: the agent wrote the image %d times, want once", n.name, writes)
	}
}

// moment says in which step a node's deploy is, "" while none is begun; over is true when there is no deploy any more.
func moment(db *sql.DB, node string) (at string, over bool, err error) {
	var step, status, operation, what string
	err = db.QueryRow("SELECT s.name, s.status, o.status, o.wait_what FROM operations o JOIN steps s ON s.operation_id = o.id AND s.seq = o.step_cursor "+
		"WHERE o.node_uuid = ? AND o.kind = 'deploy' AND o.ended_at = 0", node).Scan(&step, &status, &operation, &what)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", true, nil
	case err != nil && strings.Contains(err.Error(), "locked"): // Ferric is just opening it
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("read the ledger: %w", err)
	case operation == "held":
		return "hold", false, nil
	case status == "waiting" && step == "deploy" && strings.Contains(what, "first call"):
		return "deploy, agent awaited", false, nil
	case status == "running" || status == "waiting":
		return step, false, nil
	}
	return "", false, nil
}

// shows reports whether the machine has written what matches, after the first skip bytes.
func (n *node) shows(pattern string, skip int) bool {
	b, err := os.ReadFile(n.m.Log())
	return err == nil && len(b) > skip && regexp.MustCompile(pattern).Match(b[skip:])
}

// checkImage compares the disk of a machine that is off with the image, byte for byte. What the deploy changes is left out: the partition table at the
// image's beginning and at its end (its second copy belongs at the end of the disk). Behind the image lies the config drive.
func (s *site) checkImage(n *node) {
	s.t.Helper()
	if n.m.On() {
		s.t.Fatalf("%s runs; its disk cannot be compared with the image", n.name)
	}
	disk, err := os.Open(n.m.Disk(0))
	if err != nil {
		s.t.Fatal(err)
	}
	defer disk.Close()
	image, err := os.Open(s.image.Raw)
	if err != nil {
		s.t.Fatal(err)
	}
	defer image.Close()
	const sector, table = 512, 34 * 512
	code := make([][446]byte, 2) // the boot loader's first part, in front of the table
	for i, f := range []*os.File{disk, image} {
		if _, err := f.ReadAt(code[i][:], 0); err != nil {
			s.t.Fatal(err)
		}
	}
	if code[0] != code[1] {
		s.t.Errorf("%s: the boot sector's code is not the image's", n.name)
	}
	compared := int64(0)
	a, b := make([]byte, 4<<20), make([]byte, 4<<20)
	for at := int64(table); at < s.image.Size-table; {
		size := min(int64(len(a)), s.image.Size-table-at)
		_, errA := io.ReadFull(io.NewSectionReader(disk, at, size), a[:size])
		_, errB := io.ReadFull(io.NewSectionReader(image, at, size), b[:size])
		if errA != nil || errB != nil {
			s.t.Fatalf("%s: read disk and image at %d: %v, %v", n.name, at, errA, errB)
		}
		if !bytes.Equal(a[:size], b[:size]) {
			for i := int64(0); i < size; i++ {
				if a[i] != b[i] {
					s.t.Fatalf("%s: the disk differs from the image at byte %d (sector %d): 0x%02x, want 0x%02x", n.name, at+i, (at+i)/sector, a[i], b[i])
				}
			}
		}
		at += size
		compared += size
	}
	if compared < s.image.Size-2*table {
		s.t.Errorf("%s: only %d of %d bytes were compared", n.name, compared, s.image.Size)
	}
	if out := s.run("sgdisk", "-v", n.m.Disk(0)); !strings.Contains(out, "No problems found") {
		s.t.Errorf("%s: sgdisk -v: %s", n.name, out)
	}
	s.t.Logf("%s: the disk is as the image is, in %d bytes", n.name, compared)
}

// cutPower takes the power from a machine while it writes its image, as soon as the console tells that it is in the middle. What went wrong comes by the channel.
func (s *site) cutPower(n *node, console int) <-chan error {
	done := make(chan error, 1)
	go func() {
		for deadline := time.Now().Add(deployTime); ; time.Sleep(50 * time.Millisecond) {
			if n.shows(`step=write_image percent=[1-9]`, console) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				done <- n.m.Stop(ctx)
				return
			}
			if time.Now().After(deadline) {
				done <- fmt.Errorf("%s does not write its image", n.name)
				return
			}
		}
	}()
	return done
}

// checkPowerCut looks whether the machine was started anew, and its image written again from its beginning.
func checkPowerCut(t *testing.T, n *node) {
	t.Helper()
	var have []string
	for _, s := range n.operation()["steps"].([]any) {
		s := s.(map[string]any)
		if name := s["step"].(string); name == "write_image" || name == "restart_ramdisk" {
			have = append(have, fmt.Sprint(name, " ", s["status"]))
		}
	}
	if got, want := strings.Join(have, ", "), "write_image skipped, restart_ramdisk succeeded, write_image succeeded"; got != want {
		t.Errorf("%s: after a power cut in the middle of its image: %s; want %s", n.name, got, want)
	}
}
