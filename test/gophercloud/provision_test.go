package gophercloud

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

// image is what instance_info needs for a deploy by fake-hardware.
func image(t *testing.T, c *gophercloud.ServiceClient, id string) {
	t.Helper()
	_, err := nodes.Update(t.Context(), c, id, nodes.UpdateOpts{
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_source", Value: "http://192.0.2.1/image.qcow2"},
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_info/image_checksum", Value: "d41d8cd98f00b204e9800998ecf8427e"},
	}).Extract()
	check(t, err)
}

func TestProvision(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := ready(t, c, nodes.CreateOpts{ResourceClass: "gold"})
		image(t, c, n.UUID)
		deploy := nodes.ProvisionStateOpts{Target: nodes.TargetActive}
		if c.Microversion != "1.50" { // a config drive as an object is newer
			deploy.ConfigDrive = nodes.ConfigDrive{MetaData: map[string]any{"hostname": "one"}, UserData: "#!/bin/sh\n"}
		}
		active := verb(t, c, n.UUID, deploy, nodes.Active)
		if active.LastError != "" || active.ProvisionUpdatedAt.IsZero() {
			t.Errorf("active: %+v", active)
		}
		refused(t, nodes.ChangeProvisionState(t.Context(), c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}).ExtractErr(), 400)
		refused(t, nodes.Delete(t.Context(), c, n.UUID).ExtractErr(), 409)
		verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetRebuild}, nodes.Active)
		verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetDeleted}, nodes.Available)
		verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	})
}

func TestDeploySteps(t *testing.T) {
	c := client(t, "1.115")
	n := ready(t, c, nodes.CreateOpts{})
	image(t, c, n.UUID)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetActive, DeploySteps: []nodes.DeployStep{
		{Interface: nodes.InterfacePower, Step: nodes.StepReboot, Priority: 90, Args: map[string]any{}}}}, nodes.Active)
	refused(t, nodes.ChangeProvisionState(t.Context(), c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetRebuild, DeploySteps: []nodes.DeployStep{
		{Interface: nodes.InterfaceDeploy, Step: "deploy", Priority: 100, Args: map[string]any{}}}}).ExtractErr(), 400) // a core step
	refused(t, nodes.ChangeProvisionState(t.Context(), c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetRebuild, DeploySteps: []nodes.DeployStep{
		{Interface: "kitchen", Step: "x", Priority: 1, Args: map[string]any{}}}}).ExtractErr(), 400)
}

func TestCleanAndInspect(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{})
		verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
		inspected := verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetInspect}, nodes.Manageable)
		if inspected.LastError != "" || inspected.InspectionFinishedAt == nil {
			t.Errorf("inspected: %+v", inspected)
		}
		cleaned := verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetClean, CleanSteps: []nodes.CleanStep{
			{Interface: nodes.InterfaceDeploy, Step: "erase_devices_metadata"}}}, nodes.Manageable)
		if cleaned.LastError != "" {
			t.Errorf("cleaned: %s", cleaned.LastError)
		}
		refused(t, nodes.ChangeProvisionState(t.Context(), c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetClean}).ExtractErr(), 400)
	})
}

func TestAdoptRescueService(t *testing.T) {
	c := client(t, "1.115")
	n := newNode(t, c, nodes.CreateOpts{})
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	image(t, c, n.UUID)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetAdopt}, nodes.Active)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetRescue, RescuePassword: "password"}, nodes.Rescue)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetUnrescue}, nodes.Active)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetService, ServiceSteps: []nodes.ServiceStep{
		{Interface: nodes.InterfacePower, Step: nodes.StepReboot}}}, nodes.Active)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetService, ServiceSteps: []nodes.ServiceStep{
		{Interface: nodes.InterfaceDeploy, Step: nodes.StepHold}}}, nodes.ServiceHold)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetUnhold}, nodes.Active)
}
