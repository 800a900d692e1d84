package flow

// Moment is a turn in an operation that people see on the node.
type Moment int

// The moments.
const (
	Begins    Moment = iota // a step is begun, for the first time or after a crash
	Waits                   // the operation begins to wait
	Holds                   // it rests until the operator's unhold
	Fails                   // a step failed: Operation.Error says why; clean-up steps may follow
	EndsWell                // the last step is done
	EndsBadly               // failed, and cleaned up
)

// Program is one kind of operation: the code of its steps, and its view on the node.
type Program interface {
	// Func returns the code of a step. An error fails the operation.
	Func(op *Operation, s *Step) (Func, error)
	// View returns what changes on the node at a moment, in the transaction that writes the moment down; nil is nothing.
	View(m Moment, op *Operation) Mutate
	// Spares reports whether an abort lets the step under way come to its end first.
	Spares(op *Operation, s *Step) bool
}
