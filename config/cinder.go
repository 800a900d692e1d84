package config

import "time"

// Cinder is the section [cinder].
type Cinder struct {
	ActionRetries       int           `toml:"action_retries" default:"3" min:"0" max:"1000" help:"How often detaching a volume is tried again after Cinder refused it."`
	ActionRetryInterval time.Duration `toml:"action_retry_interval" default:"5s" min:"100ms" max:"1h" help:"How long to wait before each of these attempts."`
	OutageTimeout       time.Duration `toml:"outage_timeout" default:"1h" min:"0s" max:"168h" help:"How long an operation waits for a Cinder that gives no answer before it fails. 0: for ever."`
	RequestTimeout      time.Duration `toml:"request_timeout" default:"2m" min:"1s" max:"1h" help:"How long a request to Cinder may take, with its repetitions. Backends take their time to export a volume."`
}
