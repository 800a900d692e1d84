package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric/agent"
)

func TestParseParams(t *testing.T) {
	def := agent.Params{ListenPort: 9999, LLDPTimeout: 30 * time.Second, DHCPWait: time.Minute, DiskWait: 30 * time.Second, Guard: true}
	with := func(change func(*agent.Params)) agent.Params { p := def; change(&p); return p }
	tests := map[string]struct {
		cmdline string
		want    agent.Params
		problem string
	}{
		"nothing": {"root=/dev/ram quiet\n", def, ""},
		"all": {`ipa-api-url=http://a:6385,http://b:6385 ipa-inspection-callback-url=http://a/v1/continue ipa-inspection-collectors=default,logs ipa-insecure=1 ipa-debug=True ` +
			`ipa-agent-token=tok ipa-advertise-host=192.0.2.7 ipa-listen-port=99 BOOTIF=01-52-54-00-AA-34-56 ipa-collect-lldp=yes ipa-lldp-timeout=5.5 ` +
			`ipa-inspection-dhcp-wait-timeout=7 ipa-inspection-dhcp-all-interfaces=true ipa-disk-wait-attempts=2 ipa-disk-wait-delay=4 ipa-guard-special-filesystems=false ipa-ignore-bootloader-failure=true`,
			agent.Params{APIURLs: []string{"http://a:6385", "http://b:6385"}, InspectionURLs: []string{"http://a/v1/continue"}, Collectors: []string{"default", "logs"}, Insecure: true, Debug: true,
				Token: "tok", AdvertiseHost: "192.0.2.7", ListenPort: 99, BootIF: "01-52-54-00-AA-34-56", CollectLLDP: true, LLDPTimeout: 5500 * time.Millisecond, DHCPWait: 7 * time.Second, DHCPAll: true,
				DiskWait: 8 * time.Second, IgnoreLoader: true}, ""},
		"quoted":              {`x="a b ipa-debug=1" ipa-api-url="http://a:6385"`, with(func(p *agent.Params) { p.APIURLs = []string{"http://a:6385"} }), ""},
		"last wins":           {"ipa-listen-port=1 ipa-listen-port=2", with(func(p *agent.Params) { p.ListenPort = 2 }), ""},
		"bad number":          {"ipa-listen-port=x", def, "ipa-listen-port=x"},
		"not a number at all": {"ipa-lldp-timeout=NaN", def, "ipa-lldp-timeout"},
		"bad flag":            {"ipa-debug=perhaps", def, "ipa-debug"},
		"mdns":                {"ipa-api-url=mdns", def, "mdns"},
		"bad ip":              {"ip=x:::255.0.0.0", def, "ip=x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := agent.ParseParams(tt.cmdline)
			if (len(got.Problems) > 0) != (tt.problem != "") || tt.problem != "" && !strings.Contains(got.Problems[0], tt.problem) {
				t.Errorf("problems %q, want %q", got.Problems, tt.problem)
			}
			got.Problems = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBootMAC(t *testing.T) {
	for in, want := range map[string]string{
		"01-52-54-00-AA-34-56": "52:54:00:aa:34:56", "52:54:00:aa:34:56": "52:54:00:aa:34:56", "52-54-00-aa-34-56": "52:54:00:aa:34:56", "": "", "eth0": "", "01-52": "",
	} {
		if got := agent.ParseParams("BOOTIF=" + in).MAC(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add(`ipa-api-url=http://a BOOTIF=01-52-54-00-AA-34-56 x="a b`)
	f.Add("ip=192.0.2.7::192.0.2.1:24:h:eth0:off ipa-lldp-timeout=1e300")
	f.Fuzz(func(t *testing.T, s string) {
		p := agent.ParseParams(s)
		p.MAC()
		if p.LLDPTimeout < 0 || p.DHCPWait < 0 || p.DiskWait < 0 {
			t.Fatalf("%+v", p)
		}
	})
}
