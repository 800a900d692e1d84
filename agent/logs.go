package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"ferric"
	"ferric/agent/command"
	"ferric/agentapi"
)

func (a *Agent) collectLogs(context.Context, command.Call) (any, error) {
	text, err := a.logs()
	if err != nil {
		return nil, err
	}
	return agentapi.Logs{SystemLogs: text}, nil
}

// logs packs the agent's log, the kernel's, and the state of the machine: base64 of a tar.gz.
func (a *Agent) logs() (string, error) {
	files := map[string][]byte{"agent.log": a.m.Log(), "dmesg": a.m.KernelLog(), "addresses": addresses()}
	inv, err := json.MarshalIndent(a.m.Inventory(), "", "  ")
	if err == nil {
		files["inventory.json"] = inv
	}
	for _, f := range []string{"cmdline", "cpuinfo", "interrupts", "iomem", "mdstat", "meminfo", "modules", "mounts", "partitions", "uptime", "net/route", "net/dev"} {
		if b, err := os.ReadFile(filepath.Join("/proc", f)); err == nil {
			files["proc/"+strings.ReplaceAll(f, "/", "-")] = b
		}
	}
	files["proc/cmdline"] = maskCommandLine(files["proc/cmdline"])
	return pack(files, time.Now())
}

// maskCommandLine hides the agent token.
func maskCommandLine(b []byte) []byte {
	words := strings.Fields(string(b))
	for i, w := range words {
		if k, _, ok := strings.Cut(w, "="); ok && strings.Contains(strings.ToLower(k), "token") {
			words[i] = k + "=******"
		}
	}
	return []byte(strings.Join(words, " ") + "\n")
}

func addresses() []byte {
	var b bytes.Buffer
	ifs, err := net.Interfaces()
	if err != nil {
		return []byte(err.Error())
	}
	for _, i := range ifs {
		b.WriteString(i.Name + " " + i.HardwareAddr.String() + " " + i.Flags.String())
		addrs, _ := i.Addrs() // gone meanwhile: no addresses
		for _, a := range addrs {
			b.WriteString(" " + a.String())
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func pack(files map[string][]byte, now time.Time) (string, error) {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	tw := tar.NewWriter(gz)
	for _, n := range names {
		h := &tar.Header{Name: n, Mode: 0o600, Size: int64(len(files[n])), ModTime: now, Typeflag: tar.TypeReg}
		if err := tw.WriteHeader(h); err != nil {
			return "", ferric.Errorf(ferric.CodeInternal, "pack logs: %w", err)
		}
		if _, err := tw.Write(files[n]); err != nil {
			return "", ferric.Errorf(ferric.CodeInternal, "pack logs: %w", err)
		}
	}
	if err := tw.Close(); err != nil {
		return "", ferric.Errorf(ferric.CodeInternal, "pack logs: %w", err)
	}
	if err := gz.Close(); err != nil {
		return "", ferric.Errorf(ferric.CodeInternal, "pack logs: %w", err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}
