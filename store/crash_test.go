package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/store"
)

// childTask tells the program that is going to be killed what to do.
type childTask struct {
	Dir, URL, Node, Operation string
}

// child writes checkpoints as fast as it can and prints the number of each once it is acknowledged.
func child(task string) {
	if err := runChild(context.Background(), task); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

func runChild(ctx context.Context, task string) error {
	var c childTask
	if err := json.Unmarshal([]byte(task), &c); err != nil {
		return err
	}
	s, err := store.Open(ctx, config(c.Dir, c.URL), quiet())
	if err != nil {
		return err
	}
	if _, err := s.ReleaseOwner(ctx, "crashing"); err != nil {
		return err
	}
	l, err := s.Acquire(ctx, c.Node, "crashing", time.Hour)
	if err != nil {
		return err
	}
	op, err := s.Operation(ctx, c.Operation)
	if err != nil {
		return err
	}
	for {
		op.Steps[0].Attempts++
		n := op.Steps[0].Attempts
		op.Steps[1].Data = json.RawMessage(fmt.Sprintf(`{"n": %d, "pad": %q}`, n, strings.Repeat("x", n%5000)))
		_, err := s.Checkpoint(ctx, l, op, []ferric.HistoryEntry{{Event: strconv.Itoa(n)}}, func(node *ferric.Node) error {
			node.DriverInfo = map[string]any{"n": float64(n)}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Println(n) // one write, at once
	}
}

// A process is killed in the middle of writing, several times. What it was told is written is there, and what is there is
// whole: operation, steps, history, node and change feed tell the same story.
func TestKilledWhileWriting(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		l, err := e.Acquire(ctx, n.UUID, "crashing", time.Hour)
		must(t, err)
		op := e.begin(t, l, 2)
		must(t, e.Close())
		cfg := e.cfg
		cfg.Now = nil
		task, err := json.Marshal(childTask{cfg.DataDir, cfg.URL, n.UUID, op.ID})
		must(t, err)
		total := 0
		for round := range 6 {
			last := killedChild(t, string(task), 5+rand.IntN(60))
			s := reopen(t, cfg)
			got, err := s.Operation(ctx, op.ID)
			must(t, err)
			attempts := got.Steps[0].Attempts
			if attempts < last || attempts > last+1 || attempts < total {
				t.Fatalf("round %d: checkpoint %d was acknowledged, %d is there", round, last, attempts)
			}
			total = attempts
			var data struct{ N int }
			must(t, json.Unmarshal(got.Steps[1].Data, &data))
			equal(t, "the other step", data.N, attempts)
			node, err := s.Node(ctx, n.UUID)
			must(t, err)
			equal(t, "the node", node.DriverInfo, map[string]any{"n": float64(attempts)})
			equal(t, "the epoch", node.LeaseEpoch, int64(round+2))
			history, err := s.History(ctx, n.UUID, ferric.Page{})
			must(t, err)
			equal(t, "entries of history", len(history), attempts)
			changes, err := s.LastChange(ctx)
			must(t, err)
			equal(t, "changes", changes, int64(attempts+1))
			if !e.postgres() {
				var verdict string
				must(t, e.peek(t).QueryRow("PRAGMA integrity_check").Scan(&verdict))
				equal(t, "integrity", verdict, "ok")
			}
			must(t, s.Close())
		}
		t.Logf("%d checkpoints, 6 kills", total)
	})
}

// killedChild runs a child, kills it after some acknowledgements and returns the last one.
func killedChild(t *testing.T, task string, after int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FERRIC_STORE_TEST_CHILD="+task)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewReader(out)
	for i := 0; ; i++ {
		if i == after {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			must(t, cmd.Process.Kill()) // SIGKILL
		}
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		last, err = strconv.Atoi(strings.TrimSpace(line))
		must(t, err)
	}
	err = cmd.Wait()
	if err == nil || err.Error() != "signal: killed" {
		t.Fatalf("child ended with %v", err)
	}
	return last
}
