package config_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferric"
	"ferric/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ferric.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func flags(t *testing.T, args ...string) *config.Flags {
	t.Helper()
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f := config.NewFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDefaults(t *testing.T) {
	c := config.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"data_dir": c.DataDir, "roles": c.Roles, "host": c.Host, "listen": c.API.Listen, "key": c.Database.KeyFile,
		"timeout": c.Conductor.DeployCallbackTimeout, "ciphers": c.IPMI.CipherSuiteVersions, "cache": c.Image.CacheSize,
		"files": c.Image.FileURLAllowedPaths, "erase": c.Deploy.EraseDevicesPriority, "payload": c.Bus.MaxPayload,
		"types": c.Drivers.EnabledHardwareTypes, "interface": c.Boot.Interface,
	}
	want := map[string]any{
		"data_dir": "/var/lib/ferric", "roles": []string{"api", "conductor", "boot"}, "host": "localhost",
		"listen": "127.0.0.1:6385", "key": "/var/lib/ferric/secret.key", "timeout": 30 * time.Minute,
		"ciphers": []int{17, 3}, "cache": config.Size(20 << 30), "files": []string{"/var/lib/ferric/user-images"},
		"erase": (*int)(nil), "payload": config.Size(8 << 20), "types": []string{"ipmi", "fake-hardware"}, "interface": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, role := range []string{"api", "conductor", "boot"} {
		if !c.HasRole(role) {
			t.Errorf("no role %s", role)
		}
	}
	if c.Origin("api.listen") != "default" {
		t.Errorf("origin %q", c.Origin("api.listen"))
	}
}

