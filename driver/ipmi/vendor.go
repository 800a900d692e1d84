package ipmi

import (
	"context"
	"strings"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Vendor is the vendor interface "ipmitool": raw requests, and restarting the BMC.
type Vendor struct{ Pool *Pool }

var (
	_ driver.Vendor  = (*Vendor)(nil)
	_ driver.Stepper = (*Vendor)(nil)
)

// Properties implements driver.Interface.
func (*Vendor) Properties() map[string]string { return properties() }

// Validate implements driver.Interface.
func (*Vendor) Validate(_ context.Context, m *driver.Machine) error { return validate(m) }

// Methods implements driver.Vendor.
func (v *Vendor) Methods() []driver.VendorMethod {
	return []driver.VendorMethod{
		{
			Name: "send_raw", HTTPMethods: []string{"POST"}, Async: true,
			Description: "Send a raw request to the BMC. Argument: raw_bytes, the bytes as text, such as '0x00 0x01'. Required.",
			Check: func(_ context.Context, _ *driver.Machine, args map[string]any) error {
				_, err := rawRequest(args)
				return err
			},
			Run: func(ctx context.Context, m *driver.Machine, args map[string]any) (any, error) {
				return nil, v.sendRaw(ctx, m, args)
			},
		},
		{
			Name: "bmc_reset", HTTPMethods: []string{"POST"}, Async: true,
			Description: "Restart the BMC. Argument: warm, true for a warm and false for a cold restart. Default: true.",
			Check: func(_ context.Context, _ *driver.Machine, args map[string]any) error {
				_, err := warmReset(args)
				return err
			},
			Run: func(ctx context.Context, m *driver.Machine, args map[string]any) (any, error) {
				return nil, v.reset(ctx, m, args)
			},
		},
	}
}

// Steps implements driver.Stepper: send_raw, for operators who ask for it by name.
func (v *Vendor) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	switch phase {
	case driver.DeployPhase, driver.CleanPhase, driver.ServicePhase:
	default:
		return nil
	}
	return []driver.Step{{
		Name: "send_raw", Phase: phase, Repeat: flow.Never,
		Args: map[string]driver.Arg{"raw_bytes": {Description: "The bytes of the request as text, such as '0x00 0x01'.", Required: true}},
		Run: func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
			if err := v.sendRaw(ctx, t.Machine, t.Flow.Step.Args); err != nil {
				return flow.Outcome{}, err
			}
			return flow.Done(nil), nil
		},
	}}
}

// raw is a request as the operator gave it.
type raw struct {
	netFn, code byte
	data        []byte
}

func rawRequest(args map[string]any) (raw, error) {
	text, _ := args["raw_bytes"].(string)
	if strings.TrimSpace(text) == "" {
		return raw{}, ferric.Errorf(ferric.CodeInvalid, "Parameter raw_bytes (string of bytes) was not specified.")
	}
	netFn, code, data, err := ParseRaw(text)
	return raw{netFn, code, data}, err
}

func (v *Vendor) sendRaw(ctx context.Context, m *driver.Machine, args map[string]any) error {
	r, err := rawRequest(args)
	if err != nil {
		return err
	}
	b, err := bmcOf(v.Pool, m)
	if err != nil {
		return err
	}
	_, err = b.Raw(ctx, r.netFn, r.code, r.data)
	return err
}

func warmReset(args map[string]any) (warm bool, err error) {
	p := parser{info: args}
	warm = p.choice("warm").Or(true)
	if len(p.faults) > 0 {
		return false, ferric.Errorf(ferric.CodeInvalid, "%s", p.faults[0])
	}
	return warm, nil
}

func (v *Vendor) reset(ctx context.Context, m *driver.Machine, args map[string]any) error {
	warm, err := warmReset(args)
	if err != nil {
		return err
	}
	b, err := bmcOf(v.Pool, m)
	if err != nil {
		return err
	}
	return b.Reset(ctx, warm)
}
