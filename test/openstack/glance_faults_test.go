package openstack

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

// gateway stands between Ferric and Glance and does what networks do. Downloads are the requests for the rest of an image's data; those for
// a few bytes of it pass.
type gateway struct {
	server *httptest.Server
	glance *url.URL

	mu       sync.Mutex
	away     bool          // no request is answered
	noRanges bool          // Glance's store can only be read from the beginning
	damaged  bool          // a bit of every download is wrong
	cut      int64         // downloads break off after so many bytes; 0: never
	cuts     int           // how many still do; negative: all
	hold     chan struct{} // a download that is cut stands still until this is closed
	held     chan struct{} // closed when one does
	from     []int64       // where the downloads began
}

func (c *cloud) gateway(t *testing.T) *gateway {
	t.Helper()
	at, err := url.Parse(c.service(t, openstack.NewImageV2).Endpoint)
	check(t, err)
	g := &gateway{glance: at}
	g.server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.server.Close)
	return g
}

// setting makes Ferric go through the gateway.
func (g *gateway) setting() string { return "openstack.endpoint_override=image=" + g.server.URL }

func (g *gateway) with(change func(*gateway)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(g)
}

func (g *gateway) began() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]int64(nil), g.from...)
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	away, noRanges, damaged, hold, held := g.away, g.noRanges, g.damaged, g.hold, g.held
	ranges := r.Header.Get("Range")
	download := strings.HasSuffix(r.URL.Path, "/file") && (ranges == "" || strings.HasSuffix(ranges, "-"))
	limit := int64(-1)
	if download && !away {
		from, _ := strconv.ParseInt(strings.Trim(ranges, "bytes=-"), 10, 64)
		g.from = append(g.from, from)
		if g.cut > 0 && g.cuts != 0 {
			limit = g.cut
			g.cuts--
		}
	}
	g.mu.Unlock()
	if away {
		panic(http.ErrAbortHandler)
	}
	target := *g.glance
	target.Path, target.RawQuery = r.URL.Path, r.URL.RawQuery
	request, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request.Header = r.Header.Clone()
	if noRanges {
		request.Header.Del("Range")
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	for k, v := range answer.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.StatusCode)
	body := io.Reader(answer.Body)
	if damaged && download {
		body = io.MultiReader(strings.NewReader("damaged!"), skip(answer.Body, 8))
	}
	if limit < 0 {
		_, _ = io.Copy(w, body)
		return
	}
	_, _ = io.CopyN(w, body, limit)
	_ = http.NewResponseController(w).Flush()
	if hold != nil {
		select {
		case <-held:
		default:
			close(held)
		}
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	panic(http.ErrAbortHandler)
}

func skip(r io.Reader, n int64) io.Reader {
	_, _ = io.CopyN(io.Discard, r, n)
	return r
}

// TestGlanceCut: a download that breaks off goes on where it was, or begins anew where Glance's store cannot do that; the image arrives whole.
func TestGlanceCut(t *testing.T) {
	c := newCloud(t)
	for name, tt := range map[string]struct {
		mac    string
		change func(*gateway)
		from   []int64 // nil: more and more
	}{
		"every megabyte": {"52:54:00:6c:00:21", func(g *gateway) { g.cut, g.cuts = 1<<20, -1 }, nil},
		"no ranges":      {"52:54:00:6c:00:22", func(g *gateway) { g.cut, g.cuts, g.noRanges = 1<<20, 2, true }, []int64{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			g := c.gateway(t)
			f := c.startWithImages(t, g.setting())
			id, data := c.upload(t, images.CreateOpts{}, 5<<20)
			node, a := f.bareMetal(t, "glance-cut", tt.mac, nil)
			f.instance(t, node, map[string]any{"image_source": id})
			g.with(tt.change)
			f.provision(t, node, "active", "active")
			if got := a.images(); len(got) != 1 || got[0] != sum(data) {
				t.Errorf("the machine has %v, want %s", got, sum(data))
			}
			from := g.began()
			if tt.from == nil {
				for i, at := range from {
					if at != int64(i)<<20 {
						t.Errorf("downloads began at %v, want one at each megabyte", from)
						break
					}
				}
			}
			if tt.from != nil && len(from) < len(tt.from) || tt.from == nil && len(from) != 5 {
				t.Errorf("downloads began at %v", from)
			}
		})
	}
}

