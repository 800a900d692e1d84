package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"
)

// block returns the fenced block of a document that begins with a text.
func block(t *testing.T, doc, first string) string {
	t.Helper()
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\n```[a-z]*\n("+regexp.QuoteMeta(first)+".*?)```").FindAllStringSubmatch(string(text), -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks that begin with %q", doc, len(found), first)
	}
	return found[0][1]
}

// replace replaces what must be there.
func replace(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for p := range slices.Chunk(pairs, 2) {
		if !strings.Contains(text, p[0]) {
			t.Fatalf("no %q in\n%s", p[0], text)
		}
		text = strings.ReplaceAll(text, p[0], p[1])
	}
	return text
}

var addresses = regexp.MustCompile(`(10\.0\.0\.\d+|0\.0\.0\.0):\d+`)

// TestThreeHosts runs the example of docs/scale-out.md: three hosts with all roles, a cluster of three NATS servers with TLS and passwords. The files are the
// document's, with this machine's addresses, folders and PostgreSQL.
func TestThreeHosts(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it starts many processes, and the race detector sees nothing of them")
	}
	toml, nats := block(t, "../../docs/scale-out.md", "host = "), block(t, "../../docs/scale-out.md", "server_name: ")
	dir := t.TempDir()
	for _, name := range []string{"cert", "ca"} { // one certificate, signed by itself, is both
		if err := os.Link(selfSigned(t, dir), filepath.Join(dir, name+".pem")); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("word"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("htpasswd", "admin:"+string(hash)+"\n")
	ports := map[string]string{}
	// of puts what is host's own, and this machine's addresses, in a file of the document.
	of := func(host int, text string) string {
		var out strings.Builder
		for line := range strings.Lines(text) {
			if strings.HasPrefix(strings.TrimSpace(line), "listen") {
				line = strings.Replace(line, "10.0.0.11:", fmt.Sprintf("10.0.0.1%d:", host), 1)
			}
			out.WriteString(addresses.ReplaceAllStringFunc(line, func(at string) string {
				key := at
				if strings.HasPrefix(at, "0.0.0.0") {
					key = fmt.Sprint(host, at)
				}
				if ports[key] == "" {
					ports[key] = freeAddress(t)
				}
				return ports[key]
			}))
		}
		return out.String()
	}
	for host := 1; host <= 3; host++ {
		conf := of(host, replace(t, nats, "nats-1", fmt.Sprint("nats-", host), "/etc/nats", dir, "PASSWORD", "pass-word"))
		opts, err := natsserver.ProcessConfigFile(write(fmt.Sprintf("nats-%d.conf", host), conf))
		if err != nil {
			t.Fatalf("the example of nats.conf: %v\n%s", err, conf)
		}
		opts.NoLog, opts.NoSigs = true, true
		s, err := natsserver.NewServer(opts)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	}
	c := &cluster{t: t, owner: t, dir: dir, procs: map[string]*process{}}
	database := `"postgres://ferric:PASSWORD@10.0.0.10/ferric?sslmode=verify-full&sslrootcert=/etc/ferric/ca.pem"`
	url := postgres.Fresh(t)
	file := func(host int, password string) string {
		return write(fmt.Sprintf("ferric-%d.toml", host), of(host, replace(t, toml, database, fmt.Sprintf("%q", url), "ferric-1", fmt.Sprint("ferric-", host),
			"/etc/ferric", dir, `"PASSWORD"`, fmt.Sprintf("%q", password))))
	}
	var hosts []*process
	for host := 1; host <= 3; host++ {
		conf := file(host, "pass-word")
		hosts = append(hosts, c.run(fmt.Sprint("ferric-", host), ports[fmt.Sprint(host, "0.0.0.0:6385")], "--config", conf, "--data-dir", filepath.Join(dir, fmt.Sprint(host))))
	}
	alive := func(api *process, want ...string) {
		t.Helper()
		wait(t, fmt.Sprint("alive are ", want), func() bool {
			rq, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.url+"/v1/conductors", nil)
			if err != nil {
				t.Fatal(err)
			}
			rq.SetBasicAuth("admin", "word")
			rq.Header.Set("X-OpenStack-Ironic-API-Version", "1.95")
			resp, err := http.DefaultClient.Do(rq)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			var list struct {
				Conductors []struct {
					Host  string `json:"hostname"`
					Alive bool   `json:"alive"`
				} `json:"conductors"`
			}
			if resp.StatusCode != 200 || json.NewDecoder(resp.Body).Decode(&list) != nil {
				return false
			}
			var got []string
			for _, m := range list.Conductors {
				if m.Alive {
					got = append(got, m.Host)
				}
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		})
	}
	for _, api := range hosts {
		alive(api, "ferric-1", "ferric-2", "ferric-3")
	}
	hosts[0].kill()
	alive(hosts[1], "ferric-2", "ferric-3")
	alive(hosts[2], "ferric-2", "ferric-3")

	code, text := ferricRun(t.Context(), "serve", "--config", file(1, "wrong-word"), "--data-dir", filepath.Join(dir, "1"))
	if code != 1 || !strings.Contains(text, "uthorization") {
		t.Errorf("with a wrong password: exit %d, %s", code, text)
	}
}

// run runs a process with a configuration file and waits until it is ready.
func (c *cluster) run(name, listen string, args ...string) *process {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(os.Args[0], append([]string{"serve"}, args...)...), name: name, url: "http://" + listen, log: log, ended: make(chan struct{})}
	p.Env, p.Stderr = append(os.Environ(), asFerric+"=1"), log
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	c.owner.Cleanup(func() { p.kill(); log.Close() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(p.url + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return p
			}
		}
		select {
		case <-p.ended:
			text, _ := os.ReadFile(log.Name())
			c.t.Fatalf("%s has ended: %s", name, text)
		default:
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s does not become ready", name)
		}
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key, key.pem, into a folder.
func selfSigned(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "self.pem")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ferric test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{file: {Type: "CERTIFICATE", Bytes: der}, filepath.Join(dir, "key.pem"): {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}
