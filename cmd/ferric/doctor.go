package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ferric"
	"ferric/api"
	"ferric/conductor/ring"
	"ferric/config"
	"ferric/doctor"
	"ferric/obs"
	"ferric/store"
)

// doctorCall is one call of `ferric doctor`.
type doctorCall struct {
	endpoint, caFile string
	db               bool
	hardware         bool
	json             bool
	timeout          time.Duration
	nodes            []string
}

// report is what the API answers, and what --json prints.
type report struct {
	Healthy  bool            `json:"healthy"`
	Nodes    int             `json:"nodes_examined"`
	Findings []reportFinding `json:"findings"`
	Unseen   []string        `json:"unseen"`
}

type reportFinding struct {
	Code       string          `json:"code"`
	Severity   ferric.Severity `json:"severity"`
	Node       string          `json:"node_uuid"`
	NodeName   string          `json:"node_name"`
	Conductor  string          `json:"conductor"`
	Operation  string          `json:"operation"`
	Allocation string          `json:"allocation_uuid"`
	Nodes      int             `json:"nodes"`
	Since      *time.Time      `json:"since"`
	What       string          `json:"what"`
	Why        string          `json:"why"`
	Do         string          `json:"do"`
}

// doctorCommand prints what is not well. Exit status 0: nothing is; 1: something is; 2: that could not be found out.
func doctorCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	d := &doctorCall{}
	flags, idents := splitNodes(args)
	cfg, code := loadConfig("doctor", flags, stderr, func(fs *flag.FlagSet) {
		fs.StringVar(&d.endpoint, "url", cmp.Or(os.Getenv("OS_ENDPOINT"), os.Getenv("OS_ENDPOINT_OVERRIDE")), "the API (default: $OS_ENDPOINT, or api.listen of the configuration)")
		fs.StringVar(&d.caFile, "cacert", os.Getenv("OS_CACERT"), "certificates that the API's is checked with")
		fs.BoolVar(&d.db, "db", false, "look into the database itself: for when no API runs. Conductors and machines are not asked")
		fs.BoolVar(&d.hardware, "hardware", false, "compare with the machines: ask every BMC, through the conductors")
		fs.BoolVar(&d.json, "json", false, "print JSON")
		fs.DurationVar(&d.timeout, "timeout", time.Minute, "how long to wait for the API")
	})
	if cfg == nil {
		return 2 * min(1, code) // --help is no failure
	}
	d.nodes = idents
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var r *report
	var err error
	if d.db {
		r, err = d.fromDatabase(ctx, cfg, stderr)
	} else {
		r, err = d.fromAPI(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(stderr, "ferric doctor: cannot tell:", err)
		return 2
	}
	if d.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			fmt.Fprintln(stderr, "ferric doctor:", err)
			return 2
		}
	} else {
		r.print(stdout)
	}
	return r.status()
}

// splitNodes takes the nodes, which may stand before, between and behind the flags, out of the arguments. A flag's value stands behind "=" or it is the
// next argument, but for those that are switches.
func splitNodes(args []string) (flags, nodes []string) {
	switches := []string{"db", "hardware", "json", "h", "help"}
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		name = strings.TrimPrefix(name, "-")
		if !isFlag {
			nodes = append(nodes, args[i])
			continue
		}
		flags = append(flags, args[i])
		isSwitch := strings.Contains(name, "=")
		for _, s := range switches {
			isSwitch = isSwitch || name == s
		}
		if !isSwitch && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return flags, nodes
}

// fromAPI asks a running service.
func (d *doctorCall) fromAPI(ctx context.Context, cfg *config.Config) (*report, error) {
	base := d.endpoint
	if base == "" {
		base = "http://" + cfg.API.Listen
		if cfg.API.TLSCert != "" {
			base = "https://" + cfg.API.Listen
		}
	}
	query := url.Values{}
	if len(d.nodes) > 0 {
		query.Set("node", strings.Join(d.nodes, ","))
	}
	if d.hardware {
		query.Set("hardware", "true")
	}
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/ferric/v1/doctor?"+query.Encode(), nil)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "url: %w", err)
	}
	if found, err := d.authenticate(rq, cfg); err != nil || found != nil {
		return found, err
	}
	client := &http.Client{}
	if d.caFile != "" {
		pem, err := os.ReadFile(d.caFile)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "cacert: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "cacert: %s holds no PEM certificate", d.caFile)
		}
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	}
	resp, err := client.Do(rq)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "%w (if no service runs, --db looks into the database itself)", err)
	}
	defer resp.Body.Close()
	const most = 64 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "read the API's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "%s answered %s: %s", base, resp.Status, faultOf(body))
	}
	r := &report{}
	if err := json.Unmarshal(body, r); err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "%s is no Ferric: %w", base, err)
	}
	return r, nil
}

