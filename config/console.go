package config

import "time"

// Console is the section [console].
type Console struct {
	Address         string        `toml:"address" default:"127.0.0.1" check:"ip" help:"Address that the consoles' ports are on. Whoever can connect to a port has the machine's console, without a password; only this machine can reach the default."`
	PublicAddress   string        `toml:"public_address" help:"Address or name in the URLs that clients are given. Empty: address."`
	FirstPort       int           `toml:"first_port" default:"10000" min:"0" max:"65535" help:"First of the ports for nodes whose driver_info names no ipmi_terminal_port. 0: such nodes have no console."`
	LastPort        int           `toml:"last_port" default:"10999" min:"0" max:"65535" help:"Last of these ports."`
	TerminalTimeout time.Duration `toml:"terminal_timeout" default:"10m" min:"0s" max:"168h" help:"How long a client may stay while no character comes or goes. 0s: for ever."`
}

func (c *Console) contradictions(report reporter) {
	if c.FirstPort > 0 && c.LastPort < c.FirstPort {
		report("console.last_port", "must not be below console.first_port")
	}
}
