package openstack

import (
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// reporter is ironic-neutron-agent, but that it shares the nodes with no other: the agents of a cloud divide them among themselves, and each must see the same
// nodes. The one of the stack looks at the catalogue's bare metal service, which is not a test's own Ferric.
const reporter = `
import oslo_messaging
from networking_baremetal.agent import ironic_neutron_agent as agent
topic = '%s'
agent._set_up_notifier = lambda transport, uuid: oslo_messaging.Notifier(
    transport, publisher_id='ironic-neutron-agent-' + uuid, driver='messagingv2', topics=[topic])
agent._set_up_listener = lambda transport, pool: oslo_messaging.get_notification_listener(
    transport, [oslo_messaging.Target(topic=topic)], [agent.HashRingMemberManagerNotificationEndpoint()], executor='eventlet', pool=pool)
agent.main()
`

// reportNodes runs ironic-neutron-agent for a Ferric until the test ends. It asks over a proxy that always answers: the agent never reports again after a
// connection was refused once.
func (c *cloud) reportNodes(t *testing.T, f *ferric) {
	t.Helper()
	target, err := url.Parse(f.URL)
	check(t, err)
	way := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	t.Cleanup(way.Close)
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.ini")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `[DEFAULT]
transport_url = %s
state_path = %s
use_stderr = true
[agent]
report_interval = 3
[oslo_concurrency]
lock_path = %s
[ironic]
auth_type = password
auth_url = %s
username = %s
password = %s
project_name = %s
user_domain_name = %s
project_domain_name = %s
region_name = %s
endpoint_override = %s
`, strings.Replace(c.AMQP, "amqp://", "rabbit://", 1), dir, dir, c.AuthURL, c.Service.User, c.Service.Password, c.Service.Project, c.Service.Domain,
		c.Service.Domain, c.Region, way.URL), 0o600))
	cmd := exec.Command("/usr/bin/python3", "-c", fmt.Sprintf(reporter, unique(t)), "--config-file", config)
	said := &locked{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "LC_ALL=C.UTF-8"}
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("ironic-neutron-agent said:\n%s", said.String())
		}
	})
}
