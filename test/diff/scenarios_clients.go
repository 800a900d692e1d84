package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
)

// clients are what well-known clients say in the order in which they say it, in the microversions that they ask for. Clients poll while something goes
// on; here only what they find at its end is compared.
func clients() []scenario {
	return []scenario{
		{"client: Nova", nova},
		{"client: Metal3", metal3},
		{"client: openstacksdk and Ansible", openstackSDK},
		{"client: the command line", commandLine},
	}
}

// novaFields are the fields that Nova asks for.
const novaFields = "uuid,power_state,target_power_state,provision_state,target_provision_state,last_error,maintenance,properties,instance_uuid,traits,resource_class"

// packed is a config drive as clients make it: a file system in gzip in base64.
func packed() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(bytes.Repeat([]byte("config-2 "), 4096))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// available enrolls a node with a port and brings it to available.
func available(t *talk, fields m) {
	enroll(t, fields)
	t.post("/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:00:00:01", "physical_network": "physnet1",
		"local_link_connection": m{"switch_id": "00:11:22:33:44:55", "port_id": "Eth1/1", "switch_info": "sw1"}})
	t.put(nodePath+"/states/power", m{"target": "power off"})
	t.rest(nodeID)
	provision(t, "manage", nil)
	provision(t, "provide", nil)
}

// nova is nova-compute with the ironic driver: it reads with openstacksdk, and acts with ironicclient.
func nova(t *talk) {
	available(t, m{"resource_class": "gold", "properties": m{"cpus": 2, "memory_mb": 4096, "local_gb": 10, "cpu_arch": "x86_64",
		"capabilities": "boot_option:local,boot_mode:uefi"}})
	t.put(nodePath+"/traits", m{"traits": []any{"CUSTOM_GOLD"}})
	sdk, old, raw := t.at(76), t.at(46), t.at(0)
	poll := func() {
		t.rest(nodeID)
		sdk.get("/v1/nodes?fields=" + novaFields + "&instance_uuid=" + freshID)
		sdk.get("/v1/nodes?fields=" + novaFields)
		sdk.get("/v1/nodes?associated=True&fields=instance_uuid")
	}
	verb := func(body m) {
		old.put(nodePath+"/states/provision", body)
		poll()
	}
	claim := func() {
		sdk.patch(nodePath, op("replace", "instance_uuid", freshID))
		old.post(nodePath+"/vifs", m{"id": nobody})
	}
	raw.get("/")
	raw.get("/v1")
	poll()
	sdk.get(nodePath + "?fields=" + novaFields)
	// A server is made, and something fails before its deploy.
	claim()
	old.patch(nodePath, op("add", "instance_info/image_source", "x"), op("add", "instance_info/traits", []any{"CUSTOM_GOLD"}))
	old.del(nodePath + "/vifs/" + nobody)
	old.patch(nodePath, op("remove", "instance_info", nil), op("remove", "instance_uuid", nil))
	// The next one is deployed.
	claim()
	old.patch(nodePath, op("add", "instance_info/image_source", "http://127.0.0.1:1/image"), op("add", "instance_info/image_checksum", strings.Repeat("0", 32)),
		op("add", "instance_info/root_gb", "10"), op("add", "instance_info/swap_mb", "0"), op("add", "instance_info/display_name", "srv-bm1"),
		op("add", "instance_info/vcpus", "2"), op("add", "instance_info/nova_host_id", "compute1"), op("add", "instance_info/memory_mb", "4096"),
		op("add", "instance_info/local_gb", "10"), op("add", "instance_info/traits", []any{"CUSTOM_GOLD"}),
		op("add", "instance_info/capabilities", `{"boot_option": "local"}`))
	old.get(nodePath + "/validate")
	old.get(nodePath + "/ports/detail")
	old.get("/v1/portgroups/detail?node=" + nodeID)
	verb(m{"target": "active", "configdrive": packed()})
	old.get(nodePath)
	for _, body := range []m{{"target": "soft power off", "timeout": 60}, {"target": "power on"}, {"target": "soft rebooting"}, {"target": "rebooting"}, {"target": "power off"}} {
		old.put(nodePath+"/states/power", body)
		poll()
	}
	old.post(nodePath+"/vifs", m{"id": freshID}) // there is one port, and it is taken
	old.get(nodePath + "/states/console")
	verb(m{"target": "rescue", "rescue_password": "na3qUqBJixXc"})
	verb(m{"target": "unrescue"})
	old.patch(nodePath, op("add", "instance_info/preserve_ephemeral", "False"))
	verb(m{"target": "rebuild", "configdrive": packed()})
	old.put(nodePath+"/maintenance", m{"reason": "a fan"})
	poll()
	old.del(nodePath + "/maintenance")
	verb(m{"target": "deleted"})
	old.del(nodePath + "/vifs/" + nobody)
	old.get(nodePath + "?fields=instance_info,instance_uuid,provision_state")
	verb(m{"target": "deleted"})
	// Boot from a volume.
	claim()
	old.post("/v1/volume/connectors", m{"node_uuid": nodeID, "type": "iqn", "connector_id": "iqn.2026-11.org:one"})
	old.get("/v1/volume/connectors?detail=True&node=" + nodeID)
	old.post("/v1/volume/targets", m{"node_uuid": nodeID, "volume_type": "iscsi", "boot_index": 0, "volume_id": nobody,
		"properties": m{"target_iqn": "iqn.x", "target_portal": "127.0.0.1:3260", "target_lun": 0, "auth_method": "CHAP", "auth_username": "u", "auth_password": "p"}})
	old.get("/v1/volume/targets?detail=True&node=" + nodeID)
	old.get(nodePath + "/volume/targets?detail=True")
}

