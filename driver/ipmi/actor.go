package ipmi

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"ferric"
)

// job is one operation on a BMC.
type job struct {
	ctx      context.Context
	creds    credentials
	periodic bool
	once     bool // must not run twice
	run      func(ctx context.Context, t *turn) error
	done     chan error // buffered
}

// actor serializes what happens with one BMC. Its goroutine runs only while jobs wait.
type actor struct {
	pool    *Pool
	address string

	mu       sync.Mutex
	running  bool
	queue    [2][]*job // interactive, periodic
	lastUsed time.Time

	// The rest belongs to the goroutine while running is set, else to the holder of mu.
	session     *session
	suite       int // that the last login used
	failures    int // operations in a row that the BMC did not answer
	retryAt     time.Time
	denied      error // why the last login was refused …
	deniedCreds credentials
	deniedUntil time.Time
	lastCommand time.Time
}

// do runs an operation and waits for it. Errors are already for people.
func (b BMC) do(ctx context.Context, what string, once bool, run func(ctx context.Context, t *turn) error) error {
	ctx, cancel := context.WithTimeout(ctx, b.pool.opts.OperationTimeout)
	defer cancel()
	defer context.AfterFunc(b.pool.ctx, cancel)()
	j := &job{ctx: ctx, creds: b.info.credentials(), periodic: b.periodic, once: once, run: run, done: make(chan error, 1)}
	a, err := b.pool.enqueue(b.info.Endpoint(), j)
	if err == nil {
		select {
		case err = <-j.done:
		case <-ctx.Done():
			if a.withdraw(j) {
				err = fmt.Errorf("waiting for earlier operations: %w", ctx.Err())
			} else {
				err = <-j.done // the command in progress notices ctx at once
			}
		}
	}
	if err == nil {
		return nil
	}
	if err == errClosed || b.pool.ctx.Err() != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "%s: the IPMI driver is shutting down", what)
	}
	return explain(b.info, what, err)
}

func (p *Pool) enqueue(address string, j *job) (*actor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	a := p.actors[address]
	if a == nil {
		a = &actor{pool: p, address: address}
		p.actors[address] = a
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	class := 0
	if j.periodic {
		class = 1
	}
	if len(a.queue[class]) >= p.opts.MaxQueue {
		return nil, ferric.Errorf(ferric.CodeBusy, "%d operations are waiting for this BMC", len(a.queue[class]))
	}
	a.queue[class] = append(a.queue[class], j)
	a.lastUsed = time.Now()
	if !a.running {
		a.running = true
		p.wg.Go(a.work)
	}
	return a, nil
}

// withdraw takes a job out of the queue; false means that it was begun.
func (a *actor) withdraw(j *job) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for class := range a.queue {
		if i := slices.Index(a.queue[class], j); i >= 0 {
			a.queue[class] = slices.Delete(a.queue[class], i, i+1)
			return true
		}
	}
	return false
}

// next returns the job to run, or nil after giving up the goroutine's turn.
func (a *actor) next() *job {
	a.mu.Lock()
	defer a.mu.Unlock()
	for class := range a.queue {
		if len(a.queue[class]) > 0 {
			j := a.queue[class][0]
			a.queue[class] = slices.Delete(a.queue[class], 0, 1)
			return j
		}
	}
	a.running = false
	a.lastUsed = time.Now()
	if a.pool.waiting.Load() > 0 || a.pool.opts.SessionIdle < 0 {
		a.hangUp()
	}
	return nil
}

func (a *actor) work() {
	for j := a.next(); j != nil; j = a.next() {
		j.done <- a.perform(j)
	}
}

// perform runs one job, in a session that is open already or a new one. If a session turns out to be dead, which
// shows by silence only, the job is repeated in a new one unless it must not run twice and may have run.
func (a *actor) perform(j *job) (err error) {
	defer func() {
		if r := recover(); r != nil {
			a.drop()
			a.pool.opts.Logger.Error("IPMI operation panicked", "bmc", a.address, "panic", r, "stack", string(debug.Stack()))
			err = ferric.Errorf(ferric.CodeInternal, "the IPMI driver failed on a reply of this BMC: %v", r)
		}
	}()
	begin := time.Now()
	for {
		t, fresh, err := a.connect(j)
		if err != nil {
			if silent(err) && (!errors.Is(err, context.DeadlineExceeded) || time.Since(begin) >= a.pool.opts.TryWait) {
				a.unanswered(err)
			}
			if answered(err) {
				a.failures, a.retryAt = 0, time.Time{}
			}
			return err
		}
		old := !fresh && time.Since(t.session.lastReply) > 2*time.Second
		if old {
			t.retry.tries = min(t.retry.tries, 2)
			if j.once {
				_, err = t.run(j.ctx, getDeviceID)
			}
		}
		began := err == nil
		if began {
			err = j.run(j.ctx, t)
		}
		switch {
		case !silent(err):
			if err == nil || isReply(err) {
				a.failures, a.retryAt = 0, time.Time{}
			}
			if t.lost {
				a.drop()
			}
			return err
		case errors.Is(err, context.DeadlineExceeded):
			a.hangUp()
		default:
			a.drop()
		}
		if fresh || j.ctx.Err() != nil || j.once && began {
			if time.Since(begin) >= a.pool.opts.TryWait || !errors.Is(err, context.DeadlineExceeded) {
				a.unanswered(err)
			}
			if j.once && began {
				err = &unknownOutcome{err}
			}
			return err
		}
	}
}

