package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"ferric/lab"
	"ferric/lab/bmc"

	"golang.org/x/sync/errgroup"
)

// labBMCs runs many BMCs in this process until it is told to stop.
func labBMCs(ctx context.Context, c *labCall) error {
	o := bmc.FleetOptions{First: netip.AddrFrom4([4]byte{127, 16, 0, 1}), User: bmc.User{Name: "admin", Password: "secret"}}
	var e lab.Enrolment
	c.flags.IntVar(&o.Count, "count", 100, "number of BMCs")
	c.flags.TextVar(&o.First, "address", o.First, "loopback `ADDRESS` of the first BMC; each of the others has the next one")
	c.flags.IntVar(&o.Port, "port", 6230, "UDP port of all of them")
	c.flags.StringVar(&o.User.Name, "user", o.User.Name, "user name")
	c.flags.StringVar(&o.User.Password, "password", o.User.Password, "password")
	c.flags.Uint64Var(&o.Seed, "seed", 1, "decides which BMCs are dead, which datagrams are lost, how late replies are, and which machines are on")
	c.flags.DurationVar(&o.Latency, "latency", 0, "time before each reply")
	c.flags.DurationVar(&o.Jitter, "jitter", 0, "up to so much more")
	c.flags.Float64Var(&o.Loss, "loss", 0, "`SHARE` of the datagrams that are lost in each direction, e.g. 0.01")
	c.flags.Float64Var(&o.Dead, "dead", 0, "`SHARE` of the BMCs that do not answer, e.g. 0.05")
	c.flags.Float64Var(&o.On, "on", 0, "`SHARE` of the machines that are on at first")
	c.flags.StringVar(&e.URL, "enrol", "", "`URL` of the API to make a node for each BMC at (bmc-00000, …); user and password in it are for HTTP basic authentication")
	c.flags.StringVar(&e.State, "state", "available", "provision state of these nodes: enroll, manageable (each BMC is verified) or available (taken as it is)")
	c.flags.IntVar(&e.Clients, "clients", 16, "requests at the same time")
	control := c.flags.String("control", "", "`HOST:PORT` to control the BMCs at: GET /status and /bmcs, POST /power, /dead and /restart")
	stats := c.flags.Duration("stats", 10*time.Second, "time between two lines of statistics; 0: none")
	if err := c.parse(0, 0); err != nil {
		return err
	}
	e.Token = os.Getenv("OS_TOKEN")
	o.Logger = slog.New(slog.NewTextHandler(c.stderr, nil))
	fleet, err := bmc.StartFleet(o)
	if err != nil {
		return err
	}
	defer fleet.Close()
	fmt.Fprintf(c.stdout, "%d BMCs at %s to %s, user %s\n", fleet.Len(), fleet.Addr(0), fleet.Addr(fleet.Len()-1), o.User.Name)

	group, ctx := errgroup.WithContext(ctx)
	if *control != "" {
		listener, err := net.Listen("tcp", *control)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: lab.FleetControl(fleet), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute}
		fmt.Fprintf(c.stdout, "control at http://%s\n", listener.Addr())
		group.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		defer context.AfterFunc(ctx, func() { server.Close() })()
	}
	if e.URL != "" {
		group.Go(func() error {
			done, err := e.Enrol(ctx, fleet)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "enrolled: %d nodes made, %d were there, %d not taken to %s, in %s\n", done.Created, done.There, done.Refused,
				e.State, done.Took.Round(time.Millisecond))
			return err
		})
	}
	group.Go(func() error { return fleetStats(ctx, c, fleet, *stats) })
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// fleetStats writes a line every interval until ctx ends.
func fleetStats(ctx context.Context, c *labCall, fleet *bmc.Fleet, interval time.Duration) error {
	if interval <= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for before := fleet.Stats(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now := fleet.Stats()
		took := now.Seconds - before.Seconds
		fmt.Fprintf(c.stderr, "%.0f commands/s, %.0f logins/s, %d sessions, %d of %d dead, %d on, %d datagrams in, %d out, %d lost\n",
			float64(now.Commands-before.Commands)/took, float64(now.Logins-before.Logins)/took, now.Sessions, now.Dead, now.BMCs, now.On,
			now.Received, now.Sent, now.Lost)
		before = now
	}
}
