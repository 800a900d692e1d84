package bmc

import (
	"context"
	"time"

	"github.com/bougou/go-ipmi/pkg/handlers"
	"github.com/bougou/go-ipmi/pkg/types"
)

// register replaces and adds the commands that concern the machine.
func (s *Server) register(r *handlers.Registry) {
	simple := func(c types.Command, fn func(data []byte) ([]byte, byte)) {
		r.RegisterFunc(c, func(_ context.Context, _ *handlers.HandlerContext, data []byte) ([]byte, types.CompletionCode, error) {
			reply, code := fn(data)
			return reply, types.CompletionCode(code), nil
		})
	}
	simple(types.CommandGetChassisStatus, s.chassisStatus)
	simple(types.CommandChassisControl, s.chassisControl)
	simple(types.CommandChassisIdentify, s.chassisIdentify)
	simple(types.CommandSetSystemBootOptions, func(data []byte) ([]byte, byte) { return nil, s.boot.setParameter(data) })
	simple(types.CommandGetSystemBootOptions, s.boot.getParameter)
	simple(types.CommandGetSystemGUID, func([]byte) ([]byte, byte) { return append([]byte(nil), s.bmc.GUID[:]...), codeOK })
	simple(types.CommandColdReset, s.resetBMC)
	simple(types.CommandWarmReset, s.resetBMC)
	simple(types.CommandGetSDRRepoInfo, s.sdr.info) // the library's says that the repository has changed just now
	simple(types.CommandGetSensorReading, s.sdr.reading)
	simple(types.CommandGetSensorThresholds, s.sdr.thresholds)
	simple(types.CommandGetSensorHysteresis, s.sdr.hysteresis)
}

const (
	codeBusy        = 0xc0
	codeInvalidData = 0xcc
	codeNotPresent  = 0xcb
	codeNotNow      = 0xd5
	codeUnspecified = 0xff
)

func (s *Server) chassisStatus([]byte) ([]byte, byte) {
	on, err := s.chassis.PowerState(s.ctx)
	if err != nil {
		s.log.Warn("chassis: power state", "error", err)
		return nil, codeUnspecified
	}
	reply := []byte{0x00, 0x00, 0x40, 0x00} // identification supported; no front panel buttons
	if on {
		reply[0] |= 0x01
		reply[1] |= 0x10 // last turned on by an IPMI command
	}
	if s.Identifying() {
		reply[2] |= 0x10
	}
	return reply, codeOK
}

// chassisControl executes Chassis Control (28.3).
func (s *Server) chassisControl(data []byte) ([]byte, byte) {
	if len(data) < 1 {
		return nil, codeLengthInvalid
	}
	s.boot.controlled()
	c := s.chassis
	var name string
	var do func(ctx context.Context) error
	needsPower := false
	switch data[0] & 0x0f {
	case 0:
		name, do = "power off", c.PowerOff
	case 1:
		name, do = "power on", c.PowerOn
	case 2:
		name, needsPower = "power cycle", true
		do = func(ctx context.Context) error {
			if err := c.PowerOff(ctx); err != nil {
				return err
			}
			return c.PowerOn(ctx)
		}
	case 3:
		name, do, needsPower = "hard reset", c.Reset, true
	case 4:
		name, do, needsPower = "NMI", c.NMI, true
	case 5:
		name, do = "soft power off", c.SoftOff
	default:
		return nil, codeInvalidData
	}
	if needsPower {
		if on, err := c.PowerState(s.ctx); err != nil {
			return nil, codeUnspecified
		} else if !on {
			return nil, codeNotNow
		}
	}
	return nil, s.act(name, do)
}

// act runs a power action and returns its completion code, or success if it lasts.
func (s *Server) act(name string, do func(ctx context.Context) error) byte {
	done := make(chan error, 1)
	s.wg.Go(func() { // the caller is counted in wg, so this cannot race with Close's Wait
		s.action.Lock()
		defer s.action.Unlock()
		err := do(s.ctx)
		if err != nil {
			s.log.Warn("chassis: "+name, "error", err)
		}
		done <- err
	})
	t := time.NewTimer(s.opts.AckWithin)
	defer t.Stop()
	select {
	case err := <-done:
		if err != nil {
			return codeUnspecified
		}
	case <-t.C:
	case <-s.ctx.Done():
		return codeBusy
	}
	return codeOK
}

func (s *Server) chassisIdentify(data []byte) ([]byte, byte) {
	interval := 15 * time.Second
	if len(data) > 0 {
		interval = time.Duration(data[0]) * time.Second
	}
	if len(data) > 1 && data[1]&0x01 != 0 {
		interval = 1 << 62 // until it is turned off
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identify = s.opts.Now().Add(interval)
	return nil, codeOK
}

// resetBMC answers, and then forgets all sessions as a restarted BMC has.
func (s *Server) resetBMC([]byte) ([]byte, byte) {
	s.wg.Go(func() {
		select {
		case <-time.After(50 * time.Millisecond): // for the reply to leave
			s.ForgetSessions()
		case <-s.ctx.Done():
		}
	})
	return nil, codeOK
}