func TestDataDirOfUser(t *testing.T) {
	tests := map[string]struct {
		env  []string
		want string
	}{
		"home":    {[]string{"HOME=/home/u"}, "/home/u/.local/share/ferric"},
		"xdg":     {[]string{"HOME=/home/u", "XDG_DATA_HOME=/data"}, "/data/ferric"},
		"setting": {[]string{"FERRIC_DATA_DIR=/srv/f"}, "/srv/f"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := config.Load(config.Source{UID: 1000, Hostname: "h", Environ: tt.env})
			if err != nil {
				t.Fatal(err)
			}
			if c.DataDir != tt.want || c.Image.CacheDir != tt.want+"/images" {
				t.Errorf("data_dir %q, cache_dir %q", c.DataDir, c.Image.CacheDir)
			}
		})
	}
	_, err := config.Load(config.Source{UID: 1000, Hostname: "h"})
	if !ferric.IsCode(err, ferric.CodeInvalid) || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), "data_dir") {
		t.Errorf("no home: got %v, want one problem with data_dir", err)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, `# comment
data_dir = "/file"

[api]
listen = "127.0.0.1:1"
max_limit = 10
max_body_size = "2MiB"
`)
	c, err := config.Load(config.Source{
		File: file, Hostname: "h",
		Environ: []string{"FERRIC_LISTEN=127.0.0.1:2", "FERRIC_API_MAX_LIMIT=20", "FERRIC_ROLES=", "HOME=/x", "OTHER_FERRIC_X=1"},
		Flags:   flags(t, "--listen", "127.0.0.1:3", "--listen=127.0.0.1:4", "--set", "log.level=warn"),
	})
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Value  any
		Origin string
	}
	got := []row{
		{c.DataDir, c.Origin("data_dir")},
		{c.API.Listen, c.Origin("api.listen")},
		{c.API.MaxLimit, c.Origin("api.max_limit")},
		{c.API.MaxBodySize, c.Origin("api.max_body_size")},
		{c.Log.Level, c.Origin("log.level")},
		{len(c.Roles), c.Origin("roles")},
		{c.Database.KeyFile, c.Origin("database.key_file")},
	}
	want := []row{
		{"/file", file + ":2"},
		{"127.0.0.1:4", "--listen"},
		{20, "FERRIC_API_MAX_LIMIT"},
		{config.Size(2 << 20), file + ":7"},
		{"warn", "--set log.level"},
		{3, "default"},
		{"/file/secret.key", "default"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhichFile(t *testing.T) {
	a, b, d := write(t, `data_dir = "/a"`), write(t, `data_dir = "/b"`), write(t, `data_dir = "/d"`)
	tests := map[string]struct {
		src  config.Source
		want string
	}{
		"flag":            {config.Source{DefaultFile: d, Environ: []string{"FERRIC_CONFIG=" + b}, Flags: flags(t, "--config", a)}, "/a"},
		"environment":     {config.Source{DefaultFile: d, Environ: []string{"FERRIC_CONFIG=" + b}}, "/b"},
		"default":         {config.Source{DefaultFile: d}, "/d"},
		"default is gone": {config.Source{DefaultFile: d + "x"}, "/var/lib/ferric"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.src.Hostname = "h"
			c, err := config.Load(tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if c.DataDir != tt.want {
				t.Errorf("data_dir %q, want %q", c.DataDir, tt.want)
			}
		})
	}
	if _, err := config.Load(config.Source{File: a + "x", Hostname: "h"}); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("named file is gone: got %v, want invalid", err)
	}
}

func TestEveryType(t *testing.T) {
	file := write(t, `
roles = ["api", "conductor"]
api.tls_minimum_version = "1.3"
[deploy]
erase_devices_priority = 0
[ipmi]
cipher_suite_versions = [3]
[fake]
power_delay = "1s..5s"
[bus]
password = "p"
user = "u"
url = "nats://a:1,nats://b:2"
[image]
insecure = true
cache_ttl = "1h30m"
[boot]
deploy_kernel_by_arch = { aarch64 = "/k", x86_64 = "http://h/k" }
[boot.deploy_ramdisk_by_arch]
aarch64 = "/r"
`)
	fromFile, err := config.Load(config.Source{File: file, Hostname: "h"})
	if err != nil {
		t.Fatal(err)
	}
	fromEnv, err := config.Load(config.Source{Hostname: "h", Environ: []string{
		"FERRIC_ROLES=api, conductor", "FERRIC_API_TLS_MINIMUM_VERSION=1.3", "FERRIC_DEPLOY_ERASE_DEVICES_PRIORITY=0",
		"FERRIC_IPMI_CIPHER_SUITE_VERSIONS=3", "FERRIC_FAKE_POWER_DELAY=1s..5s", "FERRIC_BUS_PASSWORD=p", "FERRIC_BUS_USER=u",
		"FERRIC_BUS_URL=nats://a:1,nats://b:2", "FERRIC_IMAGE_INSECURE=true", "FERRIC_IMAGE_CACHE_TTL=1h30m",
		"FERRIC_BOOT_DEPLOY_KERNEL_BY_ARCH=aarch64=/k,x86_64=http://h/k", "FERRIC_BOOT_DEPLOY_RAMDISK_BY_ARCH=aarch64=/r",
	}})
	if err != nil {
		t.Fatal(err)
	}
	zero := 0
	want := config.Defaults()
	want.Host = "h"
	want.Roles = []string{"api", "conductor"}
	want.API.TLSMinimumVersion = "1.3"
	want.Deploy.EraseDevicesPriority = &zero
	want.IPMI.CipherSuiteVersions = []int{3}
	want.Fake.PowerDelay = config.Delay{Min: time.Second, Max: 5 * time.Second}
	want.Bus.Password, want.Bus.User, want.Bus.URL = "p", "u", "nats://a:1,nats://b:2"
	want.Image.Insecure, want.Image.CacheTTL = true, 90*time.Minute
	want.Boot.DeployKernelByArch = map[string]string{"aarch64": "/k", "x86_64": "http://h/k"}
	want.Boot.DeployRamdiskByArch = map[string]string{"aarch64": "/r"}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".origins" }, cmp.Ignore())
	if diff := cmp.Diff(want, fromFile, ignore); diff != "" {
		t.Errorf("file: %s", diff)
	}
	if diff := cmp.Diff(want, fromEnv, ignore); diff != "" {
		t.Errorf("environment: %s", diff)
	}
	if got, want := fromFile.Origin("boot.deploy_ramdisk_by_arch"), file+":19"; got != want {
		t.Errorf("origin %q, want %q", got, want)
	}
}

