"""What openstacksdk's own functional tests leave out of its bare metal proxy and of its cloud layer, as run.py's suite "sdk"."""
import json
import os
import unittest
import uuid

import openstack
from openstack import exceptions

TIMEOUT = 60  # seconds for a node to reach a state


class Case(unittest.TestCase):

    def setUp(self):
        self.cloud = openstack.connect(cloud="ferric")
        self.addCleanup(self.cloud.close)
        self.baremetal = self.cloud.baremetal

    def node(self, **fields):
        """A new node in enroll."""
        node = self.baremetal.create_node(driver="fake-hardware", provision_state="enroll", **fields)
        self.addCleanup(self.forget, node.id)
        return node

    def forget(self, node_id):
        if self.baremetal.find_node(node_id):
            self.baremetal.set_node_maintenance(node_id, "the test is over")
            self.baremetal.delete_node(node_id)

    def verb(self, node, target, **arguments):
        return self.baremetal.set_node_provision_state(node, target, wait=True, timeout=TIMEOUT, **arguments)

    def available(self, **fields):
        node = self.node(**fields)
        self.verb(node, "manage")
        self.verb(node, "provide")
        self.baremetal.set_node_power_state(node, "power off", wait=True, timeout=TIMEOUT)
        return self.baremetal.update_node(node, instance_info={
            "image_source": "http://192.0.2.1/image.qcow2", "image_checksum": "d41d8cd98f00b204e9800998ecf8427e"})


class Provision(Case):

    def test_deploy_with_config_drive(self):
        node = self.available()
        node = self.verb(node, "active", config_drive={
            "meta_data": {"hostname": "one"}, "user_data": "#cloud-config\n", "network_data": {"links": []}})
        self.assertEqual("active", node.provision_state)
        shown = self.baremetal.get_node(node.id)
        self.assertNotIn("cloud-config", json.dumps(shown.instance_info))
        node = self.verb(node, "rebuild", config_drive={"user_data": {"a": "JSON is written as text"}})
        self.assertEqual("active", node.provision_state)
        node = self.verb(node, "deleted")
        self.assertEqual("available", node.provision_state)
        self.assertNotIn("image_source", node.instance_info)

    def test_many_at_once(self):
        nodes = [self.node() for _ in range(5)]
        for node in nodes:
            self.baremetal.set_node_provision_state(node, "manage")
        nodes = self.baremetal.wait_for_nodes_provision_state(nodes, "manageable", timeout=TIMEOUT)
        for node in nodes:
            self.baremetal.set_node_provision_state(node, "provide")
        done = self.baremetal.wait_for_nodes_provision_state(nodes, "available", timeout=TIMEOUT)
        self.assertEqual({"available"}, {n.provision_state for n in done})

    def test_clean_inspect(self):
        node = self.node()
        self.verb(node, "manage")
        node = self.verb(node, "inspect")
        self.assertEqual("manageable", node.provision_state)
        node = self.verb(node, "clean", clean_steps=[{"interface": "deploy", "step": "erase_devices_metadata"}])
        self.assertEqual("manageable", node.provision_state)
        self.assertIsNone(node.last_error)

    def test_rescue(self):
        node = self.available()
        self.verb(node, "active")
        node = self.verb(node, "rescue", rescue_password="password")
        self.assertEqual("rescue", node.provision_state)
        self.baremetal.set_node_provision_state(node, "unrescue")
        self.baremetal.wait_for_nodes_provision_state([node], "active", timeout=TIMEOUT)

    def test_wrong_state(self):
        node = self.node()
        with self.assertRaisesRegex(exceptions.BadRequestException, "can not be performed on node"):
            self.baremetal.set_node_provision_state(node, "active")

    def test_reservation(self):
        node = self.node()
        self.assertIs(node, self.baremetal.wait_for_node_reservation(node, timeout=TIMEOUT))


class Node(Case):

    def test_filters(self):
        a = self.node(name="sdk-a", resource_class="sdk-gold", owner=None)
        b = self.node(name="sdk-b", resource_class="sdk-silver")
        self.baremetal.set_node_maintenance(b, "fan")
        for filters, want in [({"resource_class": "sdk-gold"}, {a.id}), ({"is_maintenance": True}, {b.id}),
                              ({"driver": "ipmi"}, set()), ({"provision_state": "enroll"}, {a.id, b.id})]:
            with self.subTest(filters=filters):
                self.assertEqual(want, {n.id for n in self.baremetal.nodes(**filters)})
        self.assertEqual([a.id, b.id], [n.id for n in self.baremetal.nodes(limit=1)], "pages")
        self.assertTrue(all(n.driver for n in self.baremetal.nodes(details=True)))

    def test_traits(self):
        node = self.node()
        self.baremetal.set_node_traits(node, ["CUSTOM_A", "HW_CPU_X86_VMX"])
        self.baremetal.add_node_trait(node, "CUSTOM_B")
        self.baremetal.remove_node_trait(node, "CUSTOM_A")
        self.assertEqual({"HW_CPU_X86_VMX", "CUSTOM_B"}, set(self.baremetal.get_node(node.id).traits))
        self.assertRaises(exceptions.BadRequestException, self.baremetal.add_node_trait, node, "not a trait")

    def test_boot_device(self):
        node = self.node()
        self.baremetal.set_node_boot_device(node, "disk", persistent=True)
        self.assertRaises(exceptions.BadRequestException, self.baremetal.set_node_boot_device, node, "tape")

    def test_boot_mode(self):
        node = self.node()
        self.verb(node, "manage")
        self.baremetal.set_node_boot_mode(node, "uefi")
        self.baremetal.set_node_secure_boot(node, True)

    def test_vendor_passthru(self):
        node = self.node()
        self.assertIn("second_method", self.baremetal.list_node_vendor_passthru(node))
        self.baremetal.call_node_vendor_passthru(node, "POST", "second_method", {"bar": "kazoo"})
        self.assertIsInstance(self.baremetal.list_driver_vendor_passthru("fake-hardware"), dict)

    def test_vifs(self):
        node = self.node()
        self.baremetal.create_port(node_id=node.id, address="52:54:00:cc:00:01")
        vif = str(uuid.uuid4())
        self.baremetal.attach_vif_to_node(node, vif)
        self.assertEqual([vif], self.baremetal.list_node_vifs(node))
        self.assertTrue(self.baremetal.detach_vif_from_node(node, vif))
        self.assertEqual([], self.baremetal.list_node_vifs(node))

    def test_conflict(self):
        node = self.node(name="sdk-one")
        with self.assertRaisesRegex(exceptions.ConflictException, "A node with name sdk-one already exists"):
            self.node(name="sdk-one")
        with self.assertRaisesRegex(exceptions.ConflictException, node.id):
            self.baremetal.create_node(driver="fake-hardware", id=node.id, provision_state="enroll")

    def test_unknown_fields_and_versions(self):
        node = self.node()
        session = self.baremetal
        for version, status in [("1.115", 200), ("1.1", 200), ("1.116", 406), ("2.0", 406)]:
            reply = session.get(f"/nodes/{node.id}", headers={"X-OpenStack-Ironic-API-Version": version})
            self.assertEqual(status, reply.status_code, version)