// authenticate gives a request of the API what it needs: a token where Keystone decides, else user and password. When Keystone gives no token the
// API cannot be asked, and that is what is found.
func (d *doctorCall) authenticate(rq *http.Request, cfg *config.Config) (*report, error) {
	if cfg.API.AuthStrategy != api.Keystone && os.Getenv("OS_AUTH_URL") == "" && os.Getenv("OS_CLOUD") == "" {
		if user := os.Getenv("OS_USERNAME"); user != "" {
			rq.SetBasicAuth(user, os.Getenv("OS_PASSWORD"))
		}
		return nil, nil
	}
	session, err := adminSession(cfg, "")
	if err != nil {
		return nil, err
	}
	defer session.Close()
	token, err := session.Token(rq.Context())
	if err != nil {
		f := keystoneFinding(session, err)
		if f.Code == "keystone-refuses-us" {
			return nil, err // a person's own password, perhaps
		}
		return &report{Findings: []reportFinding{{Code: f.Code, Severity: f.Severity, What: f.What, Why: f.Why, Do: f.Do}},
			Unseen: []string{"everything else: the API wants a token from Keystone; --db looks into the database itself"}}, nil
	}
	rq.Header.Set("X-Auth-Token", token)
	return nil, nil
}

// faultOf is the text of an error in Ironic's format, or what there is.
func faultOf(body []byte) string {
	var outer struct {
		Message string `json:"error_message"`
	}
	var inner struct {
		Fault string `json:"faultstring"`
	}
	if json.Unmarshal(body, &outer) == nil && json.Unmarshal([]byte(outer.Message), &inner) == nil && inner.Fault != "" {
		return inner.Fault
	}
	return strings.TrimSpace(string(body[:min(len(body), 500)]))
}

// fromDatabase looks into the database, whether a service uses it or not.
func (d *doctorCall) fromDatabase(ctx context.Context, cfg *config.Config, stderr io.Writer) (*report, error) {
	log, err := obs.NewLogger(stderr, obs.LogOptions{Level: cfg.Log.Level, Format: cfg.Log.Format})
	if err != nil {
		return nil, err
	}
	conf := storeConfig(cfg)
	found := &ferric.Diagnosis{Unseen: []string{"machines, files and the conductors' disks: --db asks no conductor"}}
	for _, f := range diskFindings(map[string]string{"data_dir": cfg.DataDir}) {
		found.Findings = append(found.Findings, f)
	}
	if cfg.API.AuthStrategy == api.Keystone {
		session, err := openCloud(&cfg.OpenStack, os.Environ(), log)
		if err != nil {
			return nil, err
		}
		found.Findings = append(found.Findings, cloudFindings(ctx, cfg, session)...)
	}
	_, problems, err := store.Check(ctx, conf, log)
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		found.Findings = append(found.Findings, ferric.Finding{Code: "database-damaged", Severity: ferric.FindingError, What: "the database is not well", Why: p,
			Do: "docs/operations.md, \"Backup and restore\""})
	}
	if len(problems) == 0 {
		s, err := store.Attach(ctx, conf, log)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		all, err := s.Conductors(ctx, cfg.Conductor.HeartbeatTimeout)
		if err != nil {
			return nil, err
		}
		var uuids []string
		for _, ident := range d.nodes {
			n, err := s.NodeStamp(ctx, ident)
			if err != nil {
				return nil, err
			}
			uuids = append(uuids, n.UUID)
		}
		seen, err := doctor.Examine(ctx, s, doctor.Options{Nodes: uuids, ConductorAlive: cfg.Conductor.HeartbeatTimeout, AgentSilent: cfg.Agent.HeartbeatTimeout, ProcessAlive: store.ProcessAlive,
			Owner: ownerIn(ring.New(all))})
		if err != nil {
			return nil, err
		}
		found.Findings, found.Nodes = append(found.Findings, seen.Findings...), seen.Nodes
	}
	r := &report{Healthy: len(found.Findings) == 0, Nodes: found.Nodes, Unseen: found.Unseen, Findings: []reportFinding{}}
	for _, f := range doctor.Sort(found.Findings) {
		out := reportFinding{Code: f.Code, Severity: f.Severity, Node: f.Node, NodeName: f.NodeName, Conductor: f.Conductor, Operation: f.Operation,
			Allocation: f.Allocation, Nodes: f.Nodes, What: f.What, Why: f.Why, Do: f.Do}
		if !f.Since.IsZero() {
			out.Since = &f.Since
		}
		r.Findings = append(r.Findings, out)
	}
	return r, nil
}

// status is the exit status: findings count for more than what could not be seen.
func (r *report) status() int {
	switch {
	case len(r.Findings) > 0:
		return 1
	case len(r.Unseen) > 0 && !r.Healthy:
		return 2
	}
	return 0
}

func (r *report) print(w io.Writer) {
	for _, f := range r.Findings {
		subject := cmp.Or(f.NodeName, f.Node)
		if f.NodeName != "" && f.Node != "" && f.Node != f.NodeName {
			subject += " (" + f.Node + ")"
		}
		since := ""
		if f.Since != nil {
			since = ", since " + f.Since.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s: %s: %s%s\n", f.Severity, f.Code, cmp.Or(subject, f.Allocation, f.Conductor, "all"), since)
		fmt.Fprintf(w, "  what  %s\n  why   %s\n  do    %s\n", f.What, f.Why, f.Do)
		if f.Operation != "" {
			fmt.Fprintf(w, "  see   /ferric/v1/operations/%s\n", f.Operation)
		}
	}
	for _, u := range r.Unseen {
		fmt.Fprintf(w, "not looked at: %s\n", u)
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(w, "all is well: %d nodes were looked at\n", r.Nodes)
	} else {
		fmt.Fprintf(w, "%d findings; %d nodes were looked at\n", len(r.Findings), r.Nodes)
	}
}
