package conductor

// WriteAgentCalls writes what is due in a second.
func (c *Conductor) WriteAgentCalls() { c.flushAgentCalls() }
