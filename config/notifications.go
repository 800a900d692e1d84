package config

import (
	"slices"
	"time"
)

// Notifications is the section [notifications].
type Notifications struct {
	Drivers []string `toml:"drivers" values:"rabbitmq|nats|webhook" help:"Where notifications go; several are allowed, none sends nothing. All processes of a cluster need the same, because each writes its own into the database, and one conductor sends them."`
	Level   string   `toml:"notification_level" default:"info" values:"debug|info|warning|error|critical" help:"Least level of notifications that are sent. What went wrong has the level error, everything else info."`

	TransportURL  SecretURL     `toml:"transport_url" help:"RabbitMQ, in oslo.messaging's form: rabbit://user:password@host:5672/vhost; further hosts, each with its user, after commas. amqps://… or ?ssl=true encrypts."`
	Topics        []string      `toml:"versioned_notifications_topics" default:"ironic_versioned_notifications" help:"RabbitMQ: topics that every notification is sent to, with .info or .error behind them."`
	Exchange      string        `toml:"control_exchange" default:"ironic" help:"RabbitMQ: the topic exchange."`
	DurableQueues bool          `toml:"amqp_durable_queues" default:"false" help:"RabbitMQ: whether exchange and queues that do not exist yet are made to survive the broker's restart. Those that exist are used as they are. Else a restart of the broker loses what nobody has fetched."`
	AutoDelete    bool          `toml:"amqp_auto_delete" default:"false" help:"RabbitMQ: whether queues that do not exist yet are made to end with their last listener."`
	CAFile        string        `toml:"ca_file" check:"path" help:"PEM file with the authorities that sign the certificates of RabbitMQ and of the webhook. Empty: the system's."`
	CertFile      string        `toml:"cert_file" check:"path" help:"PEM file with this client's certificate, for servers that ask for one."`
	KeyFile       string        `toml:"key_file" check:"path" help:"PEM file with the private key of cert_file."`
	NATSSubject   string        `toml:"nats_subject" default:"ironic.notifications" check:"prefix" help:"NATS: the subject is this and the event type behind it, for example ironic.notifications.baremetal.node.create.end. The server is that of bus.url."`
	NATSStream    bool          `toml:"nats_jetstream" default:"false" help:"NATS: whether a notification counts as delivered only when a stream of JetStream has stored it. The stream must exist."`
	WebhookURL    SecretURL     `toml:"webhook_url" help:"Webhook: http:// or https:// URL that every notification is posted to."`
	WebhookSecret Secret        `toml:"webhook_secret" help:"Webhook: key of the signature in the header Ferric-Signature. Empty: none."`
	WebhookWait   time.Duration `toml:"webhook_timeout" default:"5s" min:"100ms" max:"8s" help:"Webhook: how long one request may take."`

	MaxQueued int           `toml:"max_queued" default:"100000" min:"100" max:"10000000" help:"Most notifications that wait in the database, each some 4 KiB. The oldest ones beyond that are thrown away, which is logged and counted and found by ferric doctor."`
	MaxAge    time.Duration `toml:"max_age" default:"24h" min:"1m" max:"8760h" help:"Age at which notifications that could not be delivered are thrown away."`
}

// Has reports whether notifications go somewhere.
func (n *Notifications) Has(driver string) bool { return slices.Contains(n.Drivers, driver) }

func (n *Notifications) contradictions(report reporter, bus *Bus) {
	if n.Has("rabbitmq") && n.TransportURL == "" {
		report("notifications.transport_url", "says where RabbitMQ is; it is needed with the driver rabbitmq")
	}
	if n.Has("rabbitmq") && len(n.Topics) == 0 {
		report("notifications.versioned_notifications_topics", "must not be empty with the driver rabbitmq")
	}
	if n.Has("nats") && bus.URL == "" {
		report("notifications.drivers", "nats needs an external server, which others can reach too; set bus.url")
	}
	if n.Has("webhook") && n.WebhookURL == "" {
		report("notifications.webhook_url", "is needed with the driver webhook")
	}
	if (n.CertFile == "") != (n.KeyFile == "") {
		report("notifications.cert_file", "and notifications.key_file belong together")
	}
}
