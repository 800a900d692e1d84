package conductor_test

import (
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
)

func fastTrack(c *conductor.Config) { c.FastTrack, c.FastTrackTimeout = true, patience }

// TestFastTrack takes a machine from its inspection over a cleaning to its deploy with one boot of the ramdisk.
func TestFastTrack(t *testing.T) {
	b := newBench(t)
	b.boot("one", fastTrack)
	m := b.site.node("lab", in(ferric.Manageable))

	b.verb(m.id, "inspect")
	n := b.reaches(m.id, ferric.Manageable)
	same(t, "history of the inspection", []string{"boots the ramdisk"}, m.history())
	if n.PowerState != ferric.PowerOn {
		t.Errorf("inspected, with power %q", n.PowerState)
	}
	b.verb(m.id, "provide")
	n = b.reaches(m.id, ferric.Available)
	same(t, "history of the cleaning", []string{"erased"}, m.history())
	if n.PowerState != ferric.PowerOn || m.power() != ferric.PowerOn {
		t.Errorf("available, with power %q", n.PowerState)
	}
	b.verb(m.id, "active")
	b.reaches(m.id, ferric.Active)
	same(t, "history of the deploy", []string{"image written", "off", "boots the disk"}, m.history())
	if _, err := b.store.AgentSession(t.Context(), m.id); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the agent's session is still there: %v", err)
	}
	b.verb(m.id, "deleted")
	b.reaches(m.id, ferric.Available)
	same(t, "history of the undeploy: the running system is not taken for a ramdisk", []string{"off", "boots the ramdisk", "erased"}, m.history())
}

// TestNoFastTrack boots the ramdisk wherever it is not certain that a live agent is there.
func TestNoFastTrack(t *testing.T) {
	slow := []string{"off", "boots the ramdisk", "image written", "off"}
	for name, c := range map[string]struct {
		conf   func(*conductor.Config)
		info   any // driver_info/fast_track
		before func(*bench, *machine)
		want   []string // of the deploy, as far as it is the same everywhere
	}{
		"certain": {conf: fastTrack, want: []string{"image written", "off"}},
		"switched off, but on for the node": {conf: func(c *conductor.Config) { c.FastTrackTimeout = patience }, info: "True",
			want: []string{"image written", "off"}},
		"old heartbeat": {conf: fastTrack, want: slow, before: func(b *bench, m *machine) {
			m.running().stopCalling()
			m.running().work.Wait()
			b.procs[0].WriteAgentCalls() // what is still in memory would be younger
			if _, err := b.store.ChangeAgentSession(b.Context(), m.id, func(s *ferric.AgentSession) error {
				s.LastHeartbeat = time.Now().Add(-2 * patience)
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}},
		"the agent does not answer": {conf: fastTrack, want: slow, before: func(_ *bench, m *machine) {
			m.with(func(m *machine) { m.deny = true })
		}},
		"another boot's agent answers": {conf: fastTrack, want: slow, before: func(_ *bench, m *machine) {
			a := m.running()
			a.stopCalling()
			a.work.Wait()
			a.mu.Lock()
			a.token = "another boot's"
			a.mu.Unlock()
		}},
		"somebody powered it off":   {conf: fastTrack, want: slow[1:], before: func(_ *bench, m *machine) { m.set(ferric.PowerOff); m.history() }},
		"switched off":              {conf: func(*conductor.Config) {}, want: slow[1:]},
		"switched off for the node": {conf: fastTrack, info: "no", want: slow[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.boot("one", c.conf)
			m := b.site.node("lab", in(ferric.Manageable))
			b.change(m.id, func(n *ferric.Node) {
				if c.info != nil {
					n.DriverInfo["fast_track"] = c.info
				}
			})
			b.verb(m.id, "provide")
			b.reaches(m.id, ferric.Available)
			m.history()
			if c.before != nil {
				c.before(b, m)
			}
			open := m.gate("write_image")
			b.verb(m.id, "active")
			b.until(m.id, "at the ramdisk or in it", func(*ferric.Node) bool {
				return m.count("boots the ramdisk") > 0 || m.begun()["write_image"] > 0
			})
			m.with(func(m *machine) { m.deny = false })
			open()
			b.reaches(m.id, ferric.Active)
			if have := m.history(); len(have) < len(c.want) {
				t.Errorf("history %v, want %v first", have, c.want)
			} else {
				same(t, "history of the deploy", c.want, have[:len(c.want)])
			}
		})
	}
}

// TestFastTrackIsNoTruthValue refuses what cannot be understood before anything is done.
func TestFastTrackIsNoTruthValue(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	for verb, from := range map[string]ferric.ProvisionState{"active": ferric.Available, "provide": ferric.Manageable, "inspect": ferric.Manageable} {
		m := b.site.node("lab", in(from), func(n *ferric.Node) { n.DriverInfo["fast_track"] = "perhaps" })
		wantCode(t, b.try(m.id, verb), ferric.CodeInvalid, "Invalid value of fast_track", "perhaps")
	}
}

// TestFastTrackOfASilentAgent powers a machine off after its inspection whose agent sent its data and then fell silent.
func TestFastTrackOfASilentAgent(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.FastTrack, c.FastTrackTimeout = true, 200*time.Millisecond })
	m := b.site.node("lab", in(ferric.Manageable))
	m.with(func(m *machine) { m.mute = true })
	b.verb(m.id, "inspect")
	b.reaches(m.id, ferric.Manageable)
	same(t, "history of the inspection", []string{"boots the ramdisk", "off"}, m.history())
}

// TestFailureEndsTheFastTrack does not leave a machine in the ramdisk whose cleaning failed.
func TestFailureEndsTheFastTrack(t *testing.T) {
	b := newBench(t)
	b.boot("one", fastTrack)
	m := b.site.node("lab", in(ferric.Manageable))
	m.fails("erase_devices_metadata", "BlockDeviceEraseError", "the disk is broken")
	b.verb(m.id, "provide")
	n := b.reaches(m.id, ferric.CleanFailed)
	same(t, "history of the cleaning", []string{"boots the ramdisk", "erased", "off"}, m.history())
	if _, err := b.store.AgentSession(t.Context(), m.id); !ferric.IsCode(err, ferric.CodeNotFound) || n.PowerState != ferric.PowerOff {
		t.Errorf("power %q, session: %v", n.PowerState, err)
	}
}

// TestAdoptEndsTheFastTrack forgets the agent of a machine that is taken over as it is: its system is not a ramdisk.
func TestAdoptEndsTheFastTrack(t *testing.T) {
	b := newBench(t)
	b.boot("one", fastTrack)
	m := b.site.node("lab", in(ferric.Manageable))
	b.verb(m.id, "inspect")
	b.reaches(m.id, ferric.Manageable)
	b.verb(m.id, "adopt")
	b.reaches(m.id, ferric.Active)
	if _, err := b.store.AgentSession(t.Context(), m.id); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the agent's session is still there: %v", err)
	}
}
