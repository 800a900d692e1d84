package fake

import (
	"context"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Vendor is the vendor interface "fake". Its methods have the names that those of Ironic's fake have.
type Vendor struct {
	open
	h *Hardware
}

var (
	_ driver.Vendor  = Vendor{}
	_ driver.Stepper = Vendor{}
)

// Properties implements driver.Interface.
func (Vendor) Properties() map[string]string {
	return map[string]string{"B1": "B1 description. Required.", "B2": "B2 description. Required."}
}

// Methods implements driver.Vendor.
func (v Vendor) Methods() []driver.VendorMethod {
	compare := func(name, want string) driver.VendorMethod {
		return driver.VendorMethod{Name: name, HTTPMethods: []string{"POST"}, Description: "Test if the value of bar is " + want,
			Check: func(_ context.Context, _ *driver.Machine, args map[string]any) error {
				switch args["bar"] {
				case nil, "":
					return ferric.Errorf(ferric.CodeInvalid, "Parameter 'bar' not passed to method '%s'.", name)
				}
				return nil
			},
			Run: func(ctx context.Context, _ *driver.Machine, args map[string]any) (any, error) {
				return args["bar"] == want, v.h.VendorDelay.sleep(ctx)
			}}
	}
	second, third, fourth := compare("second_method", "kazoo"), compare("third_method_sync", "meow"), compare("fourth_method_shared_lock", "woof")
	second.Async, fourth.Async, fourth.Shared = true, true, true
	return []driver.VendorMethod{second, third, fourth,
		{Name: "log_passthrough", HTTPMethods: []string{"POST"}, Async: true, Description: "Test pass-through to wait.",
			Run: func(ctx context.Context, _ *driver.Machine, _ map[string]any) (any, error) {
				return nil, v.h.VendorDelay.sleep(ctx)
			}}}
}

// Steps implements driver.Stepper.
func (v Vendor) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	wait := driver.Step{Name: "log_passthrough", Phase: phase, Repeat: flow.Safe,
		Run: func(ctx context.Context, _ *driver.Task) (flow.Outcome, error) {
			return flow.Done(nil), v.h.VendorDelay.sleep(ctx)
		}}
	switch phase {
	case driver.CleanPhase:
		wait.Priority = 1
		return []driver.Step{wait}
	case driver.ServicePhase:
		return []driver.Step{wait, {Name: "trigger_servicewait", Phase: phase, Repeat: flow.Safe, Abortable: true, RequiresRamdisk: true,
			Run: func(_ context.Context, t *driver.Task) (flow.Outcome, error) {
				return t.Flow.Wait("", "somebody to abort the servicing", time.Hour, 0)
			}}}
	}
	return nil
}