// metal3 is the bare metal operator of Metal3 with gophercloud. Nodes are named namespace~name there.
func metal3(t *talk) {
	const node, name = nodePath, "metal3~worker-0"
	t.get("/v1/conductors")
	t.get("/v1/drivers")
	t.get("/v1/nodes/" + name)
	t.get("/v1/nodes/worker-0")
	t.get("/v1/ports?address=52:54:00:00:00:01&fields=node_uuid")
	t.get("/v1/ports/detail?address=52:54:00:00:00:01")
	t.post("/v1/nodes", m{"uuid": nodeID, "name": name, "driver": "fake-hardware", "automated_clean": false, "bios_interface": "fake", "boot_interface": "fake",
		"deploy_interface": "fake", "inspect_interface": "fake", "management_interface": "fake", "power_interface": "fake", "raid_interface": "fake",
		"vendor_interface": "fake", "driver_info": m{"deploy_kernel": "http://127.0.0.1:1/ipa.kernel", "deploy_ramdisk": "http://127.0.0.1:1/ipa.initramfs",
			"redfish_address": "https://192.168.111.1:8000", "redfish_username": "admin", "redfish_password": "password", "redfish_system_id": "/redfish/v1/Systems/1",
			"redfish_verify_ca": false, "force_persistent_boot_device": "Default", "kernel_append_params": "sshkey=\"ssh-rsa AAAA\" ip=dhcp"},
		"properties": m{"capabilities": "boot_mode:uefi"}, "instance_info": m{"capabilities": m{"secure_boot": "true"}}, "extra": m{"a": "b"}})
	t.post("/v1/nodes", m{"driver": "fake-hardware", "owner": nil, "resource_class": "", "conductor_group": "", "description": "", "lessee": ""})
	t.post("/v1/nodes", m{"driver": "fake-hardware", "maintenance": false})
	t.post("/v1/nodes", m{"name": name, "driver": "fake-hardware"})
	t.post("/v1/ports", m{"node_uuid": nodeID, "address": "52:54:00:00:00:01", "pxe_enabled": true})
	t.post("/v1/ports", m{"node_uuid": nodeID, "address": "52:54:00:00:00:01"})
	t.get("/v1/ports/detail?node_uuid=" + nodeID)
	t.get("/v1/nodes/" + name)
	t.get(node + "/validate")
	provision(t, "manage", nil)
	t.put(node+"/states/power", m{"target": "power off"})
	t.rest(nodeID)
	t.patch(node, op("replace", "driver_info/redfish_password", "new"), op("add", "properties/cpu_arch", "x86_64"), op("replace", "inspect_interface", "fake"),
		op("add", "instance_info/capabilities", m{}), op("remove", "extra", nil))
	t.patch(node, op("replace", "properties/capabilities", "boot_mode:uefi,secure_boot:true"), op("remove", "properties/nonsense", nil))
	provision(t, "inspect", nil)
	t.get(node)
	provision(t, "abort", nil)
	t.put(node+"/states/raid", m{"logical_disks": []any{m{"size_gb": "MAX", "raid_level": "1", "is_root_volume": true, "controller": "software",
		"physical_disks": []any{m{"name": "/dev/sda"}, m{"name": "/dev/sdb"}}}}})
	t.put(node+"/states/raid", m{"logical_disks": []any{m{"size_gb": 100, "raid_level": "5", "volume_name": "v", "disk_type": "ssd", "number_of_physical_disks": 3}}})
	t.get("/v1/drivers/fake-hardware/raid/logical_disk_properties")
	provision(t, "clean", m{"clean_steps": []any{m{"interface": "bios", "step": "apply_configuration"}}}) // it lacks settings
	provision(t, "manage", nil)
	t.del(node + "/maintenance")
	t.put(node+"/states/provision", m{"target": "clean", "clean_steps": []any{m{"interface": "raid", "step": "delete_configuration"}, m{"interface": "nope", "step": "x"}}})
	provision(t, "clean", m{"clean_steps": []any{m{"interface": "bios", "step": "apply_configuration", "args": m{"settings": []any{m{"name": "QuietBoot", "value": "false"}}}}}})
	t.change(node, "automated_clean", true)
	provision(t, "provide", nil)
	t.patch(node, op("add", "instance_uuid", freshID), op("add", "instance_info/image_source", "http://127.0.0.1:1/image.qcow2"),
		op("add", "instance_info/image_os_hash_algo", "sha256"), op("add", "instance_info/image_os_hash_value", strings.Repeat("0", 64)),
		op("add", "instance_info/image_checksum", strings.Repeat("0", 32)), op("add", "instance_info/image_disk_format", "raw"),
		op("add", "instance_info/root_device", m{"name": "s== /dev/sda"}), op("add", "properties/root_device", m{"size": ">= 10", "rotational": false}),
		op("add", "deploy_interface", "fake"))
	t.get(node + "/validate")
	t.put(node+"/states/provision", m{"target": "active", "configdrive": m{"meta_data": "x"}})
	t.put(node+"/states/provision", m{"target": "active", "configdrive": "not base64!"})
	provision(t, "active", m{"configdrive": m{"meta_data": m{"local-hostname": "worker-0", "metal3-name": "worker-0"}, "network_data": m{"links": []any{}},
		"user_data": "#cloud-config\n{}\n"}})
	t.get(node)
	t.put(node+"/states/power", m{"target": "soft power off", "timeout": 180})
	t.rest(nodeID)
	t.put(node+"/states/power", m{"target": "power on"})
	t.rest(nodeID)
	provision(t, "rebuild", m{"configdrive": m{"user_data": m{"ignition": m{"version": "3.2.0"}}}})
	provision(t, "deleted", nil)
	t.put(node+"/maintenance", m{"reason": "deleted by the operator"})
	t.del(node)
	t.get(node)
	// A host with a system on it that is taken over, with an external image.
	enroll(t, m{"name": name, "instance_info": m{"boot_iso": "http://127.0.0.1:1/live.iso"}, "automated_clean": false})
	provision(t, "manage", nil)
	t.patch(node, op("replace", "instance_uuid", freshID), op("replace", "instance_info/image_source", "http://127.0.0.1:1/image"))
	t.patch(node, op("add", "instance_uuid", freshID), op("add", "instance_info/image_source", "http://127.0.0.1:1/image"))
	provision(t, "adopt", nil)
	t.get(node)
	provision(t, "deleted", nil)
}

