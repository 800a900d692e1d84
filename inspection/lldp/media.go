package lldp

import (
	"slices"
)

// mediaNames are the names of the autonegotiation bits (IANAifMauAutoNegCapBits, RFC 4836), sorted.
func mediaNames(bits uint16) []any {
	names := []string{"1000BASE-T fdx", "1000BASE-T hdx", "1000BASE-X fdx", "1000BASE-X hdx", "Asym and Sym PAUSE fdx", "Sym PAUSE fdx",
		"Asym PAUSE fdx", "PAUSE fdx", "100BASE-T2 fdx", "100BASE-T2 hdx", "100BASE-TX fdx", "100BASE-TX hdx", "10BASE-T4", "10BASE-T fdx",
		"10BASE-T hdx"}
	var found []string
	for i, name := range names {
		if bits&(1<<i) != 0 {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	list := make([]any, len(found))
	for i := range found {
		list[i] = found[i]
	}
	return list
}

// mauType names an operational MAU type (IANA-MAU-MIB, dot3MauType).
func mauType(n uint16) (string, bool) {
	names := []string{"Unknown", "AUI", "10BASE-5", "FOIRL", "10BASE-2", "10BASE-T duplex mode unknown", "10BASE-FP", "10BASE-FB",
		"10BASE-FL duplex mode unknown", "10BROAD36", "10BASE-T half duplex", "10BASE-T full duplex", "10BASE-FL half duplex",
		"10BASE-FL full duplex", "100 BASE-T4", "100BASE-TX half duplex", "100BASE-TX full duplex", "100BASE-FX half duplex",
		"100BASE-FX full duplex", "100BASE-T2 half duplex", "100BASE-T2 full duplex", "1000BASE-X half duplex", "1000BASE-X full duplex",
		"1000BASE-LX half duplex", "1000BASE-LX full duplex", "1000BASE-SX half duplex", "1000BASE-SX full duplex", "1000BASE-CX half duplex",
		"1000BASE-CX full duplex", "1000BASE-T half duplex", "1000BASE-T full duplex", "10GBASE-X", "10GBASE-LX4", "10GBASE-R", "10GBASE-ER",
		"10GBASE-LR", "10GBASE-SR", "10GBASE-W", "10GBASE-EW", "10GBASE-LW", "10GBASE-SW", "10GBASE-CX4", "2BASE-TL", "10PASS-TS",
		"100BASE-BX10D", "100BASE-BX10U", "100BASE-LX10", "1000BASE-BX10D", "1000BASE-BX10U", "1000BASE-LX10", "1000BASE-PX10D",
		"1000BASE-PX10U", "1000BASE-PX20D", "1000BASE-PX20U"}
	if int(n) >= len(names) {
		return "", false
	}
	return names[n], true
}
