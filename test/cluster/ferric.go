package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Journals is the folder in which the fake machines note what was done to their disks.
func (c *Cluster) Journals() string { return filepath.Join(c.Dir, "journal") }

// startFerric starts conductors and APIs, and waits until all conductors are known to every API.
func (c *Cluster) startFerric(ctx context.Context) error {
	if err := os.MkdirAll(c.Journals(), 0o700); err != nil {
		return err
	}
	for i := range c.Spec.Conductors {
		if err := c.ferric(ctx, &c.Conductors, fmt.Sprintf("c%d", i+1), Conductor, firstConductor+i, DB, Bus, BMC); err != nil {
			return err
		}
	}
	for i := range c.Spec.APIs {
		if err := c.ferric(ctx, &c.APIs, fmt.Sprintf("a%d", i+1), APIServer, firstAPI+i, DB, Bus, API); err != nil {
			return err
		}
	}
	for i, url := range c.APIAddresses() {
		client := c.Client(Direct(url))
		err := until(ctx, 2*time.Minute, fmt.Sprintf("%s to know all conductors", c.APIs[i].Name), func(ctx context.Context) error {
			alive, err := client.ConductorsAlive(ctx)
			if err == nil && alive != c.Spec.Conductors {
				err = fmt.Errorf("%d are alive", alive)
			}
			return err
		})
		client.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// ferric starts a ferric serve on a host of its own.
func (c *Cluster) ferric(ctx context.Context, list *[]*Process, name, role string, number int, nets ...string) error {
	h, err := c.host(ctx, name, number, nets...)
	if err != nil {
		return err
	}
	var bus []string
	for i := range c.Spec.NATS {
		bus = append(bus, fmt.Sprintf("nats://%s:4222", address(Bus, firstNATS+i)))
	}
	// Every host has the same key, which the first one makes here and an operator copies.
	args := []string{"serve", "--roles", role, "--host", name, "--data-dir", filepath.Join(c.Dir, name)}
	for _, s := range append([]string{"database.url=" + databaseURL("ferric"), "database.key_file=" + filepath.Join(c.Dir, "secret.key"),
		"bus.url=" + strings.Join(bus, ","), "api.listen=" + address(API, number) + ":6385", "fake.journal=" + c.Journals(), "metrics.enabled=false"},
		c.Settings...) {
		args = append(args, "--set", s)
	}
	if role == Conductor {
		args = append(args, "--set", "api.listen=127.0.0.1:6385")
	}
	p, err := c.process(h, role, func() *exec.Cmd { return exec.Command(filepath.Join(c.Bin, "ferric"), args...) })
	if err != nil {
		return err
	}
	*list = append(*list, p)
	return p.Start()
}

// APIAddresses are host and port of the APIs.
func (c *Cluster) APIAddresses() []string {
	var all []string
	for i := range c.Spec.APIs {
		all = append(all, address(API, firstAPI+i)+":6385")
	}
	return all
}