class Port(Case):

    def test_life(self):
        node = self.node()
        port = self.baremetal.create_port(node_id=node.id, address="52:54:00:CC:00:02", physical_network="a", is_pxe_enabled=False,
                                          local_link_connection={"switch_id": "0a:1b:2c:3d:4e:5f", "port_id": "1", "switch_info": "s"})
        self.assertEqual("52:54:00:cc:00:02", port.address)
        self.assertEqual([port.id], [p.id for p in self.baremetal.ports(node_id=node.id)])
        self.assertEqual([port.id], [p.id for p in self.baremetal.ports(details=True, address="52:54:00:cc:00:02")])
        port = self.baremetal.update_port(port, extra={"a": [1, {"b": None}]})
        self.assertEqual({"a": [1, {"b": None}]}, self.baremetal.get_port(port.id).extra)
        self.baremetal.delete_port(port)
        self.assertIsNone(self.baremetal.find_port(port.id))


class Allocation(Case):

    def test_traits_and_name(self):
        gold = self.available(resource_class="sdk-class")
        self.available(resource_class="sdk-class")
        self.baremetal.set_node_traits(gold, ["CUSTOM_GOLD"])
        allocation = self.baremetal.create_allocation(name="sdk-allocation", resource_class="sdk-class", traits=["CUSTOM_GOLD"])
        self.addCleanup(self.baremetal.delete_allocation, allocation.id)
        allocation = self.baremetal.wait_for_allocation(allocation, timeout=TIMEOUT)
        self.assertEqual(gold.id, allocation.node_id)
        self.assertEqual(allocation.id, self.baremetal.get_allocation("sdk-allocation").id)
        self.assertEqual(allocation.id, self.baremetal.get_node(gold.id).instance_id)
        with self.assertRaisesRegex(exceptions.SDKException, "allocation"):
            other = self.baremetal.create_allocation(resource_class="sdk-class", traits=["CUSTOM_GOLD"])
            self.addCleanup(self.baremetal.delete_allocation, other.id)
            self.baremetal.wait_for_allocation(other, timeout=TIMEOUT)


class CloudLayer(Case):
    """The calls of openstack.connection that older programs use."""

    def test_register_and_unregister(self):
        machine = self.cloud.register_machine([{"mac": "52:54:00:cc:00:03"}], wait=True, timeout=TIMEOUT, driver="fake-hardware",
                                              name="sdk-machine")
        self.addCleanup(self.forget, machine["uuid"])
        self.assertEqual("available", machine["provision_state"])
        self.assertEqual(machine["uuid"], self.cloud.get_machine_by_mac("52:54:00:cc:00:03")["uuid"])
        self.assertIn(machine["uuid"], [m["uuid"] for m in self.cloud.list_machines()])
        self.assertEqual(1, len(self.cloud.list_nics_for_machine(machine["uuid"])))
        self.cloud.set_machine_maintenance_state(machine["uuid"], True, reason="fan")
        self.assertTrue(self.cloud.get_machine("sdk-machine")["maintenance"])
        self.cloud.remove_machine_from_maintenance(machine["uuid"])
        self.cloud.patch_machine(machine["uuid"], [{"op": "add", "path": "/extra/a", "value": "b"}])
        self.cloud.set_machine_power_on(machine["uuid"])
        self.assertEqual("available", self.cloud.inspect_machine("sdk-machine", timeout=TIMEOUT)["provision_state"])
        self.cloud.node_set_provision_state(machine["uuid"], "manage", wait=True, timeout=TIMEOUT)
        self.cloud.unregister_machine([{"mac": "52:54:00:cc:00:03"}], machine["uuid"], timeout=TIMEOUT)
        self.assertIsNone(self.cloud.get_machine("sdk-machine"))

    def test_endpoint(self):
        self.assertEqual(os.environ["CONFORMANCE_ENDPOINT"], self.baremetal.get_endpoint().rstrip("/").removesuffix("/v1"))