// openstackSDK is what modules of the collection openstack.cloud do through openstacksdk: baremetal_node, baremetal_port, baremetal_node_action,
// baremetal_deploy_template.
func openstackSDK(t *talk) {
	sdk, raw := t.at(80), t.at(0)
	raw.get("/")
	sdk.get("/v1/nodes/alpha")
	sdk.get("/v1/ports/detail?address=52:54:00:00:00:01")
	sdk.post("/v1/nodes", m{"uuid": nodeID, "name": "alpha", "driver": "fake-hardware", "driver_info": m{"username": "root", "password": "p"},
		"properties": m{"cpu_arch": "x86_64", "ram": 1024}, "extra": m{"k": 1}, "resource_class": "baremetal", "chassis_uuid": nil, "instance_uuid": nil})
	sdk.post("/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:00:00:01", "is_pxe_enabled": true})
	sdk.post("/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:00:00:01", "pxe_enabled": true, "extra": m{}})
	sdk.patch("/v1/ports/"+portID, op("replace", "extra", m{"a": 1}), op("replace", "physical_network", "net"))
	sdk.patch("/v1/ports/"+portID, op("replace", "is_smartnic", "nonsense"))
	sdk.patch(nodePath, op("replace", "properties/ram", 2048), op("add", "properties/vendor", "x"), op("remove", "extra/k", nil))
	sdk.patch(nodePath, op("replace", "properties/nope", 1))
	for _, field := range []string{"description", "owner", "lessee", "retired_reason", "boot_interface"} {
		sdk.patch(nodePath, op("replace", field, nil))
	}
	wait := func(target string, more m) {
		sdk.put(nodePath+"/states/provision", with(more, "target", target))
		t.rest(nodeID)
		sdk.get(nodePath)
	}
	wait("manage", nil)
	wait("manage", nil)
	wait("inspect", nil)
	sdk.get(nodePath + "/management/boot_device")
	sdk.get(nodePath + "/management/boot_device/supported")
	sdk.put(nodePath+"/management/boot_device", m{"boot_device": "disk", "persistent": false})
	sdk.put(nodePath+"/management/inject_nmi", nil)
	sdk.put(nodePath+"/states/console", m{"enabled": true})
	t.rest(nodeID)
	sdk.get(nodePath + "/states/console")
	sdk.put(nodePath+"/states/console", m{"enabled": "false"})
	t.rest(nodeID)
	wait("provide", nil)
	sdk.put(nodePath+"/traits", m{"traits": []any{"CUSTOM_A", "CUSTOM_B"}})
	sdk.put(nodePath+"/traits/CUSTOM_C", nil)
	sdk.del(nodePath + "/traits/CUSTOM_B")
	sdk.get(nodePath + "?fields=traits,name")
	sdk.post("/v1/allocations", m{"uuid": allocID, "name": "web", "resource_class": "baremetal", "traits": []any{"CUSTOM_A"}, "candidate_nodes": []any{"alpha"}})
	t.both(func(_ int, s *side) {
		for range 100 {
			if s.ask(t.ctx, "GET", "/v1/allocations/web", nil).object()["state"] != "allocating" {
				return
			}
		}
	})
	sdk.get("/v1/allocations/web")
	sdk.post(nodePath+"/vifs", m{"id": nobody})
	sdk.get(nodePath + "/vifs")
	sdk.patch(nodePath, op("add", "instance_info", deployable), op("replace", "instance_info/root_gb", "10"))
	sdk.get(nodePath + "/validate")
	sdk.put(nodePath+"/states/power", m{"target": "power on"})
	t.rest(nodeID)
	wait("active", m{"config_drive": packed()})
	wait("active", m{"configdrive": packed()})
	sdk.get("/v1/nodes/detail?provision_state=active&resource_class=baremetal&sort_key=name")
	sdk.get("/v1/nodes?fields=uuid,name,allocation_uuid&associated=true&limit=1")
	sdk.put(nodePath+"/states/power", m{"target": "rebooting"})
	t.rest(nodeID)
	wait("rescue", m{"rescue_password": "secret"})
	wait("unrescue", nil)
	sdk.del("/v1/allocations/web")
	sdk.del(nodePath + "/vifs/" + nobody)
	wait("deleted", nil)
	sdk.get("/v1/allocations/web")
	wait("manage", nil)
	sdk.post("/v1/deploy_templates", m{"uuid": templID, "name": "CUSTOM_HT_ON", "steps": []any{m{"interface": "bios", "step": "apply_configuration",
		"args": m{"settings": []any{m{"name": "LogicalProc", "value": "Enabled"}}}, "priority": 150}}, "extra": m{}})
	sdk.get("/v1/deploy_templates/CUSTOM_HT_ON")
	sdk.patch("/v1/deploy_templates/CUSTOM_HT_ON", op("replace", "name", "CUSTOM_HT_OFF"), op("replace", "steps/0/priority", 10))
	sdk.del("/v1/deploy_templates/CUSTOM_HT_OFF")
	sdk.del("/v1/ports/" + portID)
	sdk.del(nodePath)
}

