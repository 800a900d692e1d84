package bench

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

var (
	agents = flag.Int("agents", 10000, "BenchmarkHeartbeats: how many agents there are; each calls once a second")
	storm  = flag.Duration("storm", 20*time.Second, "BenchmarkHeartbeats: how long they call")
)

// BenchmarkHeartbeats has agents call `ferric serve` once a second each, over HTTP with tokens, while others read and change nodes. One of a hundred
// agents is in an operation, so that its heartbeat is written at once; the others are idle. It shows how many heartbeats a second came through,
// the service's processor time for one, and what the storm does to the API.
func BenchmarkHeartbeats(b *testing.B) {
	bin, dir := filepath.Join(b.TempDir(), "ferric"), b.TempDir()
	build(b, bin)
	calls := prepareAgents(b, dir, *agents)
	s := &service{client: &http.Client{Timeout: time.Minute}, version: "1.82"}
	s.url, s.pid = start(b, bin, dir)
	address := strings.TrimPrefix(s.url, "http://")
	for _, c := range []struct {
		name        string
		connections int
		others      bool // read and change nodes meanwhile
	}{{"api", 0, true}, {"storm", 64, false}, {"both", 64, true}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), *storm)
				var work sync.WaitGroup
				var next, sent atomic.Int64
				cpu, began := s.cpu(b), time.Now()
				var mu sync.Mutex
				var waits []float64
				for range c.connections {
					work.Go(func() {
						took := stormOn(b, ctx, address, calls, began, &next, &sent)
						mu.Lock()
						waits = append(waits, took...)
						mu.Unlock()
					})
				}
				var api []float64
				for c.others && ctx.Err() == nil {
					api = append(api, s.askAround(b)...)
				}
				work.Wait()
				took := time.Since(began).Seconds()
				cancel()
				if c.others {
					b.ReportMetric(quantile(api, 0.5), "api-ms-p50")
					b.ReportMetric(quantile(api, 0.99), "api-ms-p99")
				}
				if c.connections > 0 {
					b.ReportMetric(float64(sent.Load())/took, "heartbeats/s")
					b.ReportMetric(quantile(waits, 0.99), "heartbeat-ms-p99")
				}
				if c.connections > 0 && !c.others {
					b.ReportMetric((s.cpu(b)-cpu)*1e6/float64(sent.Load()), "cpu-µs/heartbeat")
				}
				b.ReportMetric((s.cpu(b)-cpu)/took*100, "cpu-%")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// prepareAgents makes a database with nodes whose agents have called, and returns the heartbeat of each.
func prepareAgents(b *testing.B, dir string, count int) [][]byte {
	b.Helper()
	c := store.Defaults()
	c.DataDir, c.Migrate = dir, true
	s, err := store.Open(b.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	check := func(err error) {
		if err != nil {
			b.Error(err)
		}
	}
	calls := make([][]byte, count)
	var work sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < count && !b.Failed(); i = int(next.Add(1)) - 1 {
				n := &ferric.Node{Driver: "fake-hardware", Name: nodeName(i), ProvisionState: ferric.Available}
				busy := i%100 == 0
				if busy {
					n.ProvisionState, n.TargetProvisionState = []ferric.ProvisionState{ferric.DeployWait, ferric.CleanWait}[i/100%2], ferric.Active
				}
				check(s.CreateNode(b.Context(), n))
				check(s.BeginAgentSession(b.Context(), n.UUID))
				token := fmt.Sprintf("token-of-agent-%032d", i)
				url := fmt.Sprintf("https://10.%d.%d.%d:9999", i>>16, i>>8&255, i&255)
				_, err := s.ChangeAgentSession(b.Context(), n.UUID, func(a *ferric.AgentSession) error {
					a.Token, a.CallbackURL, a.Version, a.LookedUpAt, a.LastHeartbeat = token, url, "9.9", time.Now(), time.Now()
					return nil
				})
				check(err)
				if busy {
					waitForever(b, s, n.UUID)
				}
				body := fmt.Sprintf(`{"callback_url":%q,"agent_version":"9.9","agent_token":%q}`, url, token)
				calls[i] = fmt.Appendf(nil, "POST /v1/heartbeat/%s HTTP/1.1\r\nHost: ferric\r\nContent-Type: application/json\r\n%s: 1.68\r\nContent-Length: %d\r\n\r\n%s",
					n.UUID, versionHeader, len(body), body)
			}
		})
	}
	work.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return calls
}

// waitForever begins an operation that waits for something else than the agent: heartbeats are counted for it and do not wake it.
func waitForever(b *testing.B, s *store.Store, node string) {
	l, err := s.Acquire(b.Context(), node, "bench", time.Hour)
	if err == nil {
		_, err = s.Start(b.Context(), l, &flow.Operation{Kind: "deploy", Lane: flow.Provision, Status: flow.Waiting, WaitFor: "something else",
			Steps: []flow.Step{{Interface: "deploy", Name: "write_image", Repeat: flow.Safe, Status: flow.Waiting}}}, nil)
	}
	if err == nil {
		err = s.Release(b.Context(), l)
	}
	if err != nil {
		b.Error(err)
	}
}

// stormOn sends heartbeats over one connection, each when it is its turn, and returns how late their answers came in ms.
func stormOn(b *testing.B, ctx context.Context, address string, calls [][]byte, began time.Time, next, sent *atomic.Int64) (waits []float64) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for ctx.Err() == nil {
		i := next.Add(1) - 1
		due := began.Add(time.Duration(i) * time.Second / time.Duration(len(calls)))
		time.Sleep(time.Until(due))
		asked := time.Now()
		if _, err := conn.Write(calls[i%int64(len(calls))]); err != nil {
			b.Error(err)
			return waits
		}
		if err := accepted(answers); err != nil {
			b.Error(err)
			return waits
		}
		sent.Add(1)
		waits = append(waits, float64(time.Since(asked).Microseconds())/1000)
	}
	return waits
}

// accepted reads an answer, which must be 202.
func accepted(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	good := bytes.Contains(status, []byte(" 202 "))
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(length)); err != nil {
		return err
	}
	if !good {
		return fmt.Errorf("the heartbeat was refused: %.300s", body.String())
	}
	return nil
}

// askAround does what people do with an API meanwhile, and returns how long each request took in ms.
func (s *service) askAround(b *testing.B) (took []float64) {
	one := "/v1/nodes/" + nodeName(rand.IntN(*agents)/100*100+1)
	for _, req := range []*http.Request{
		s.request("GET", one, nil),
		s.request("GET", "/v1/nodes?limit=100", nil),
		s.request("PATCH", one, []map[string]any{{"op": "add", "path": "/extra/n", "value": rand.IntN(1 << 30)}}),
	} {
		at := time.Now()
		s.do(b, req)
		took = append(took, float64(time.Since(at).Microseconds())/1000)
		time.Sleep(5 * time.Millisecond)
	}
	return took
}
