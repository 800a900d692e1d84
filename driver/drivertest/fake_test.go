package drivertest_test

import (
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/driver/drivertest"
	"ferric/driver/fake"
)

func TestFake(t *testing.T) {
	subject := func() drivertest.Subject {
		return drivertest.Subject{Machine: &driver.Machine{Node: &ferric.Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", PowerState: ferric.PowerOff}}}
	}
	for kind, i := range (&fake.Hardware{}).Implementations() {
		t.Run(string(kind), func(t *testing.T) {
			drivertest.Common(t, i, subject(), nil)
			drivertest.Steps(t, i, subject().Machine)
		})
	}
	t.Run("power", func(t *testing.T) {
		drivertest.Power(t, func(t *testing.T) (driver.Power, drivertest.Subject) {
			return (&fake.Hardware{}).Implementations()[ferric.KindPower].(driver.Power), subject()
		})
	})
	t.Run("management", func(t *testing.T) {
		drivertest.Management(t, func(t *testing.T) (driver.Management, drivertest.Subject, func()) {
			return (&fake.Hardware{}).Implementations()[ferric.KindManagement].(driver.Management), subject(), func() {}
		})
	})
	hw := (&fake.Hardware{}).Implementations()
	t.Run("parts", func(t *testing.T) { drivertest.Parts(t, hw[ferric.KindManagement].(driver.Management), subject()) })
	t.Run("BIOS", func(t *testing.T) { drivertest.BIOS(t, hw[ferric.KindBIOS].(driver.BIOS), subject()) })
	t.Run("firmware", func(t *testing.T) { drivertest.Firmware(t, hw[ferric.KindFirmware].(driver.Firmware), subject()) })
	t.Run("RAID", func(t *testing.T) { drivertest.RAID(t, hw[ferric.KindRAID].(driver.RAID), subject()) })
	t.Run("console", func(t *testing.T) { drivertest.Console(t, hw[ferric.KindConsole].(driver.Console), subject()) })
	t.Run("vendor", func(t *testing.T) { drivertest.Vendor(t, hw[ferric.KindVendor].(driver.Vendor)) })
}