// commandLine is "openstack baremetal …", which is python-ironicclient.
func commandLine(t *talk) {
	cli, raw := t.at(78), t.at(0)
	raw.get("/v1")
	available(t, m{"resource_class": "baremetal"})
	cli.get("/v1/nodes?fields=uuid,name,instance_uuid,power_state,provision_state,maintenance")
	cli.get("/v1/nodes/detail")
	cli.get("/v1/nodes?sort_key=provision_updated_at&sort_dir=desc&fields=uuid,name,provision_updated_at")
	cli.get("/v1/nodes?maintenance=False&associated=False&provision_state=available&driver=fake-hardware&resource_class=baremetal&fields=name")
	cli.get("/v1/nodes?retired=False&conductor_group=&owner=nobody&fields=name")
	cli.get("/v1/ports?address=52:54:00:00:00:01&fields=uuid,address")
	cli.get("/v1/ports/detail?node=alpha")
	cli.get("/v1/nodes/alpha/states")
	cli.get("/v1/nodes/alpha/vifs")
	cli.get("/v1/nodes/alpha/traits")
	cli.get("/v1/nodes/alpha/bios/nonsense")
	cli.get("/v1/drivers?detail=true&type=dynamic")
	cli.get("/v1/drivers?type=classic")
	cli.get("/v1/drivers?fields=name,hosts")
	cli.get("/v1/drivers/fake-hardware/properties")
	cli.get("/v1/conductors?fields=hostname,conductor_group,alive")
	cli.patch("/v1/nodes/alpha", op("add", "properties/a/b", 1))
	cli.patch("/v1/nodes/alpha", op("add", "driver_info/ipmi_password", "x"), op("add", "extra/deep", m{"a": m{"b": []any{1}}}))
	cli.patch("/v1/nodes/alpha", op("add", "extra/deep/a/b/-", 2), op("add", "extra/deep/a/b/0", 0), op("remove", "extra/deep/a/b/1", nil))
	cli.patch("/v1/nodes/alpha", op("add", "protected", "True"))
	cli.patch("/v1/nodes/alpha", op("add", "name", "omega"), op("add", "owner", "me"), op("add", "description", "text"))
	cli.patch("/v1/nodes/omega", op("add", "retired", "True"), op("add", "retired_reason", "old"))
	provision(cli, "manage", nil)
	cli.patch("/v1/nodes/omega", op("add", "retired", "True"), op("add", "retired_reason", "old"))
	cli.patch("/v1/nodes/omega", op("remove", "protected", nil))
	cli.patch("/v1/nodes/omega", op("remove", "retired", nil), op("remove", "owner", nil), op("remove", "description", nil), op("remove", "name", nil))
	cli.patch(nodePath, op("remove", "properties/none", nil))
	cli.patch(nodePath, op("add", "instance_uuid", "nonsense"))
	cli.patch(nodePath, op("add", "chassis_uuid", nobody))
	cli.patch(nodePath, op("add", "network_data", "nonsense"))
	cli.patch(nodePath, op("add", "deploy_interface", "direct"))
	cli.patch(nodePath, op("add", "driver", "ipmi"))
	cli.put(nodePath+"/maintenance", m{"reason": nil})
	cli.del(nodePath)
	cli.del(nodePath)
}
