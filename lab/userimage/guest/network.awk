# Turns network_data.json, flattened by json.awk, into units of systemd-networkd in the folder given by -v folder.
# Links: phy and the like, bond, vlan. Networks: ipv4, ipv4_dhcp, ipv6, ipv6_dhcp, ipv6_slaac. Says what it leaves out.
BEGIN { FS = "\t" }
{
	value = $0; sub(/^[^\t]*\t/, "", value)
	n = split($1, p, "/")
	if (p[1] == "links" && n >= 3) {
		if (p[2] + 1 > links) links = p[2] + 1
		if (p[3] == "bond_links") members[p[2]] = members[p[2]] " " value
		else link[p[2], p[3]] = value
	} else if (p[1] == "networks" && n >= 3) {
		if (p[2] + 1 > networks) networks = p[2] + 1
		if (p[3] == "routes") { net[p[2], "route", p[4], p[5]] = value; if (p[4] + 1 > routes[p[2]]) routes[p[2]] = p[4] + 1 }
		else if (p[3] == "dns_nameservers" || p[3] == "services" && p[5] == "address") dns[p[2]] = dns[p[2]] " " value
		else net[p[2], p[3]] = value
	} else if (p[1] == "services") {
		service[p[2], p[3]] = value
		if (p[2] + 1 > services) services = p[2] + 1
	}
}
END {
	for (i = 0; i < services; i++) if (service[i, "type"] == "dns") everywhere = everywhere " " service[i, "address"]
	for (i = 0; i < links; i++) number[link[i, "id"]] = i
	for (i = 0; i < links; i++) if (link[i, "type"] == "bond") {
		n = split(members[i], m, " ")
		for (j = 1; j <= n; j++) master[m[j]] = i
	}
	for (i = 0; i < links; i++) unit(i)
}
function name(i) {
	if (link[i, "type"] == "bond") return "bond" i
	if (link[i, "type"] == "vlan") return "vlan" link[i, "vlan_id"]
	return ""
}
function unit(i,    file, j, id) {
	id = link[i, "id"]
	if (link[i, "type"] == "bond" || link[i, "type"] == "vlan") {
		file = folder "/10-ferric-" i ".netdev"
		print "[NetDev]\nName=" name(i) "\nKind=" link[i, "type"] >file
		if (link[i, "type"] == "bond") print "[Bond]\nMode=" (link[i, "bond_mode"] == "" ? "balance-rr" : link[i, "bond_mode"]) "\nMIIMonitorSec=100ms" >file
		else print "[VLAN]\nId=" link[i, "vlan_id"] >file
		close(file)
	}
	file = folder "/10-ferric-" i ".network"
	if (name(i) != "") print "[Match]\nName=" name(i) >file
	else if (link[i, "ethernet_mac_address"] != "") print "[Match]\nMACAddress=" link[i, "ethernet_mac_address"] "\nType=ether" >file
	else { print "link " id " has no address: left out"; return }
	print "[Link]\n" (link[i, "mtu"] + 0 > 0 ? "MTUBytes=" link[i, "mtu"] : "RequiredForOnline=yes") >file
	print "[Network]" >file
	if (id in master) print "Bond=" name(master[id]) >file
	for (j = 0; j < links; j++) if (link[j, "type"] == "vlan" && link[j, "vlan_link"] == id) print "VLAN=" name(j) >file
	settings(id, file)
	close(file)
}
function settings(id, file,    i, j, four, six, static, rest) {
	for (i = 0; i < networks; i++) {
		if (net[i, "link"] != id) continue
		if (net[i, "type"] == "ipv4_dhcp") four = 1
		else if (net[i, "type"] == "ipv6_dhcp") six = 1
		else if (net[i, "type"] == "ipv4" || net[i, "type"] == "ipv6") {
			static = static "Address=" net[i, "ip_address"] prefix(net[i, "ip_address"], net[i, "netmask"]) "\n"
			if (net[i, "gateway"] != "") static = static "Gateway=" net[i, "gateway"] "\n"
		} else if (net[i, "type"] != "ipv6_slaac") print "network " net[i, "id"] " of type " net[i, "type"] ": left out"
		for (j = 0; j < routes[i]; j++)
			rest = rest "[Route]\nDestination=" net[i, "route", j, "network"] prefix(net[i, "route", j, "network"], net[i, "route", j, "netmask"]) "\nGateway=" net[i, "route", j, "gateway"] "\n"
		servers(dns[i], file)
	}
	if (!(id in master)) servers(everywhere, file)
	if (four || six) print "DHCP=" (four && six ? "yes" : four ? "ipv4" : "ipv6") >file
	printf "%s%s", static, rest >file
}
function servers(list, file,    n, s, j) {
	n = split(list, s, " ")
	for (j = 1; j <= n; j++) print "DNS=" s[j] >file
}
function prefix(address, mask,    n, m, j, bits, group) {
	if (index(address, "/") || mask == "") return ""
	if (index(mask, ".")) {
		n = split(mask, m, ".")
		for (j = 1; j <= n; j++) for (group = m[j]; group > 0; group = (group * 2) % 256) bits++
		return "/" bits + 0
	}
	if (!index(mask, ":")) return "/" mask
	for (j = 1; j <= length(mask); j++) bits += index("8cef", substr(mask, j, 1))
	return "/" bits + 0
}
