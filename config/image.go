package config

import "time"

// Image is the section [image].
type Image struct {
	CacheDir              string        `toml:"cache_dir" default:"{data_dir}/images" check:"path" help:"Directory of the image cache."`
	CacheSize             Size          `toml:"cache_size" default:"20GiB" min:"0B" max:"1PiB" help:"Size that the cache is kept under by removing what was used longest ago. Images in use stay."`
	CacheTTL              time.Duration `toml:"cache_ttl" default:"168h" min:"0s" max:"8760h" help:"Time without use after which an image is removed. 0s: never."`
	PermittedImageFormats []string      `toml:"permitted_image_formats" default:"raw,gpt,qcow2,iso" values:"raw|gpt|qcow2|iso" check:"nonempty" help:"Formats that images may have, by their contents. gpt is a raw disk image with a partition table."`
	FileURLAllowedPaths   []string      `toml:"file_url_allowed_paths" default:"{data_dir}/user-images" check:"path" help:"Directories that file:// images may be in. Empty: none."`
	CAFile                string        `toml:"ca_file" check:"path" help:"PEM file with the authorities that sign image servers' certificates. Empty: the system's."`
	Insecure              bool          `toml:"insecure" default:"false" help:"Whether certificates of image servers are not checked at all. Checksums are."`
	ConnectTimeout        time.Duration `toml:"connect_timeout" default:"60s" min:"1s" max:"1h" help:"How long an image server may take to begin its answer."`
	StallTimeout          time.Duration `toml:"stall_timeout" default:"60s" min:"1s" max:"1h" help:"How long a download may stand still before it is tried again."`
}

// Agent is the section [agent].
type Agent struct {
	HeartbeatTimeout    time.Duration `toml:"heartbeat_timeout" default:"300s" min:"10s" max:"24h" help:"Longest time between two heartbeats; the agent is told so (Ironic: [api] ramdisk_heartbeat_timeout)."`
	RequireTLS          bool          `toml:"require_tls" default:"true" help:"Whether agents must offer their command API by HTTPS."`
	ExternalCallbackURL string        `toml:"external_callback_url" check:"httpurl" help:"Base URL of the API as agents reach it. Empty: derived from the provisioning address."`
	CommandTimeout      time.Duration `toml:"command_timeout" default:"60s" min:"1s" max:"1h" help:"How long an agent may take to answer a request."`
	ImageDownloadSource string        `toml:"image_download_source" default:"local" values:"http|local" help:"Where an agent gets http(s) images from: local is the conductor's cache, where an image is fetched and verified once, before a machine is touched; http is the image's own server. file:// images and those in Glance always come from the cache. A node's driver_info/image_download_source wins."`
	AllowMD5Checksum    bool          `toml:"allow_md5_checksum" default:"false" help:"Whether an image may be verified by MD5 where no better checksum is known. MD5 can be forged."`
	DeployLogsCollect   string        `toml:"deploy_logs_collect" default:"on_failure" values:"on_failure|always|never" help:"When the logs of the deploy ramdisk are kept."`
	DeployLogsDir       string        `toml:"deploy_logs_dir" default:"{data_dir}/deploy-logs" check:"path" help:"Where these logs are kept, one file per failure."`
	DeployLogsKeep      time.Duration `toml:"deploy_logs_keep" default:"720h" min:"0s" max:"87600h" help:"Age at which such a file is removed. 0s: never."`
}

// Log is the section [log].
type Log struct {
	Level  string `toml:"level" default:"info" values:"debug|info|warn|error" flag:"log-level" help:"Least important lines that are written."`
	Format string `toml:"format" default:"text" values:"text|json" flag:"log-format" help:"text is key=value, json one object per line."`
}

// Metrics is the section [metrics].
type Metrics struct {
	Enabled bool   `toml:"enabled" default:"true" help:"Whether /metrics is served."`
	Listen  string `toml:"listen" check:"listen" help:"Address and port of a listener of its own. Empty: on the API's listener, without login."`
}
