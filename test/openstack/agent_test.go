package openstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// agent stands for the program in the deploy ramdisk of one machine, which fake-hardware has not got: it looks its node up once the node
// waits for it, sends heartbeats, and answers commands. Of an image it fetches every byte, as the agent's write_image does, and notes its SHA-256.
type agent struct {
	f      *ferric
	node   string
	mac    string
	server *httptest.Server

	mu       sync.Mutex
	token    string
	commands []map[string]any
	written  []string // SHA-256 of the images that were written, in order
	failed   string   // why the last one was not
}

// startAgent lets an agent live beside a node until the test ends.
func startAgent(t *testing.T, f *ferric, node, mac string) *agent {
	t.Helper()
	a := &agent{f: f, node: node, mac: mac}
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	ctx, cancel := context.WithCancel(context.Background())
	var live sync.WaitGroup
	live.Go(func() { a.live(ctx) })
	t.Cleanup(func() {
		cancel()
		live.Wait()
		a.server.Close()
	})
	return a
}

// live boots whenever the node waits for an agent, and calls until it does not.
func (a *agent) live(ctx context.Context) {
	for up := false; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		_, n, err := a.f.call(ctx, http.MethodGet, "/v1/nodes/"+a.node, nil)
		if err != nil {
			continue // Ferric may be restarting
		}
		state, _ := n["provision_state"].(string)
		waits := strings.HasSuffix(state, "wait") || state == "wait call-back"
		if !waits {
			up = up && n["power_state"] != "power off"
			continue
		}
		if !up {
			status, found, err := a.f.call(ctx, http.MethodGet, "/v1/lookup?addresses="+a.mac+"&node_uuid="+a.node, nil)
			if err != nil || status != http.StatusOK {
				continue
			}
			config, _ := found["config"].(map[string]any)
			token, _ := config["agent_token"].(string)
			a.mu.Lock()
			a.token, a.commands = token, nil
			a.mu.Unlock()
			up = true
		}
		a.mu.Lock()
		beat := map[string]any{"callback_url": a.server.URL, "agent_version": "11.0.0", "agent_token": a.token}
		a.mu.Unlock()
		status, _, err := a.f.call(ctx, http.MethodPost, "/v1/heartbeat/"+a.node, beat)
		if err == nil && (status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden) {
			up = false // the machine was started anew meanwhile
		}
	}
}

func (a *agent) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	a.mu.Lock()
	if r.URL.Query().Get("agent_token") != a.token {
		a.mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"faultstring": "Token invalid."}`))
		return
	}
	defer a.mu.Unlock()
	if r.Method == http.MethodGet {
		id := strings.Trim(strings.TrimPrefix(r.URL.Path, "/v1/commands"), "/")
		for _, c := range a.commands {
			if c["id"] == id {
				_ = json.NewEncoder(w).Encode(c)
				return
			}
		}
		if id != "" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"faultstring": "no such command"}`))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"commands": a.commands})
		return
	}
	var cmd struct {
		ID     string         `json:"id"`
		Name   string         `json:"name"`
		Params map[string]any `json:"params"`
	}
	raw, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(raw)).Decode(&cmd)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, c := range a.commands {
		if cmd.ID != "" && c["id"] == cmd.ID {
			_ = json.NewEncoder(w).Encode(c)
			return
		}
	}
	_, short, _ := strings.Cut(cmd.Name, ".")
	answer := map[string]any{"id": cmd.ID, "command_name": short, "command_status": "SUCCEEDED", "command_error": nil, "command_result": a.do(short, cmd.Params)}
	if a.failed != "" {
		answer["command_status"] = "FAILED"
		answer["command_error"] = map[string]any{"type": "ImageDownloadError", "code": 500, "message": a.failed, "details": a.failed}
		a.failed = ""
	}
	a.commands = append(a.commands, answer)
	_ = json.NewEncoder(w).Encode(answer)
}

// do carries a command out; a.mu is held.
func (a *agent) do(command string, params map[string]any) any {
	kind := ""
	switch command {
	case "get_clean_steps":
		kind = "clean_steps"
	case "get_deploy_steps":
		kind = "deploy_steps"
	case "get_service_steps":
		kind = "service_steps"
	case "collect_system_logs":
		return map[string]any{"system_logs": ""}
	case "execute_deploy_step":
		step, _ := params["step"].(map[string]any)
		args, _ := step["args"].(map[string]any)
		info, _ := args["image_info"].(map[string]any)
		if urls, _ := info["urls"].([]any); step["step"] == "write_image" && len(urls) > 0 {
			where, _ := urls[0].(string)
			a.write(where, info["os_hash_value"])
		}
	}
	if kind != "" {
		return map[string]any{kind: map[string]any{"generic": []any{}}, "hardware_manager_version": map[string]any{"generic": "1.2"}}
	}
	return map[string]any{"result": command + ": ok"}
}

// write fetches an image and compares it with the checksum that came along.
func (a *agent) write(where string, want any) {
	if u, err := url.Parse(where); err != nil || u.Host == "" {
		a.failed = "not a URL: " + where
		return
	}
	resp, err := http.Get(where)
	if err != nil {
		a.failed = err.Error()
		return
	}
	defer resp.Body.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, resp.Body)
	got := hex.EncodeToString(sum.Sum(nil))
	switch {
	case resp.StatusCode != http.StatusOK || err != nil:
		a.failed = where + ": " + resp.Status
	case got != want:
		a.failed = where + " has the SHA-256 " + got
	default:
		a.written = append(a.written, got)
	}
}

// images are the SHA-256 of the images that were written so far.
func (a *agent) images() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.written...)
}
