package config

import "slices"

// Config is the whole configuration. Load makes one; Defaults makes one without a system.
type Config struct {
	DataDir string   `toml:"data_dir" default:"/var/lib/ferric" check:"path" flag:"data-dir" help:"Directory of everything that Ferric keeps: database, keys, images, logs of deployments. When Ferric does not run as root, the default is $XDG_DATA_HOME/ferric or ~/.local/share/ferric."`
	Roles   []string `toml:"roles" default:"api,conductor,boot" values:"api|conductor|boot" check:"nonempty" flag:"roles" help:"What this process does: api answers clients, conductor works on nodes, boot serves DHCP, TFTP and HTTP to machines that boot."`
	Host    string   `toml:"host" default:"{hostname}" check:"host" flag:"host" help:"Name of this conductor. It must be unique and stay the same over restarts: nodes and leases are bound to it."`

	API               API               `toml:"api" help:"The REST API."`
	Database          Database          `toml:"database" help:"Where the truth is kept."`
	Bus               Bus               `toml:"bus" help:"Calls and events between Ferric's processes, over NATS."`
	Conductor         Conductor         `toml:"conductor" help:"The work on nodes: how much at once, how often, how long."`
	Deploy            Deploy            `toml:"deploy" help:"Deploying and cleaning."`
	Drivers           Drivers           `toml:"drivers" help:"Hardware types and their interfaces. An enabled list that is empty enables all that the enabled hardware types bring; a default that is empty is the first enabled one in the hardware type's order."`
	IPMI              IPMI              `toml:"ipmi" help:"The hardware type ipmi."`
	Console           Console           `toml:"console" help:"Serial consoles of machines of the hardware type ipmi, as TCP ports on the conductor."`
	Fake              Fake              `toml:"fake" help:"The hardware type fake-hardware: how long its operations pretend to take. A range is drawn from for each operation."`
	Boot              Boot              `toml:"boot" help:"Services for machines that boot. All of them are off until an interface is named."`
	DHCP              DHCP              `toml:"dhcp" help:"Which DHCP server machines boot with."`
	Neutron           Neutron           `toml:"neutron" help:"Networks of OpenStack's Neutron, for nodes with network_interface flat or neutron. Credentials are those of [openstack]."`
	Cinder            Cinder            `toml:"cinder" help:"Volumes of OpenStack's Cinder, for nodes with storage_interface cinder. Credentials are those of [openstack]."`
	Image             Image             `toml:"image" help:"User images: where from, and the cache."`
	Agent             Agent             `toml:"agent" help:"The agent in the deploy ramdisk."`
	Inspection        Inspection        `toml:"inspection" help:"What inspection does with a machine's inventory."`
	Discovery         Discovery         `toml:"discovery" help:"Machines that nobody knows."`
	KeystoneAuthToken KeystoneAuthToken `toml:"keystone_authtoken" help:"How tokens of clients are checked when api.auth_strategy is keystone. Ferric asks Keystone as the user of the section openstack."`
	OpenStack         OpenStack         `toml:"openstack" help:"The cloud that Ferric is part of: where Keystone is, and Ferric's own user there. Services' URLs come from Keystone's catalogue."`
	Notifications     Notifications     `toml:"notifications" help:"What other programs are told: Ironic's versioned notifications."`
	Nova              Nova              `toml:"nova" help:"OpenStack's Nova. Credentials are those of [openstack]."`
	Log               Log               `toml:"log" help:"Ferric's own log, on standard error."`
	Metrics           Metrics           `toml:"metrics" help:"Prometheus metrics."`

	origins map[string]string // by key: where the value is from; absent is "default"
}

// HasRole reports whether this process has the role.
func (c *Config) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// Origin says where a key's value is from: "default", "file.toml:12", an environment variable or a flag. key is
// "section.name", or the name alone for a key outside the sections.
func (c *Config) Origin(key string) string {
	if o := c.origins[key]; o != "" {
		return o
	}
	return "default"
}

// contradictions reports what is wrong between keys; the values themselves have been checked.
func (c *Config) contradictions(report reporter) {
	if c.Bus.URL == "" && c.HasRole("api") != c.HasRole("conductor") {
		report("roles", "api and conductor in different processes need a common bus; set bus.url")
	}
	c.API.contradictions(report)
	c.Bus.contradictions(report)
	c.Conductor.contradictions(report)
	c.Boot.contradictions(report)
	c.Drivers.contradictions(report)
	c.Inspection.contradictions(report)
	c.Discovery.contradictions(report, c.Drivers.EnabledHardwareTypes)
	c.Console.contradictions(report)
	c.Notifications.contradictions(report, &c.Bus)
	c.OpenStack.contradictions(report)
}

// reporter takes a problem with a key.
type reporter func(key, text string)
