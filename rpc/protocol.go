package rpc

import "ferric"

// Newest is the version of what the processes of a cluster tell each other: the calls on the bus with their arguments and answers, the events, and what
// the ledger holds: kinds of operations, their steps, and what steps keep. Programs of two versions work side by side during an upgrade, so a
// version raises it when it tells something that the one before cannot understand: a new call, a new argument that must not be passed over, a
// new kind of operation, a new step. docs/upgrade.md has the rules.
//
// Oldest is the oldest version of it that this program understands, and speaks to processes that know no newer one.
const (
	Newest = 1
	Oldest = 1
)

// Protocol is what this program speaks.
func Protocol() ferric.Protocol { return ferric.Protocol{Oldest: Oldest, Newest: Newest} }

// since says of calls that came after the first version of the protocol with which one they came.
func since() map[Method]int { return map[Method]int{} }

// Needing is implemented by arguments of a call that need more than the call itself when certain fields are set.
type Needing interface {
	// Needs is the version of the protocol that has what is set.
	Needs() int
}

// Needs returns the version of the protocol that a conductor must speak to understand a call.
func Needs(m Method, args any) int {
	need := max(1, since()[m])
	if a, ok := args.(Needing); ok {
		need = max(need, a.Needs())
	}
	return need
}
