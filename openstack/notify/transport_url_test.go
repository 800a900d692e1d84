package notify_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/openstack/notify"
)

func TestTransportURL(t *testing.T) {
	for url, want := range map[string]notify.Transport{
		"rabbit://guest:guest@127.0.0.1:25673/": {Hosts: []notify.Host{{Address: "127.0.0.1:25673", User: "guest", Password: "guest"}}, VHost: "/"},
		"rabbit://host":                         {Hosts: []notify.Host{{Address: "host:5672", User: "guest", Password: "guest"}}, VHost: "/"},
		"kombu://u:p%40%2F@a,[::1]:5673,v:q@c:1//": {Hosts: []notify.Host{{Address: "a:5672", User: "u", Password: "p@/"},
			{Address: "[::1]:5673", User: "u", Password: "p@/"}, {Address: "c:1", User: "v", Password: "q"}}, VHost: "/"},
		"amqps://u:p@[fe80::1]/openstack":   {Hosts: []notify.Host{{Address: "[fe80::1]:5671", User: "u", Password: "p"}}, VHost: "openstack", TLS: true},
		"rabbit://u:p@h/%2Fironic?ssl=true": {Hosts: []notify.Host{{Address: "h:5671", User: "u", Password: "p"}}, VHost: "/ironic", TLS: true},
	} {
		have, err := notify.ParseTransportURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", url, diff)
		}
	}
	for _, bad := range []string{"", "127.0.0.1", "zmq://h/", "rabbit://", "rabbit://u:s3cret@/", "rabbit://u:s3cret@h:port/", "rabbit://u:s3cret@h:70000/", "rabbit://u:s3cret%zz@h/",
		"rabbit://u:s3cret@h/%zz", "rabbit://u:s3cret@h,/", "rabbit://u:s3cret@h/?ssl=maybe", "rabbit://u:s3cret@h/?heartbeat=3", "rabbit://h/?%zz"} {
		_, err := notify.ParseTransportURL(bad)
		if !ferric.IsCode(err, ferric.CodeInvalid) || contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func contains(s, part string) bool { return strings.Contains(s, part) }

func FuzzTransportURL(f *testing.F) {
	f.Add("rabbit://u:p@a:1,[::1],v:q@c/x?ssl=1")
	f.Fuzz(func(t *testing.T, s string) {
		transport, err := notify.ParseTransportURL(s)
		if err == nil && len(transport.Hosts) == 0 {
			t.Errorf("%q has no host", s)
		}
	})
}
