package main

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"ferric/test/cluster"
)

// upgrade replaces every conductor and API by a program of the next version, one at a time, while users deploy and clean; once it goes a step back. What
// the new ones begin is left to them by the old ones, even while no new one is there. Nothing may fail.
func upgrade(t *testing.T, c *cluster.Cluster) {
	ctx := t.Context()
	began := time.Now()
	next, err := cluster.BuildNext(ctx, filepath.Join(c.Dir, "next"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the next version was built after %s", time.Since(began).Round(time.Millisecond))
	db, err := c.Database("ferric")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	u := &upgrader{T: t, c: c, db: db}
	client := c.Client()
	defer client.Close()
	o := options{Deploys: 10, Nodes: 10, Log: t.Logf}
	nodes, err := enroll(ctx, client, o)
	if err != nil {
		t.Fatal(err)
	}
	first, second, third := c.Conductors[0], c.Conductors[1], c.Conductors[2]
	before := u.count("SELECT COALESCE(MAX(created_at), 0) FROM operations")

	var done atomic.Bool
	work := make(chan []error, 1)
	go func() { work <- users(ctx, client, nodes, o, done.Load) }()
	u.replace(first, next)
	u.replace(c.APIs[0], next)
	u.leftAlone(first)
	u.validates(nodes)
	if n := u.count("SELECT count(*) FROM operations WHERE kind <> 'deploy' AND needs > 1 AND created_at > $1", before); n > 0 {
		t.Errorf("%d operations are for the next version only, while old conductors are there", n)
	}
	u.replace(second, next)
	u.replace(second, "") // back: the old program takes the newer schema
	u.replace(third, next)
	u.replace(second, next)
	u.replace(c.APIs[1], next)
	u.until("work that is begun is for the next version", func() bool {
		return u.count("SELECT count(*) FROM operations WHERE kind <> 'deploy' AND needs = 2 AND created_at > $1", before) > 0
	})
	done.Store(true)
	for _, err := range <-work {
		t.Error(err)
	}
	t.Logf("all was replaced and all work had ended after %s", time.Since(began).Round(time.Millisecond))

	if n := u.count("SELECT count(*) FROM processes WHERE protocol_newest = 2 AND schema_known = 90000"); n != len(c.Conductors)+len(c.APIs) {
		t.Errorf("%d processes say that they are of the next version", n)
	}
	if s := client.Stats(); s.ServerErrors() > 0 {
		t.Errorf("requests failed: %v", s.Errors)
	}
	p, err := c.Prove(ctx, db, nodes)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range p.Problems {
		t.Error(problem)
	}
	t.Logf("%d destructive steps, %d of them twice", p.Executions, p.Twice)
}

// upgrader replaces programs and looks what happens.
type upgrader struct {
	*testing.T
	c  *cluster.Cluster
	db *sql.DB
}

func (u *upgrader) count(query string, args ...any) int {
	u.Helper()
	var n int
	if err := u.db.QueryRowContext(u.Context(), query, args...).Scan(&n); err != nil {
		u.Fatal(err)
	}
	return n
}

func (u *upgrader) until(what string, is func() bool) {
	u.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(deadline) {
			u.Fatalf("waited for a minute: %s", what)
		}
		sleep(u.Context(), 50*time.Millisecond)
	}
}

// replace puts another program in a process's place and waits until it serves.
func (u *upgrader) replace(p *cluster.Process, program string) {
	u.Helper()
	if err := p.Replace(program); err != nil {
		u.Fatal(err)
	}
	u.serves(p)
}

// serves waits until a process says that it is alive.
func (u *upgrader) serves(p *cluster.Process) {
	u.Helper()
	if p.Kind == cluster.Conductor {
		u.alive(len(u.c.Conductors))
		return
	}
	for i, api := range u.c.APIs {
		if api == p {
			direct := u.c.Client(cluster.Direct(u.c.APIAddresses()[i]))
			defer direct.Close()
			u.until(p.Name+" answers", func() bool {
				_, err := direct.ConductorsAlive(u.Context())
				return err == nil
			})
		}
	}
}

func (u *upgrader) alive(want int) {
	u.Helper()
	client := u.c.Client()
	defer client.Close()
	u.until("conductors are alive", func() bool {
		n, err := client.ConductorsAlive(u.Context())
		return err == nil && n == want
	})
}

// leftAlone kills the only conductor of the next version in the middle of a deploy that it began. The old ones are alive, and do not touch it.
func (u *upgrader) leftAlone(p *cluster.Process) {
	u.Helper()
	const its = "SELECT count(*) FROM operations WHERE ended_at = 0 AND needs = 2"
	for try := 1; ; try++ {
		u.until("the new conductor deploys", func() bool { return u.count(its) > 0 })
		p.Kill()
		if u.count(its) > 0 {
			break
		}
		if try == 20 {
			u.Fatal("the deploys of the new conductor always end at once")
		}
		if err := p.Start(); err != nil {
			u.Fatal(err)
		}
		u.serves(p)
	}
	left := u.count(its)
	u.alive(len(u.c.Conductors) - 1)
	sleep(u.Context(), 4*time.Second) // leases end, and others take over what they can
	const untouched = its + " AND conductor = $1"
	if n := u.count(untouched, p.Name); n != left {
		u.Errorf("%d of %d deploys of the next version were left alone", n, left)
	}
	if u.count("SELECT count(*) FROM operations WHERE needs = 2 AND status = 'failed'") > 0 {
		u.Error("a deploy of the next version has failed")
	}
	u.Logf("%d deploys were left to the next version", left)
	if err := p.Start(); err != nil {
		u.Fatal(err)
	}
	u.serves(p)
}

// validates asks the new API to validate nodes: the call is for the new conductor, whoever serves them.
func (u *upgrader) validates(nodes []*cluster.Node) {
	u.Helper()
	ctx, cancel := context.WithTimeout(u.Context(), time.Minute)
	defer cancel()
	client := u.c.Client(cluster.Direct(u.c.APIAddresses()[0]))
	defer client.Close()
	for _, n := range nodes {
		if err := client.Do(ctx, http.MethodGet, "/v1/nodes/"+n.UUID+"/validate", nil, nil); err != nil {
			u.Errorf("validate a node by a call of the next version: %v", err)
		}
	}
}
