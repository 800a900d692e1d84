package cluster

import (
	"context"
	"database/sql"
	"fmt"

	"ferric/driver/fake"
)

// Proof is what comes of comparing three records of the same work: what users asked for and got, what the machines noted that was done to their
// disks, and what the ledger says.
type Proof struct {
	Executions int // destructive commands that machines carried out
	Repeats    int // commands that machines were sent again, and did not carry out again
	Twice      int // executions beyond the one that was asked for
	Takeovers  int // steps that were carried on after their conductor died
	Problems   []string
}

// ledgerStep is a destructive step as the ledger has it.
type ledgerStep struct {
	kind, name, status string
}

// Prove compares the records of the nodes. All work must have ended.
func (c *Cluster) Prove(ctx context.Context, db *sql.DB, nodes []*Node) (*Proof, error) {
	p := &Proof{}
	for _, n := range nodes {
		entries, err := (&fake.Journal{Dir: c.Journals()}).Read(n.UUID)
		if err != nil {
			return nil, err
		}
		ledger, err := readLedger(ctx, db, n.UUID, p)
		if err != nil {
			return nil, err
		}
		operations := 0
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM operations WHERE node_uuid = $1", n.UUID).Scan(&operations); err != nil {
			return nil, err
		}
		p.compare(n, entries, ledger, operations)
	}
	return p, nil
}

// operationsKept is how many operations of a node conductors keep at least.
const operationsKept = 50

func key(operation string, seq int) string { return fmt.Sprintf("%s/%d", operation, seq) }

func readLedger(ctx context.Context, db *sql.DB, node string, p *Proof) (map[string]ledgerStep, error) {
	takeovers := 0
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(SUM(takeovers), 0) FROM operations WHERE node_uuid = $1", node).Scan(&takeovers); err != nil {
		return nil, err
	}
	p.Takeovers += takeovers
	rows, err := db.QueryContext(ctx, "SELECT o.id, s.seq, o.kind, s.name, s.status FROM operations o JOIN steps s ON s.operation_id = o.id "+
		"WHERE o.node_uuid = $1 AND s.interface = 'deploy' AND NOT s.hidden", node)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	steps := map[string]ledgerStep{}
	for rows.Next() {
		var id string
		var seq int
		var s ledgerStep
		if err := rows.Scan(&id, &seq, &s.kind, &s.name, &s.status); err != nil {
			return nil, err
		}
		steps[key(id, seq)] = s
	}
	return steps, rows.Err()
}

// compare looks at one node.
func (p *Proof) compare(n *Node, entries []fake.Entry, ledger map[string]ledgerStep, operations int) {
	problem := func(format string, args ...any) {
		p.Problems = append(p.Problems, "node "+n.UUID+": "+fmt.Sprintf(format, args...))
	}
	begun, ended, byStep := map[string]int{}, map[string]int{}, map[string]int{}
	known := false
	under := "" // the command that the machine is carrying out
	epoch := int64(0)
	for _, e := range entries {
		command := key(e.Operation, e.Seq)
		switch e.Event {
		case fake.Repeat:
			p.Repeats++
		case fake.Begin:
			p.Executions++
			begun[command]++
			byStep[e.Step]++
			if begun[command] > 1 {
				p.Twice++
				problem("step %s of operation %s was carried out again at %s", e.Step, e.Operation, e.At)
			}
			if under != "" {
				problem("step %s of operation %s began at %s while %s was under way", e.Step, e.Operation, e.At, under)
			}
			if e.Epoch < epoch {
				problem("step %s of operation %s began at %s with epoch %d after %d", e.Step, e.Operation, e.At, e.Epoch, epoch)
			}
			under, epoch = command, e.Epoch
			s, ok := ledger[command]
			known = known || ok
			// Conductors prune the oldest operations when they start: what came before the first one that is kept is forgotten on purpose.
			forgotten := !known && operations >= operationsKept
			if !forgotten && (!ok || s.name != e.Step) {
				problem("the ledger knows nothing of step %s of operation %s at %s", e.Step, e.Operation, e.At)
			}
		case fake.End:
			ended[command]++
			if under == command {
				under = ""
			}
		}
	}
	for command, s := range ledger {
		if s.status == "succeeded" && (begun[command] == 0 || ended[command] == 0) {
			problem("the ledger says that step %s (%s) is done, and the machine did not do it", s.name, command)
		}
	}
	for step, asked := range map[string]int{"deploy": n.Deploys, "erase_devices_metadata": n.Cleans} {
		if done := byStep[step]; done > asked {
			p.Twice += done - asked
			problem("step %s was carried out %d times; users asked %d times", step, done, asked)
		} else if done < asked {
			problem("step %s was carried out %d times; users were told that it was %d times", step, done, asked)
		}
	}
}