func TestRelativePathsOfFlags(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Source{Hostname: "h", Flags: flags(t, "--data-dir", "x/../d", "--set", "database.url=f.db")})
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != filepath.Join(dir, "d") || string(c.Database.URL) != filepath.Join(dir, "f.db") {
		t.Errorf("data_dir %q, database.url %q", c.DataDir, c.Database.URL)
	}
}

// One line of a file, and all that must be in its problem.
func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		line string
		want string // the whole problem without the file's name
	}{
		"unknown key":             {`[api]` + "\n" + `lissten = "x"`, `:2: api.lissten: unknown key; did you mean api.listen?`},
		"key of another section":  {`[api]` + "\n" + `automated_clean = true`, `:2: api.automated_clean: unknown key; did you mean conductor.automated_clean?`},
		"section forgotten":       {`automated_clean = true`, `:1: automated_clean: unknown key; did you mean conductor.automated_clean?`},
		"unknown section":         {`[quux]` + "\n" + `a = 1`, `:1: quux: unknown section; there are api, database`},
		"misspelled section":      {`[conducter]` + "\n" + `a = 1`, `:1: conducter: unknown section; did you mean [conductor]?`},
		"section as value":        {`api = 1`, `:1: api: is a section`},
		"section as list":         {`[[api]]`, `:1: api: is a section`},
		"nothing like it":         {`[log]` + "\n" + `zzzzzzzzzzzz = 1`, `:2: log.zzzzzzzzzzzz: unknown key; docs/configuration.md`},
		"below a key":             {`[api.listen]` + "\n" + `x = 1`, `:1: api.listen: must be a string`},
		"dotted":                  {`log.level = "loud"`, `:1: log.level: "loud" is not allowed; allowed: debug, info, warn, error`},
		"suggestion":              {`log.level = "inof"`, `error; did you mean "info"?`},
		"inline":                  {`log = { format = "text", level = 3 }`, `:1: log.level: must be a string in quotes`},
		"number as string":        {`api.max_limit = "5"`, `:1: api.max_limit: must be a whole number, without quotes`},
		"fraction":                {`api.max_limit = 1.5`, `must be a whole number`},
		"too small":               {`api.max_limit = 0`, `:1: api.max_limit: must be 1 to 100000, not 0`},
		"bool as string":          {`boot.tftp = "yes"`, `must be true or false, without quotes`},
		"duration without unit":   {`conductor.lease_duration = 30`, `must be a duration with its unit, for example "90s"`},
		"duration too long":       {`conductor.lease_duration = "1h"`, `must be 1s to 10m, not 1h`},
		"size without unit":       {`image.cache_size = 20`, `must be a size`},
		"size too small":          {`api.max_body_size = "1B"`, `must be 4KiB to 64MiB, not 1B`},
		"size overflow":           {`image.cache_size = "9000000PiB"`, `must be a size`},
		"list as string":          {`roles = "api"`, `:1: roles: must be a list, for example ["a", "b"]`},
		"element not allowed":     {`roles = ["api", "bot"]`, `"bot" is not allowed; allowed: api, conductor, boot; did you mean "boot"?`},
		"element twice":           {`roles = ["api", "api"]`, `holds api twice`},
		"element of a wrong type": {`roles = [1]`, `must be a string in quotes (in the list)`},
		"empty list":              {`roles = []`, `must not be empty; allowed: api, conductor, boot`},
		"number not allowed":      {`ipmi.cipher_suite_versions = [1]`, `1 is not allowed; allowed: 3, 17`},
		"relative path in a file": {`data_dir = "x"`, `"x" must be an absolute path`},
		"address":                 {`api.listen = "6385"`, `must be address:port`},
		"host name to listen on":  {`api.listen = "example.org:80"`, `must be address:port`},
		"URL":                     {`api.public_endpoint = "ftp://x"`, `must be a URL like`},
		"database":                {`database.url = "mysql://u:pass-word@h/d"`, `database.url: must be an absolute path (SQLite)`},
		"NATS":                    {`bus.url = "nats://u:pass-word@h,http://x"`, `bus.url: must be URLs like`},
		"range of addresses":      {`boot.dhcp_range = "10.0.0.9-10.0.0.1"`, `must be two IPv4 addresses, the lower first`},
		"delay":                   {`fake.power_delay = "5s..1s"`, `must be a duration or a range`},
		"map value":               {`boot.deploy_kernel_by_arch = { x = 1 }`, `must hold strings only, but "x" is none`},
		"map path":                {`boot.deploy_kernel_by_arch = { x = "k" }`, `x "k" must be an absolute path`},
		"empty":                   {`log.level = ""`, `"" is not allowed`},
		"date":                    {`log.level = 2026-01-01`, `must be a string in quotes`},
		"control character":       {`boot.kernel_append_params = "a\nb"`, `control character`},
		"host":                    {`host = "a b"`, `must be a name`},
		"syntax":                  {"[api]\nlisten = ", `:2:`},
		"twice":                   {"data_dir = '/a'\ndata_dir = '/b'", `:2:1: not TOML`},

		"certificate alone":       {`api.tls_cert = "/c"`, `:1: api.tls_cert: needs api.tls_key beside it`},
		"embedded bus with user":  {`bus.user = "u"`, `:1: bus.user: is for an external server`},
		"token and user":          {`bus = { url = "nats://h", token = "t", user = "u" }`, `bus.token: is one of three ways`},
		"split without a bus":     {`roles = ["api"]`, `:1: roles: api and conductor in different processes need a common bus`},
		"heartbeat":               {`conductor.heartbeat_timeout = "1500ms"`, `must be at least twice conductor.heartbeat_interval, which is 1s`},
		"server without a range":  {`boot = { interface = "eth0", dhcp = "server" }`, `boot.dhcp_range: must be set`},
		"default is not enabled":  {`drivers = { enabled_boot_interfaces = ["pxe"], default_boot_interface = "ipxe" }`, `must be in drivers.enabled_boot_interfaces`},
		"beats":                   {`bus = { url = "nats://h", beat = "2s" }`, `bus.lost_after: must be at least twice bus.beat`},
		"no such type":            {`drivers.enabled_hardware_types = ["ipmy"]`, `"ipmy" is not allowed; allowed: fake-hardware, ipmi; did you mean "ipmi"?`},
		"default without a value": {`host = ""`, `host: "" must be a name`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := write(t, tt.line)
			_, err := config.Load(config.Source{File: file, Hostname: "h", Allowed: map[string][]string{
				"drivers.enabled_hardware_types": {"fake-hardware", "ipmi"},
			}})
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Fatalf("got %v, want invalid", err)
			}
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("want one problem, got %v", err)
			}
			if got := strings.TrimPrefix(problems[0].String(), file); !strings.Contains(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(err.Error(), "pass-word") {
				t.Errorf("the message holds a password: %v", err)
			}
		})
	}
}

