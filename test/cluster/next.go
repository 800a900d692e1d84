package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// BuildNext builds a ferric of the next version, as far as others can tell: it speaks one protocol more, has one migration more, plans deploys with a
// step that this version does not know, and validates nodes with a call that this version does not understand. The source tree stays as it is.
func BuildNext(ctx context.Context, dir string) (program string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	tree := strings.TrimSpace(string(root))
	instead := map[string]string{}
	put := func(path, text string) error {
		file := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		instead[filepath.Join(tree, path)] = file
		return os.WriteFile(file, []byte(text), 0o600)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for path, edits := range map[string][][2]string{
		"rpc/protocol.go": {{"Newest = 1\n", "Newest = 2\n"}, {"map[Method]int{}", "map[Method]int{ValidateNode: 2}"}},
		"conductor/deploy.go": {
			{`&flow.Operation{Kind: "deploy",`, `&flow.Operation{Needs: 2, Kind: "deploy",`},
			{`hidden("prepare_deploy", flow.Safe))`, `hidden("prepare_deploy", flow.Safe), hidden("of_the_next_version", flow.Safe))`},
			{`"collect_deploy_steps":    c.collectDeploySteps,`, `"collect_deploy_steps": c.collectDeploySteps,
			"of_the_next_version": func(ctx context.Context, t *driver.Task) (flow.Outcome, error) { return flow.Done(nil), nil },`},
		},
	} {
		raw, err := os.ReadFile(filepath.Join(tree, path))
		if err != nil {
			return "", err
		}
		text := string(raw)
		for _, e := range edits {
			if strings.Count(text, e[0]) != 1 {
				return "", fmt.Errorf("make the next version: %s must hold %q once", path, e[0])
			}
			text = strings.Replace(text, e[0], e[1], 1)
		}
		if err := put(path, text); err != nil {
			return "", err
		}
	}
	if err := put("store/migrations/90000_next.sql", "-- +goose Up\nALTER TABLE nodes ADD COLUMN next_version TEXT NOT NULL DEFAULT 'none';\n"+
		"CREATE TABLE next_version (a TEXT NOT NULL);\n"); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": instead})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "ferric")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/ferric")
	cmd.Dir, cmd.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the next version: %w\n%s", err, out)
	}
	return program, nil
}
