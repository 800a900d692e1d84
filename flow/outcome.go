package flow

import "time"

// Outcome is what came of running a step's code once. Failure is the error beside it.
type Outcome struct {
	kind    outcomeKind
	result  any
	append  []Step
	waitFor string
	what    string
	poll    time.Duration
	why     string
}

type outcomeKind int

const (
	done outcomeKind = iota
	wait
	hold
	again
)

// Done ends the step. The result is kept as JSON; nil is none.
func Done(result any) Outcome { return Outcome{kind: done, result: result} }

// Then adds steps to the plan, right behind this step. They are stored with this step's end.
func (o Outcome) Then(steps ...Step) Outcome {
	o.append = append(o.append, steps...)
	return o
}

// Wait lets go of worker and lease until the event arrives or poll has passed; the step's code is then called again.
// what says for people what is being waited for. Use Task.Wait to bound the whole wait.
func Wait(event, what string, poll time.Duration) Outcome {
	return Outcome{kind: wait, waitFor: event, what: what, poll: poll}
}

// Hold ends the step and lets the operation rest until the operator's unhold.
func Hold() Outcome { return Outcome{kind: hold} }

// Again gives the step up: what it did is undone, or was cut short, and it cannot be carried on. The steps, which do it anew, are put right behind it. It ends
// as skipped, with why as its error.
func Again(why string, steps ...Step) Outcome { return Outcome{kind: again, why: why, append: steps} }

// IsDone reports whether the outcome ends the step.
func (o Outcome) IsDone() bool { return o.kind == done }
