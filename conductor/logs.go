package conductor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
)

// logsAreIn leads from a failure to the logs.
const logsAreIn = ". The ramdisk's logs are in "

// logsTimeout bounds the collecting of logs: a machine that is in trouble may not answer.
const logsTimeout = 30 * time.Second

// collectLogs asks the agent for its logs and keeps them as LogsDir/NODE_KIND_TIME.tar.gz, where last_error points to. It never fails an
// operation: what went wrong before is what people must see.
func (c *Conductor) collectLogs(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if c.CollectLogs == "never" || c.CollectLogs == "on_failure" && !t.Flow.CleanUp {
		return flow.Done("collecting logs is off"), nil
	}
	s, err := t.Agent.Session(ctx)
	if err != nil || s.LastHeartbeat.IsZero() {
		return flow.Done("no agent to collect logs from"), nil
	}
	asking, cancel := context.WithTimeout(ctx, logsTimeout)
	defer cancel()
	raw, err := t.Agent.Ask(asking, agentapi.CmdCollectSystemLogs, map[string]any{})
	if err != nil {
		t.Log.Warn("cannot collect the ramdisk's logs", "error", err)
		return flow.Done("the agent did not hand its logs out: " + err.Error()), nil
	}
	var logs agentapi.Logs
	if err := json.Unmarshal(raw, &logs); err != nil {
		return flow.Done("the agent's logs cannot be read: " + err.Error()), nil
	}
	path, err := c.keepLogs(t, logs)
	if err != nil {
		t.Log.Warn("cannot keep the ramdisk's logs", "error", err)
		what := "The ramdisk's logs cannot be kept: " + err.Error()
		return flow.Done(what), c.tell(ctx, t, ". "+what)
	}
	t.Log.Info("kept the ramdisk's logs", "path", path)
	return flow.Done(map[string]any{"path": path}), c.tell(ctx, t, logsAreIn+path)
}

// tell adds what became of the logs to the error of an operation that failed.
func (c *Conductor) tell(ctx context.Context, t *driver.Task, what string) error {
	if !t.Flow.CleanUp {
		return nil
	}
	if op := t.Flow.Op; !strings.Contains(op.Error, logsAreIn) && !strings.Contains(op.Error, what) { // or else they were kept before a crash
		op.Error = strings.TrimRight(op.Error, " .") + what
	}
	return t.Mutate(ctx, func(n *ferric.Node) error {
		n.LastError = t.Flow.Op.Error
		return nil
	})
}

// logsAlways is the step that keeps the logs of a ramdisk that did its work, where that is wanted.
func (c *Conductor) logsAlways() []flow.Step {
	if c.CollectLogs != "always" {
		return nil
	}
	return []flow.Step{hidden("keep_logs", flow.Safe)}
}

// pruneLogs removes ramdisk logs that are older than LogsKeep.
func (c *Conductor) pruneLogs(now time.Time) error {
	if c.LogsKeep <= 0 {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(c.LogsDir, "*.tar.gz*")) // with what was not finished
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "look for old ramdisk logs: %w", err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && now.Sub(info.ModTime()) > c.LogsKeep {
			if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
				return ferric.Errorf(ferric.CodeInternal, "remove old ramdisk logs: %w", err)
			}
		}
	}
	return nil
}

func (c *Conductor) keepLogs(t *driver.Task, logs agentapi.Logs) (string, error) {
	data, err := base64.StdEncoding.DecodeString(logs.SystemLogs)
	if err != nil {
		return "", ferric.Errorf(ferric.CodeInvalid, "decode the agent's logs: %w", err)
	}
	if err := os.MkdirAll(c.LogsDir, 0o700); err != nil {
		return "", ferric.Errorf(ferric.CodeInternal, "make the folder for ramdisk logs: %w", err)
	}
	path := filepath.Join(c.LogsDir, t.Node.UUID+"_"+t.Flow.Op.Kind+"_"+time.Now().UTC().Format("2006-01-02-15-04-05")+".tar.gz")
	err = os.WriteFile(path+".new", data, 0o600)
	if err == nil { // half of them would look like all of them
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new")
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "", ferric.Errorf(ferric.CodeNoSpace, "the disk of agent.deploy_logs_dir is full: %w; free space, or keep the logs elsewhere or for less time (agent.deploy_logs_keep)", err)
	case err != nil:
		return "", ferric.Errorf(ferric.CodeInternal, "write the ramdisk's logs: %w", err)
	}
	return path, nil
}