// connect returns the session to use.
func (a *actor) connect(j *job) (t *turn, fresh bool, err error) {
	if err := j.ctx.Err(); err != nil {
		return nil, false, err
	}
	o := &a.pool.opts
	t = &turn{actor: a, retry: retry{tries: o.Tries, wait: o.TryWait}}
	if s := a.session; s != nil {
		if s.creds == j.creds && (o.SessionIdle < 0 || time.Since(s.lastReply) < o.SessionIdle) {
			t.session = s
			return t, false, nil
		}
		a.hangUp()
	}
	first := t.retry
	if time.Now().Before(a.retryAt) {
		if j.periodic {
			return nil, false, &tripped{failures: a.failures, until: a.retryAt}
		}
		first.tries = min(first.tries, 2)
	}
	if j.periodic && a.denied != nil && a.deniedCreds == j.creds && time.Now().Before(a.deniedUntil) {
		return nil, false, a.denied
	}
	if err := a.pool.acquire(j.ctx); err != nil {
		return nil, false, err
	}
	s, err := a.logIn(j.ctx, first, t.retry, j.creds)
	if err != nil {
		a.pool.release()
		if refused(err) {
			a.denied, a.deniedCreds, a.deniedUntil = err, j.creds, time.Now().Add(o.BreakerMax)
		}
		return nil, false, err
	}
	a.denied = nil
	a.session, t.session = s, s
	a.pool.logins.Add(1)
	o.Logger.Debug("IPMI session opened", "bmc", a.address, "cipher_suite", s.suite)
	return t, true, nil
}

// logIn opens a session with the first cipher suite that the BMC accepts.
func (a *actor) logIn(ctx context.Context, first, r retry, creds credentials) (*session, error) {
	l, err := dial(ctx, a.address)
	if err != nil {
		return nil, &unreachable{err}
	}
	s, err := a.logInOver(ctx, l, first, r, creds)
	a.pool.sent.Add(int64(l.sent))
	l.sent = 0
	if err != nil {
		l.conn.Close()
		return nil, err
	}
	return s, nil
}

func (a *actor) logInOver(ctx context.Context, l *link, first, r retry, creds credentials) (*session, error) {
	if err := present(ctx, l, first, creds.privilege); err != nil {
		return nil, err
	}
	ids := []int{creds.suite}
	if creds.suite == 0 {
		ids = slices.Clone(a.pool.opts.CipherSuites)
		if i := slices.Index(ids, a.suite); i > 0 { // what worked last comes first
			ids = slices.Insert(slices.Delete(ids, i, i+1), 0, a.suite)
		}
	}
	var err error
	for i, id := range ids {
		open := r
		if i < len(ids)-1 {
			open.tries = min(r.tries, 2)
		}
		var s *session
		if s, err = a.logInWith(ctx, l, open, r, suites[id], creds); err == nil {
			a.suite = id
			return s, nil
		}
		var status *statusError
		var mute *muteError
		if !(errors.As(err, &status) && status.noSuite()) && !errors.As(err, &mute) && err != errDowngrade {
			return nil, err
		}
	}
	return nil, &noSuiteError{tried: ids, err: err}
}

// logInWith opens a session with one cipher suite, anew when it was disturbed.
func (a *actor) logInWith(ctx context.Context, l *link, open, r retry, with suite, creds credentials) (*session, error) {
	wait := r.wait / 4
	for try := 1; ; try++ {
		h := newHandshake(with, creds)
		s, err := h.login(ctx, l, open, r)
		if err == nil {
			if err = s.raisePrivilege(ctx, r); err == nil {
				return s, nil
			}
			var ce *completionError
			if errors.As(err, &ce) {
				s.link.conn.Write(s.keys.seal(s.bmcID, s.sequence+1, s.closeMessage()))
			}
			return nil, err
		}
		var status *statusError
		again := false
		switch {
		case errors.As(err, &status):
			again = status.busy() || status.resent && h.at != stepOpen
		case err == errNoReply && h.at == stepOpen:
			return nil, &muteError{}
		case err == errNoReply:
			again = true
		}
		if !again || try >= min(r.tries, 3) {
			return nil, err
		}
		if !pause(ctx, wait) {
			return nil, ctx.Err()
		}
		wait *= 2
	}
}

// unanswered counts an operation without an answer and trips the breaker.
func (a *actor) unanswered(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	a.failures++
	o := &a.pool.opts
	if over := a.failures - o.BreakerAfter; over >= 0 {
		wait := o.BreakerMax
		if over < 16 {
			wait = min(o.BreakerWait<<over, o.BreakerMax)
		}
		a.retryAt = time.Now().Add(wait)
		o.Logger.Warn("BMC does not answer", "bmc", a.address, "failures", a.failures, "left_alone_for", wait)
	}
}

// hangUp ends the session, telling the BMC.
func (a *actor) hangUp() {
	if s := a.session; s != nil {
		a.session = nil
		s.close()
		a.pool.release()
	}
}

// drop forgets the session: the BMC has lost it.
func (a *actor) drop() {
	if s := a.session; s != nil {
		a.session = nil
		s.link.conn.Close()
		a.pool.release()
	}
}

// turn is a job's right to use the session.
type turn struct {
	actor   *actor
	session *session
	retry   retry
	lost    bool // the session must not be used again
}

// run executes a command. Errors: *completionError, those of link.exchange.
func (t *turn) run(ctx context.Context, c command) ([]byte, error) {
	if gap := t.actor.pool.opts.MinInterval; gap > 0 && !pause(ctx, time.Until(t.actor.lastCommand.Add(gap))) {
		return nil, ctx.Err()
	}
	data, err := t.session.runPatiently(ctx, t.retry, c)
	t.actor.lastCommand = time.Now()
	t.actor.pool.sent.Add(int64(t.session.link.sent))
	t.session.link.sent = 0
	if err == nil {
		t.retry.tries = t.actor.pool.opts.Tries // the session is alive
	}
	return data, err
}
