package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
)

// round is a number of deploys, some at a time.
type round struct{ deploys, atOnce int }

// BenchmarkDeploy measures how many fake-hardware nodes are deployed a minute: from the request to the state active, as a client sees it that asks
// again and again.
func BenchmarkDeploy(b *testing.B) {
	rounds := ourRounds
	var s *service
	if *target == "" {
		s = ownService(b, deploys(rounds), ferric.Available, *postgres)
	} else {
		rounds = peerRounds
		s = newService(*target)
		s.fill(b, deploys(rounds))
		s.makeAvailable(b, s.uuids(b)[:deploys(rounds)])
	}
	next := s.uuids(b)
	for _, r := range rounds {
		b.Run(fmt.Sprint(r.atOnce), func(b *testing.B) {
			f := s.deploy(b, next[:r.deploys], r.atOnce)
			next = next[r.deploys:]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(f.rate*60, "deploys/min")
			b.ReportMetric(f.p50, "ms-p50")
			b.ReportMetric(f.p99, "ms-p99")
			if f.cpu > 0 {
				b.ReportMetric(f.cpu*1e3, "cpu-µs/deploy")
			}
			if f.allocs > 0 {
				b.ReportMetric(f.allocs, "mallocs/deploy")
			}
		})
	}
}

func deploys(rounds []round) (n int) {
	for _, r := range rounds {
		n += r.deploys
	}
	return n
}

// makeAvailable takes new nodes to the state in which they can be deployed.
func (s *service) makeAvailable(b *testing.B, uuids []string) {
	s.provision(b, uuids, 50, "manage", "manageable")
	s.provision(b, uuids, 50, "provide", "available")
}

func (s *service) deploy(b *testing.B, uuids []string, atOnce int) figures {
	return s.provision(b, uuids, atOnce, "active", "active")
}

// provision sends nodes to a provision state, so many at a time, and waits until they are there.
func (s *service) provision(b *testing.B, uuids []string, atOnce int, verb, want string) figures {
	times := make([]float64, len(uuids))
	var next atomic.Int64
	var work sync.WaitGroup
	allocs, cpu, began := s.allocs(b), s.cpu(b), time.Now()
	for range min(atOnce, len(uuids)) {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(uuids) && !b.Failed(); i = int(next.Add(1)) - 1 {
				at := time.Now()
				s.provisionOne(b, uuids[i], verb, want)
				times[i] = float64(time.Since(at).Microseconds()) / 1000
			}
		})
	}
	work.Wait()
	took, count := time.Since(began).Seconds(), float64(len(uuids))
	if b.Failed() {
		b.FailNow()
	}
	return figures{name: fmt.Sprint(atOnce), rate: count / took, p50: quantile(times, 0.5), p99: quantile(times, 0.99), cpu: (s.cpu(b) - cpu) * 1e3 / count,
		allocs: (s.allocs(b) - allocs) / count}
}

// provisionOne asks for a state and looks until the node has it: the next look comes after a quarter of the time that has passed.
func (s *service) provisionOne(b *testing.B, uuid, verb, want string) {
	const patience = 10 * time.Minute
	pause := func(since time.Time) {
		time.Sleep(min(time.Second, max(time.Millisecond, time.Since(since)/4)))
	}
	began := time.Now()
	for {
		status, text := s.send(b, s.request("PUT", "/v1/nodes/"+uuid+"/states/provision", map[string]any{"target": verb}))
		if status == http.StatusAccepted {
			break
		}
		busy := status == http.StatusServiceUnavailable || bytes.Contains(text, []byte("oncurren")) // no worker, or too many deploys at once
		if !busy || time.Since(began) > patience || b.Failed() {
			b.Errorf("%s of node %s: %d %.300s", verb, uuid, status, text)
			return
		}
		pause(began)
	}
	for !b.Failed() {
		var n struct {
			State string `json:"provision_state"`
			Error string `json:"last_error"`
		}
		text := s.do(b, s.request("GET", "/v1/nodes/"+uuid+"?fields=provision_state,last_error", nil))
		if err := json.Unmarshal(text, &n); err != nil {
			b.Error(err)
			return
		}
		if n.State == want {
			return
		}
		if n.Error != "" || time.Since(began) > patience {
			b.Errorf("%s of node %s: it is %s, not %s: %s", verb, uuid, n.State, want, n.Error)
			return
		}
		pause(began)
	}
}
