package conductor

// WriteAgentCalls writes what is due in a second.
func (c *Conductor) WriteAgentCalls() { c.flushAgentCalls() }

// OwnSteps names the steps of the conductor's own programs, and the reserved ones.
func (c *Conductor) OwnSteps() []string {
	names := []string{stepHold, stepWait, stepPowerOn, stepPowerOff, stepReboot}
	for _, p := range c.programs() {
		for name := range p.(*program).own {
			names = append(names, name)
		}
	}
	return names
}
