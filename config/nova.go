package config

// Nova is the section [nova].
type Nova struct {
	SendPowerNotifications bool `toml:"send_power_notifications" default:"true" help:"Whether Nova is told when a machine with an instance is switched on or off. It is only if Ferric is part of a cloud ([openstack]); set it to false in a cloud without Nova."`
}
