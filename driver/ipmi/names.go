package ipmi

import (
	"fmt"
	"strings"
)

// sensorTypeName is the name of a sensor type (table 42-3), as ipmitool has it.
func sensorTypeName(kind byte) string {
	switch {
	case int(kind) < len(sensorTypes):
		return sensorTypes[kind]
	case kind >= 0xc0:
		return "OEM reserved"
	}
	return "Unknown"
}

var sensorTypes = [...]string{
	"reserved", "Temperature", "Voltage", "Current", "Fan", "Physical Security", "Platform Security", "Processor",
	"Power Supply", "Power Unit", "Cooling Device", "Other", "Memory", "Drive Slot / Bay",
	"POST Memory Resize", "System Firmwares", "Event Logging Disabled", "Watchdog1", "System Event",
	"Critical Interrupt", "Button", "Module / Board", "Microcontroller", "Add-in Card", "Chassis", "Chip Set",
	"Other FRU", "Cable / Interconnect", "Terminator", "System Boot Initiated", "Boot Error",
	"OS Boot", "OS Critical Stop", "Slot / Connector", "System ACPI Power State", "Watchdog2",
	"Platform Alert", "Entity Presence", "Monitor ASIC", "LAN", "Management Subsys Health", "Battery",
	"Session Audit", "Version Change", "FRU State",
}

// ironicGroup is the first word of a type's name: Ironic groups sensors by it.
func ironicGroup(typeName string) string {
	word, _, _ := strings.Cut(typeName, " ")
	return word
}

// unitName is the name of a unit (table 43-15), as ipmitool has it.
func unitName(unit byte) string {
	if int(unit) < len(unitNames) {
		return unitNames[unit]
	}
	return "unspecified"
}

var unitNames = [...]string{
	"unspecified", "degrees C", "degrees F", "degrees K", "Volts", "Amps", "Watts", "Joules", "Coulombs", "VA",
	"Nits", "lumen", "lux", "Candela", "kPa", "PSI", "Newton", "CFM", "RPM", "Hz", "microsecond", "millisecond",
	"second", "minute", "hour", "day", "week", "mil", "inches", "feet", "cu in", "cu feet", "mm", "cm", "m",
	"cu cm", "cu m", "liters", "fluid ounce", "radians", "steradians", "revolutions", "cycles", "gravities",
	"ounce", "pound", "ft-lb", "oz-in", "gauss", "gilberts", "henry", "millihenry", "farad", "microfarad",
	"ohms", "siemens", "mole", "becquerel", "PPM", "reserved", "Decibels", "DbA", "DbC", "gray", "sievert",
	"color temp deg K", "bit", "kilobit", "megabit", "gigabit", "byte", "kilobyte", "megabyte", "gigabyte",
	"word", "dword", "qword", "line", "hit", "miss", "retry", "reset", "overflow", "underrun", "collision",
	"packets", "messages", "characters", "error", "correctable error", "uncorrectable error", "fatal error",
	"grams",
}

// entityName is the name of an entity (table 43-13), as ipmitool has it.
func entityName(entity byte) string {
	if int(entity) < len(entityNames) {
		return entityNames[entity]
	}
	switch {
	case entity >= 0x90 && entity < 0xb0:
		return "Chassis Specific"
	case entity >= 0xb0 && entity < 0xd0:
		return "Board Set Specific"
	case entity >= 0xd0:
		return "OEM System Integrator Defined"
	}
	return fmt.Sprintf("Entity 0x%02x", entity)
}

var entityNames = [...]string{
	"Unspecified", "Other", "Unknown", "Processor", "Disk or Disk Bay", "Peripheral Bay",
	"System Management Module", "System Board", "Memory Module", "Processor Module", "Power Supply",
	"Add-in Card", "Front Panel Board", "Back Panel Board", "Power System Board", "Drive Backplane",
	"System Internal Expansion Board", "Other System Board", "Processor Board", "Power Unit", "Power Module",
	"Power Management/Distribution Board", "Chassis Back Panel Board", "System Chassis", "Sub-Chassis",
	"Other Chassis Board", "Disk Drive Bay", "Peripheral Bay", "Device Bay", "Fan Device", "Cooling Unit",
	"Cable/Interconnect", "Memory Device", "System Management Software", "BIOS", "Operating System", "System Bus",
	"Group", "Remote Management Device", "External Environment", "Battery", "Processing Blade",
	"Connectivity Switch", "Processor/Memory Module", "I/O Module", "Processor/IO Module",
	"Management Controller Firmware", "IPMI Channel", "PCI Bus", "PCI Express Bus", "SCSI Bus (parallel)",
	"SATA/SAS Bus", "Processor/Front-Side Bus", "Real Time Clock(RTC)", "Reserved", "Air Inlet", "Air Inlet",
	"Processor", "Baseboard/Main System Board",
}