func TestRefusalsOfEnvironmentAndFlags(t *testing.T) {
	tests := map[string]struct {
		env  string
		flag string
		want string
	}{
		"unknown variable":       {env: "FERRIC_LISTN=x", want: "FERRIC_LISTN: unknown environment variable; did you mean FERRIC_LISTEN?"},
		"unknown, nothing like":  {env: "FERRIC_QUITE_ANOTHER_THING_ALTOGETHER=x", want: "unknown environment variable"},
		"bad variable":           {env: "FERRIC_API_MAX_LIMIT=many", want: "FERRIC_API_MAX_LIMIT: api.max_limit: must be a whole number"},
		"bad bool":               {env: "FERRIC_BOOT_TFTP=yes", want: "FERRIC_BOOT_TFTP: boot.tftp: must be true or false"},
		"bad map":                {env: "FERRIC_BOOT_DEPLOY_KERNEL_BY_ARCH=x", want: "must be pairs"},
		"contradicting variable": {env: "FERRIC_LISTEN=127.0.0.1:1 FERRIC_API_LISTEN=127.0.0.1:2", want: "contradicts FERRIC_API_LISTEN"},
		"bad flag":               {flag: "--listen=x", want: "--listen: api.listen: \"x\" must be address:port"},
		"bad set":                {flag: "--set=api.max_limt=5", want: "--set api.max_limt: api.max_limt: unknown key; did you mean api.max_limit?"},
		"bad value of set":       {flag: "--set=api.max_limit=x", want: "--set api.max_limit: api.max_limit: must be a whole number"},
		"empty value of set":     {flag: "--set=log.level=", want: "allowed: debug"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := config.Source{Hostname: "h", Environ: strings.Fields(tt.env)}
			if tt.flag != "" {
				src.Flags = flags(t, tt.flag)
			}
			_, err := config.Load(src)
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestForeignVariablesAreLetPass(t *testing.T) {
	_, err := config.Load(config.Source{Hostname: "h", Environ: []string{
		"FERRIC_TEST_POSTGRES=x", "FERRIC_CACHE=/x", "FERRIC_QEMU=1", "FERRIC_LAB_DIR=x", "FERRIC_SERVICE_HOST=10.0.0.1", "FERRIC_SERVICE_PORT=80", "FERRIC_PORT=tcp://x",
		"FERRIC_PORT_6385_TCP_ADDR=x", "FERRIC_API_SERVICE_PORT_HTTP=x", "FERRIC_API_PORT_80_TCP=x", "NOFERRIC_X=1",
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	file := write(t, `
[api]
listen = "x"
nonsense_key = 1
tls_cert = "/c"
[log]
level = "loud"
[bus]
user = "u"
`)
	_, err := config.Load(config.Source{File: file, Hostname: "h", Environ: []string{"FERRIC_METRICS_ENABLED=2"}, Flags: flags(t, "--roles", "x")})
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Key+" @ "+strings.TrimPrefix(p.Where, file))
	}
	// api.tls_cert without a key is not told, because [api] has wrong values anyway.
	want := []string{"metrics.enabled @ FERRIC_METRICS_ENABLED", "roles @ --roles", "api.listen @ :3", "api.nonsense_key @ :4", "log.level @ :7", "bus.user @ :9"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(err.Error(), "configuration: 6 problems:\n  ") {
		t.Errorf("text: %s", err)
	}
}

func TestValidate(t *testing.T) {
	c := config.Defaults()
	c.API.MaxLimit, c.Roles = 0, []string{"conductor"}
	err := c.Validate()
	if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "api.max_limit") || !strings.Contains(err.Error(), "roles") {
		t.Errorf("got %v", err)
	}
}

func TestBadSetFlag(t *testing.T) {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	config.NewFlags(fs)
	if err := fs.Parse([]string{"--set", "listen"}); err == nil {
		t.Error("--set without = is taken")
	}
}

func TestShow(t *testing.T) {
	file := write(t, `
bus = { url = "nats://u:pass-word@h:1,nats://t0ken-word@h:2", user = "u", password = "pass-word" }
database.url = "postgres://f:p@ss-word@db/ferric?sslmode=require&password=pass-word"
boot.deploy_kernel_by_arch = { aarch64 = "/k" }
boot.kernel_append_params = "a=\"b\\c\" ü"
`)
	c, err := config.Load(config.Source{File: file, Hostname: "h"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := config.Show(&out, c); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`data_dir = "/var/lib/ferric" # default`,
		`[bus]`,
		`url = "nats://u:******@h:1,nats://******@h:2" # ` + file + ":2",
		`password = "******" # ` + file + ":2",
		`token = "" # default`,
		`url = "postgres://f:******@db/ferric?sslmode=require&password=******" # ` + file + ":3",
		`deploy_kernel_by_arch = { "aarch64" = "/k" } # ` + file + ":4",
		`kernel_append_params = "a=\"b\\c\" ü" # ` + file + ":5",
		`# erase_devices_priority is unset # default`,
		`lease_duration = "3s" # default`,
		`deploy_callback_timeout = "30m" # default`,
		`cache_size = "20GiB" # default`,
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(out.String(), "-word") {
		t.Errorf("a secret is shown:\n%s", out.String())
	}

	// What is shown is a configuration file that gives the same configuration (here: one without secrets).
	c = config.Defaults()
	out.Reset()
	if err := config.Show(&out, c); err != nil {
		t.Fatal(err)
	}
	again, err := config.Load(config.Source{File: write(t, out.String()), Hostname: "other"})
	if err != nil {
		t.Fatal(err)
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".origins" }, cmp.Ignore())
	if diff := cmp.Diff(c, again, ignore, cmp.Transformer("nil", func(s []string) []string {
		if len(s) == 0 {
			return nil
		}
		return s
	}), cmp.Transformer("nil", func(m map[string]string) map[string]string {
		if len(m) == 0 {
			return nil
		}
		return m
	})); diff != "" {
		t.Error(diff)
	}
}

// With the comment signs taken off, the reference is a file that sets every key, to its default where it has one.
func TestReferenceIsAFile(t *testing.T) {
	var ref bytes.Buffer
	if err := config.Reference(&ref); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(ref.String()) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		text.WriteString(strings.NewReplacer("{data_dir}", "/var/lib/ferric", "{hostname}", "localhost").Replace(line))
	}
	file := write(t, text.String())
	c, err := config.Load(config.Source{File: file, Hostname: "h"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"data_dir", "api.listen", "deploy.erase_devices_priority", "metrics.listen"} {
		if !strings.HasPrefix(c.Origin(key), file) {
			t.Errorf("%s is not in the reference", key)
		}
	}
	if d := config.Defaults(); !cmp.Equal(c.Conductor, d.Conductor, cmpopts.EquateEmpty()) || !cmp.Equal(c.API, d.API, cmpopts.EquateEmpty()) {
		t.Errorf("the reference does not hold the defaults")
	}
}

func TestDocument(t *testing.T) {
	const file = "../docs/configuration.md"
	var want bytes.Buffer
	if err := config.Markdown(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("docs/configuration.md is out of date; run go test ./config -run TestDocument -update\n%s", diff)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := config.Defaults()
	c.Bus.Password, c.Bus.Token, c.Database.URL = "pass-word", "pass-word", "postgres://u:pass-word@h/d"
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{c.Bus, c.Database, c.Bus.Password, c.Database.URL} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, "pass-word") {
				t.Errorf("%s shows the password: %s", format, s)
			}
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]config.Size{"0B": 0, "1B": 1, "1KiB": 1024, "1536B": 1536, "3MiB": 3 << 20, "2TiB": 2 << 40, "1PiB": 1 << 50, "1024 GiB": 1 << 40} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
		var again config.Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%s is written as %s, which reads as %d, %v", text, s, again, err)
		}
	}
	for _, text := range []string{"", "1", "1kB", "-1B", "GiB", "1.5GiB", "8192PiB"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %s", text, s)
		}
	}
}

func TestDelay(t *testing.T) {
	d := config.Delay{Min: time.Second, Max: 2 * time.Second}
	low, high := false, false
	for range 1000 {
		x := d.Draw()
		if x < d.Min || x > d.Max {
			t.Fatalf("drew %s", x)
		}
		low, high = low || x < 1500*time.Millisecond, high || x > 1500*time.Millisecond
	}
	if !low || !high {
		t.Error("draws are not spread")
	}
	if x := (config.Delay{Min: time.Second}).Draw(); x != time.Second {
		t.Errorf("drew %s", x)
	}
}

func TestAddresses(t *testing.T) {
	first, last := (&config.Boot{DHCPRange: "10.0.0.1-10.0.0.9"}).Addresses()
	if first.String() != "10.0.0.1" || last.String() != "10.0.0.9" {
		t.Errorf("%s %s", first, last)
	}
	if first, last := (&config.Boot{}).Addresses(); first.IsValid() || last.IsValid() {
		t.Errorf("%s %s", first, last)
	}
}

// Whatever is in a file, Load neither panics nor accepts what Validate refuses, and every problem has a line.
func FuzzLoad(f *testing.F) {
	f.Add("[api]\nlisten = \"127.0.0.1:1\"\nmax_limit = 3\n")
	f.Add("boot = { dns = [\"1.1.1.1\"], deploy_kernel_by_arch = { a = \"/b\" } }\n")
	f.Add("a.b.c = 1\n[x.y]\nz = [[1], {a=2}]\n[[api]]\n")
	f.Add("bus.url = \"nats://a:b@c\"\nfake.power_delay = \"1s..2s\"\nimage.cache_size=\"1PiB\"")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(dir, "ferric.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Source{File: file, Hostname: "h"})
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("loaded, but: %v", err)
			}
			if err := config.Show(io.Discard, c); err != nil {
				t.Error(err)
			}
			return
		}
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("no problems: %v", err)
		}
		for _, p := range problems {
			if strings.HasSuffix(p.Where, ":0") {
				t.Errorf("no line: %s", p)
			}
		}
	})
}