// TestGlanceDamaged: an image that is not what Glance says is never given to a machine.
func TestGlanceDamaged(t *testing.T) {
	c := newCloud(t)
	g := c.gateway(t)
	f := c.startWithImages(t, g.setting())
	id, _ := c.upload(t, images.CreateOpts{}, 1<<20)
	node, a := f.bareMetal(t, "glance-damaged", "52:54:00:6c:00:23", nil)
	f.instance(t, node, map[string]any{"image_source": id})
	g.with(func(g *gateway) { g.damaged = true })
	n := f.provision(t, node, "active", "deploy failed")
	text, _ := n["last_error"].(string)
	for _, w := range []string{"checksum mismatch", "glance://" + id, "sha512"} {
		if !strings.Contains(text, w) {
			t.Errorf("last_error %q does not say %q", text, w)
		}
	}
	if got := a.images(); len(got) > 0 {
		t.Errorf("the machine has %v", got)
	}
	g.with(func(g *gateway) { g.damaged = false })
	f.provision(t, node, "active", "active")
}

// TestGlanceAway: Ferric is killed in the middle of a download, and Glance is away when it comes back. The deploy waits, goes on with what it had, and ends.
func TestGlanceAway(t *testing.T) {
	c := newCloud(t)
	g := c.gateway(t)
	f := c.startWithImages(t, g.setting())
	id, data := c.upload(t, images.CreateOpts{}, 6<<20)
	node, a := f.bareMetal(t, "glance-away", "52:54:00:6c:00:24", nil)
	f.instance(t, node, map[string]any{"image_source": id})
	hold, held := make(chan struct{}), make(chan struct{})
	g.with(func(g *gateway) { g.cut, g.cuts, g.hold, g.held = 4<<20, 1, hold, held })
	f.must(t, http.MethodPut, "/v1/nodes/"+node+"/states/provision", map[string]any{"target": "active"})
	select {
	case <-held:
	case <-time.After(2 * time.Minute):
		t.Fatal("nobody fetches the image")
	}
	f.kill()
	close(hold)
	g.with(func(g *gateway) { g.away = true })
	f.run(t)
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(f.log.String(), "Glance to hand an image out"); time.Sleep(100 * time.Millisecond) {
		n := f.must(t, http.MethodGet, "/v1/nodes/"+node, nil)
		if n["provision_state"] != "deploying" || time.Now().After(deadline) {
			t.Fatalf("the node is %v (%v), and does not wait for Glance", n["provision_state"], n["last_error"])
		}
	}
	f.refusedWhileAway(t, id)
	g.with(func(g *gateway) { g.away = false })
	f.until(t, node, "active")
	if got := a.images(); len(got) != 1 || got[0] != sum(data) {
		t.Errorf("the machine has %v, want %s", got, sum(data))
	}
	if from := g.began(); len(from) < 2 || from[0] != 0 || from[len(from)-1] == 0 {
		t.Errorf("downloads began at %v: what had arrived was not used", from)
	}
}

// refusedWhileAway: a deploy that is asked for while Glance is away is refused with a status that makes clients ask again.
func (f *ferric) refusedWhileAway(t *testing.T, image string) {
	t.Helper()
	node := f.node(t, map[string]any{"deploy_interface": "direct", "boot_interface": "fake", "network_interface": "noop", "instance_info": map[string]any{"image_source": image}})
	f.provision(t, node, "manage", "manageable")
	f.provision(t, node, "provide", "available")
	f.refused(t, node, http.StatusServiceUnavailable, "Glance is unavailable")
}
