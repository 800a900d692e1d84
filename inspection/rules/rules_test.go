package rules_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/inspection/rules"
)

type m = map[string]any
type l = []any

func op(name string, args any, more ...any) ferric.RuleOperation {
	o := ferric.RuleOperation{Op: name, Args: args}
	if len(more) > 0 {
		o.Loop = more[0]
	}
	if len(more) > 1 {
		o.Multiple = more[1].(string)
	}
	return o
}

const port1, port2 = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"

func machine(t testing.TB) *rules.Machine {
	var inventory m
	d := json.NewDecoder(strings.NewReader(`{"cpu": {"count": 4, "architecture": "x86_64", "frequency": 2.5}, "bmc_address": "192.0.2.7",
		"bmc_password": "hush", "interfaces": [{"name": "eth0", "mac_address": "52:54:00:00:00:01"}], "disks": [{"size": 9007199254740993}],
		"system_vendor": {"manufacturer": "Dell Inc.", "product_name": "PowerEdge R640"}, "none": null, "yes": true, "nothing": [],
		"evil": "{node.driver_info[ipmi_password]}"}`))
	d.UseNumber()
	if err := d.Decode(&inventory); err != nil {
		t.Fatal(err)
	}
	return &rules.Machine{
		Node: &ferric.Node{UUID: "n", Name: "one", Driver: "ipmi", DriverInfo: m{"ipmi_password": "geheim", "ipmi_address": "192.0.2.7"},
			Properties: m{"cpus": 8.0, "capabilities": "a:b"}, Extra: m{"list": l{"x"}}, Traits: []string{"CUSTOM_A"},
			Interfaces: ferric.Interfaces{ferric.KindDeploy: "direct"}, ProvisionState: ferric.Inspecting},
		Ports: []*ferric.Port{{UUID: port1, Address: "52:54:00:00:00:01"}, {UUID: port2, Address: "52:54:00:00:00:02",
			Extra: m{"l": l{}}, LocalLinkConnection: m{"switch_id": "s"}}},
		Inventory:  inventory,
		PluginData: m{"auto_discovered": true, "a": m{"b": "c"}, "list": l{1.0}, "auth_token": "hush"},
	}
}

func TestConditions(t *testing.T) {
	for name, c := range map[string]struct {
		cond ferric.RuleOperation
		want bool
		fail string
	}{
		"eq":                       {cond: op("eq", m{"values": l{"{node.driver}", "ipmi", "ipmi"}}), want: true},
		"eq, one differs":          {cond: op("eq", m{"values": l{"ipmi", "ipmi", "fake"}})},
		"eq of one":                {cond: op("eq", m{"values": l{"x"}}), want: true},
		"eq of numbers":            {cond: op("eq", m{"values": l{1.0, true}}), want: true},
		"eq, text and number":      {cond: op("eq", m{"values": l{"{inventory[cpu][count]}", 4.0}})},
		"eq, forced to texts":      {cond: op("eq", m{"values": l{"{inventory[cpu][count]}", 4.0}, "force_strings": true}), want: true},
		"eq of lists":              {cond: op("eq", m{"values": l{l{1.0, m{"a": nil}}, l{1.0, m{"a": nil}}}}), want: true},
		"eq of objects":            {cond: op("eq", m{"values": l{m{"a": 1.0}, m{"a": 2.0}}})},
		"eq, no list":              {cond: op("eq", m{"values": "x"}), fail: "Expected list for 'values'"},
		"not eq":                   {cond: op("!eq", m{"values": l{1.0, 2.0}}), want: true},
		"not eq, space":            {cond: op("! eq", m{"values": l{1.0, 1.0}})},
		"lt":                       {cond: op("lt", m{"values": l{1.0, 2.0, 3.5}}), want: true},
		"lt, equal":                {cond: op("lt", m{"values": l{1.0, 1.0}})},
		"lt of texts":              {cond: op("lt", m{"values": l{"10", "9"}}), want: true},
		"lt of lists":              {cond: op("lt", m{"values": l{l{1.0}, l{1.0, 0.0}}}), want: true},
		"gt":                       {cond: op("gt", m{"values": l{3.0, 2.0, -1.0}}), want: true},
		"gt of mixed types":        {cond: op("gt", m{"values": l{3.0, "2"}}), fail: "cannot be compared"},
		"gt of objects":            {cond: op("gt", m{"values": l{m{}, m{}}}), fail: "cannot be compared"},
		"not lt is ge":             {cond: op("!lt", m{"values": l{2.0, 2.0}}), want: true},
		"is-empty, missing":        {cond: op("is-empty", m{"value": "{inventory[serial]}"}), want: true},
		"is-empty, list":           {cond: op("is-empty", m{"value": "{inventory[nothing]}"}), want: true},
		"is-empty, null":           {cond: op("is-empty", m{"value": "{inventory[none]}"}), want: true},
		"is-empty, object":         {cond: op("is-empty", m{"value": m{}}), want: true},
		"is-empty, not":            {cond: op("is-empty", m{"value": "{inventory[cpu]}"})},
		"is-empty, wrong way":      {cond: op("is-empty", m{"value": "{inventory.serial}"})},
		"is-none":                  {cond: op("is-none", m{"value": nil}), want: true},
		"is-none, text":            {cond: op("is-none", m{"value": "{inventory[none]}"})},
		"is-true":                  {cond: op("is-true", m{"value": "{plugin_data[auto_discovered]}"}), want: true},
		"is-true, yes":             {cond: op("is-true", m{"value": "YES"}), want: true},
		"is-true, number":          {cond: op("is-true", m{"value": 2.0}), want: true},
		"is-true, text of number":  {cond: op("is-true", m{"value": "{inventory[cpu][count]}"})},
		"is-true, not known":       {cond: op("is-true", m{"value": "{node.auto_discovered}"})},
		"is-true, null":            {cond: op("is-true", m{"value": nil})},
		"is-false":                 {cond: op("is-false", m{"value": "no"}), want: true},
		"is-false, zero":           {cond: op("is-false", m{"value": 0.0}), want: true},
		"is-false, null":           {cond: op("is-false", m{"value": nil}), want: true},
		"is-false, text":           {cond: op("is-false", m{"value": "0"})},
		"one-of":                   {cond: op("one-of", m{"value": "{node.driver}", "values": l{"redfish", "ipmi"}}), want: true},
		"one-of, numbers":          {cond: op("one-of", m{"value": 4.0, "values": l{4.0}}), want: true},
		"one-of, none":             {cond: op("one-of", m{"value": "x"})},
		"one-of, object":           {cond: op("one-of", m{"value": "x", "values": m{"x": 1.0}}), want: true},
		"one-of, text":             {cond: op("one-of", m{"value": "pm", "values": "ipmi"}), want: true},
		"one-of, number":           {cond: op("one-of", m{"value": "x", "values": 1.0}), fail: "Expected list"},
		"in-net":                   {cond: op("in-net", m{"address": "{inventory[bmc_address]}", "subnet": "192.0.2.0/24"}), want: true},
		"in-net, host bits":        {cond: op("in-net", m{"address": "192.0.2.9", "subnet": "192.0.2.77/24"}), want: true},
		"in-net, not":              {cond: op("in-net", m{"address": "192.0.3.7", "subnet": "192.0.2.0/24"})},
		"in-net, other family":     {cond: op("in-net", m{"address": "2001:db8::1", "subnet": "192.0.2.0/24"})},
		"in-net, IPv6":             {cond: op("in-net", m{"address": "2001:db8::1", "subnet": "2001:db8::/64"}), want: true},
		"in-net, host":             {cond: op("in-net", m{"address": "192.0.2.7", "subnet": "192.0.2.7"}), want: true},
		"in-net, bad address":      {cond: op("in-net", m{"address": "{inventory[x]}", "subnet": "192.0.2.0/24"}), fail: "is no IP address"},
		"in-net, bad net":          {cond: op("in-net", m{"address": "192.0.2.7", "subnet": "192.0.2.0/99"}), fail: "is no network"},
		"matches":                  {cond: op("matches", m{"value": "{inventory[system_vendor][product_name]}", "regex": "PowerEdge R\\d+"}), want: true},
		"matches, not whole":       {cond: op("matches", m{"value": "PowerEdge R640", "regex": "PowerEdge"})},
		"matches, from the start":  {cond: op("matches", m{"value": "a PowerEdge", "regex": "PowerEdge"})},
		"contains":                 {cond: op("contains", m{"value": "{inventory[system_vendor][manufacturer]}", "regex": "(?i)dell"}), want: true},
		"contains, bad":            {cond: op("contains", m{"value": "x", "regex": "("}), fail: "invalid regular expression"},
		"contains, empty":          {cond: op("contains", m{"value": "x", "regex": ""}), fail: "regex must be"},
		"not contains":             {cond: op("!contains", m{"value": "x", "regex": "y"}), want: true},
		"list of arguments":        {cond: op("contains", l{"{node.name}", "on"}), want: true},
		"optional in a list":       {cond: op("eq", l{l{"4", 4.0}, true}), want: true},
		"too few in a list":        {cond: op("contains", l{"x"}), fail: "Missing: regex"},
		"loop, any":                {cond: op("eq", m{"values": l{"{node.driver}", "{item}"}}, l{"a", "ipmi"}), want: true},
		"loop, none":               {cond: op("eq", m{"values": l{"{node.driver}", "{item}"}}, l{"a", "b"}, "any")},
		"loop, all":                {cond: op("lt", m{"values": l{1.0, "{item}"}}, l{2.0, 3.0}, "all"), want: true},
		"loop, not all":            {cond: op("eq", m{"values": l{"2", "{item}"}}, l{2.0, 3.0}, "all")},
		"loop, first":              {cond: op("eq", m{"values": l{"2", "{item}"}}, l{1.0, 2.0}, "first"), want: true},
		"loop, last":               {cond: op("eq", m{"values": l{"2", "{item}"}}, l{2.0, 3.0}, "last")},
		"loop over an object":      {cond: op("eq", m{"values": l{"{item[a]}", "x"}}, m{"a": "x"}), want: true},
		"loop, inverted each":      {cond: op("!eq", m{"values": l{"ipmi", "{item}"}}, l{"ipmi", "x"}), want: true},
		"empty loop":               {cond: op("eq", m{"values": l{"{item}", "{item}"}}, l{}), want: true},
		"all is formatted in loop": {cond: op("contains", m{"value": "abc", "regex": "{item}"}, l{"b"}), want: true},
		"item with a field":        {cond: op("eq", m{"values": l{"{item}", "192.0.2.7"}}, l{"{inventory[bmc_address]}"}), want: true},
		"unknown operator":         {cond: op("ne", m{"values": l{}}), fail: "Unsupported operator: 'ne'"},
		"big number":               {cond: op("eq", m{"values": l{"{inventory[disks][0][size]}", "9007199254740993"}}), want: true},
		"masked":                   {cond: op("eq", m{"values": l{"{inventory[bmc_password]}{plugin_data[auth_token]}", "******"}}), want: true},
		"foreign text is no field": {cond: op("contains", m{"value": "{inventory[evil]}", "regex": "geheim"})},
		"nor in a loop":            {cond: op("contains", m{"value": "{inventory[evil]}", "regex": "geheim"}, l{"x"})},
		"nor as an item":           {cond: op("contains", m{"value": "{item}", "regex": "geheim"}, l{"{inventory[evil]}"})},
	} {
		t.Run(name, func(t *testing.T) {
			x := machine(t)
			applied, err := (&rules.Engine{}).Apply(t.Context(), "main", []ferric.InspectionRule{{UUID: "r", Phase: "main",
				Conditions: []ferric.RuleOperation{c.cond}, Actions: []ferric.RuleOperation{op("set-capability", m{"name": "hit", "value": "1"})}}}, x)
			if c.fail != "" {
				if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), c.fail) {
					t.Fatalf("error %v, want %q", err, c.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := len(applied) == 1; got != c.want || got != (x.Node.Capabilities()["hit"] == "1") {
				t.Errorf("holds: %v, want %v; capabilities %v", got, c.want, x.Node.Capabilities())
			}
		})
	}
}

func TestActions(t *testing.T) {
	for name, c := range map[string]struct {
		act  ferric.RuleOperation
		look func(*rules.Machine) any
		want any
		fail string
	}{
		"set":                  {act: op("set-attribute", m{"path": "/driver", "value": "redfish"}), look: node("driver"), want: "redfish"},
		"set below":            {act: op("set-attribute", m{"path": "driver_info.a.b", "value": "{inventory[bmc_address]}"}), look: func(x *rules.Machine) any { return x.Node.DriverInfo["a"] }, want: m{"b": "192.0.2.7"}},
		"set, slashes":         {act: op("set-attribute", m{"path": "/properties/a.b", "value": 1.0}), look: func(x *rules.Machine) any { return x.Node.Properties["a.b"] }, want: 1.0},
		"set an object":        {act: op("set-attribute", m{"path": "/extra", "value": m{"{node.name}": l{"{node.uuid}", 2.0}}}), look: func(x *rules.Machine) any { return x.Node.Extra }, want: m{"one": l{"n", 2.0}}},
		"set a bool":           {act: op("set-attribute", m{"path": "retired", "value": "{inventory[yes]}"}), look: func(x *rules.Machine) any { return x.Node.Retired }, want: true},
		"set a bad bool":       {act: op("set-attribute", m{"path": "retired", "value": "maybe"}), fail: "true or false is wanted"},
		"set maybe":            {act: op("set-attribute", m{"path": "automated_clean", "value": false}), look: func(x *rules.Machine) any { return *x.Node.AutomatedClean }, want: false},
		"set a UUID":           {act: op("set-attribute", m{"path": "chassis_uuid", "value": "x"}), fail: "a UUID is wanted"},
		"set an interface":     {act: op("set-attribute", m{"path": "deploy_interface", "value": "ansible"}), look: func(x *rules.Machine) any { return x.Node.Interfaces[ferric.KindDeploy] }, want: "ansible"},
		"set to a list":        {act: op("set-attribute", m{"path": "name", "value": l{}}), fail: "a text is wanted"},
		"set no object":        {act: op("set-attribute", m{"path": "extra", "value": "x"}), fail: "an object is wanted"},
		"set the state":        {act: op("set-attribute", m{"path": "provision_state", "value": "active"}), fail: "cannot be changed by a rule"},
		"set what is not":      {act: op("set-attribute", m{"path": "colour", "value": "red"}), fail: "no attribute colour"},
		"set below a text":     {act: op("set-attribute", m{"path": "driver/x", "value": "y"}), fail: "driver is no object"},
		"set through text":     {act: op("set-attribute", m{"path": "driver_info/ipmi_address/x", "value": "y"}), fail: "ipmi_address is no object"},
		"no secrets in errors": {act: op("set-attribute", m{"path": "colour", "value": "geheim"}), fail: "set-attribute colour"},

		"extend":           {act: op("extend-attribute", m{"path": "extra/list", "value": "x"}), look: func(x *rules.Machine) any { return x.Node.Extra["list"] }, want: l{"x", "x"}},
		"extend, unique":   {act: op("extend-attribute", m{"path": "extra/list", "value": "x", "unique": true}), look: func(x *rules.Machine) any { return x.Node.Extra["list"] }, want: l{"x"}},
		"extend, new":      {act: op("extend-attribute", m{"path": "extra/new", "value": "x"}), look: func(x *rules.Machine) any { return x.Node.Extra["new"] }, want: l{"x"}},
		"extend no list":   {act: op("extend-attribute", m{"path": "properties/cpus", "value": "x"}), fail: "no list"},
		"del":              {act: op("del-attribute", m{"path": "name"}), look: node("name"), want: ""},
		"del below":        {act: op("del-attribute", m{"path": "properties/cpus"}), look: func(x *rules.Machine) any { return x.Node.Properties["cpus"] }},
		"del what is not":  {act: op("del-attribute", m{"path": "properties/a/b"}), look: func(x *rules.Machine) any { return x.Node.Properties["a"] }},
		"del no attribute": {act: op("del-attribute", m{"path": "colour"}), fail: "no attribute"},

		"set capability":       {act: op("set-capability", m{"name": "boot_mode", "value": "{inventory[cpu][count]}"}), look: capabilities, want: "a:b,boot_mode:4"},
		"bad capability":       {act: op("set-capability", m{"name": "x", "value": "a,b:c"}), fail: "is no name or value"},
		"unset capability":     {act: op("unset-capability", m{"name": "a"}), look: capabilities},
		"unset no capability":  {act: op("unset-capability", m{"name": "z"}), look: capabilities, want: "a:b"},
		"add trait":            {act: op("add-trait", m{"name": "CUSTOM_B"}), look: traits, want: "CUSTOM_A CUSTOM_B"},
		"add trait again":      {act: op("add-trait", m{"name": "CUSTOM_A"}), look: traits, want: "CUSTOM_A"},
		"add no trait":         {act: op("add-trait", m{"name": "custom b"}), fail: "is no trait"},
		"add trait, formatted": {act: op("add-trait", m{"name": "CUSTOM_{item}"}, l{"X", "Y"}), look: traits, want: "CUSTOM_A CUSTOM_X CUSTOM_Y"},
		"remove trait":         {act: op("remove-trait", m{"name": "CUSTOM_A"}), look: traits, want: ""},
		"remove no trait":      {act: op("remove-trait", m{"name": "CUSTOM_Z"}), look: traits, want: "CUSTOM_A"},

		"set plugin data":     {act: op("set-plugin-data", m{"path": "x.y", "value": "{node.name}"}), look: plugin("x"), want: m{"y": "one"}},
		"set plugin, list":    {act: op("set-plugin-data", l{"x", "{node.name}"}), look: plugin("x"), want: "one"},
		"plugin below text":   {act: op("set-plugin-data", m{"path": "a.b.c", "value": 1.0}), fail: "b is no object"},
		"extend plugin data":  {act: op("extend-plugin-data", m{"path": "list", "value": 1.0}), look: plugin("list"), want: l{1.0, 1.0}},
		"extend, unique data": {act: op("extend-plugin-data", m{"path": "list", "value": 1.0, "unique": true}), look: plugin("list"), want: l{1.0}},
		"unset plugin data":   {act: op("unset-plugin-data", m{"path": "a.b"}), look: plugin("a")},
		"unset at the top":    {act: op("unset-plugin-data", m{"path": "list"}), look: plugin("list")},
		"unset what is not":   {act: op("unset-plugin-data", m{"path": "q.r.s"}), look: plugin("a"), want: m{"b": "c"}},

		"set port by MAC":   {act: op("set-port-attribute", m{"port_id": "52:54:00:00:00:01", "path": "physical_network", "value": "net-{node.name}"}), look: func(x *rules.Machine) any { return x.Ports[0].PhysicalNetwork }, want: "net-one"},
		"set port by UUID":  {act: op("set-port-attribute", m{"port_id": port2, "path": "local_link_connection/port_id", "value": "p"}), look: func(x *rules.Machine) any { return x.Ports[1].LocalLinkConnection }, want: m{"switch_id": "s", "port_id": "p"}},
		"set port in loop":  {act: op("set-port-attribute", m{"port_id": "{inventory[interfaces][0][mac_address]}", "path": "pxe_enabled", "value": "{item}"}, l{true}), look: func(x *rules.Machine) any { return x.Ports[0].PXEEnabled }, want: true},
		"set no port":       {act: op("set-port-attribute", m{"port_id": "x", "path": "name", "value": "y"}), fail: "Port x could not be found."},
		"set port address":  {act: op("set-port-attribute", m{"port_id": port1, "path": "address", "value": "y"}), fail: "cannot be changed"},
		"extend port":       {act: op("extend-port-attribute", m{"port_id": port2, "path": "extra.l", "value": "v"}), look: func(x *rules.Machine) any { return x.Ports[1].Extra }, want: m{"l": l{"v"}}},
		"del port":          {act: op("del-port-attribute", m{"port_id": port2, "path": "local_link_connection.switch_id"}), look: func(x *rules.Machine) any { return x.Ports[1].LocalLinkConnection }, want: m{}},
		"fail":              {act: op("fail", m{"msg": "{inventory[system_vendor][product_name]} is too old"}), fail: "Failed to inspect hardware. Reason: PowerEdge R640 is too old"},
		"fail, masked":      {act: op("fail", m{"msg": "{node.driver_info}"}), fail: "'ipmi_password': '***'"},
		"log":               {act: op("log", m{"msg": "hello {node.name}", "level": "Warning"}), look: func(*rules.Machine) any { return nil }},
		"log, bad level":    {act: op("log", m{"msg": "x", "level": "loud"}), fail: "Invalid log level: loud"},
		"loop of objects":   {act: op("set-attribute", m{"path": "{item[path]}", "value": "{item[value]}"}, l{m{"path": "/driver_info/x", "value": "{inventory[bmc_address]}"}, m{"path": "name", "value": "two"}}), look: func(x *rules.Machine) any { return fmt.Sprint(x.Node.DriverInfo["x"], " ", x.Node.Name) }, want: "192.0.2.7 two"},
		"path is no format": {act: op("set-attribute", m{"path": "extra/{node.name}", "value": 1.0}), look: func(x *rules.Machine) any { return x.Node.Extra["{node.name}"] }, want: 1.0},
		"bad field stays":   {act: op("set-attribute", m{"path": "name", "value": "{inventory[nope]}-{node.name}"}), look: node("name"), want: "{inventory[nope]}-{node.name}"},
		"password as it is": {act: op("set-attribute", m{"path": "extra/p", "value": "{node.driver_info[ipmi_password]}"}), look: func(x *rules.Machine) any { return x.Node.Extra["p"] }, want: "geheim"},
		"unknown action":    {act: op("explode", m{}), fail: "Unsupported action: 'explode'"},
		"missing argument":  {act: op("set-attribute", m{"path": "x"}), fail: "missing required argument(s): value"},
		"api-call is off":   {act: op("api-call", m{"url": "http://192.0.2.1/"}), fail: "switched off"},
	} {
		t.Run(name, func(t *testing.T) {
			x := machine(t)
			_, err := (&rules.Engine{Log: slog.New(slog.DiscardHandler)}).Apply(t.Context(), "main", []ferric.InspectionRule{{UUID: "r", Phase: "main", Actions: []ferric.RuleOperation{c.act}}}, x)
			if c.fail != "" {
				if err == nil || !strings.Contains(err.Error(), c.fail) || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "inspection rule r") {
					t.Fatalf("error %v, want %q", err, c.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, c.look(x)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func node(name string) func(*rules.Machine) any {
	return func(x *rules.Machine) any {
		if name == "driver" {
			return x.Node.Driver
		}
		return x.Node.Name
	}
}

func plugin(name string) func(*rules.Machine) any {
	return func(x *rules.Machine) any { return x.PluginData[name] }
}

func capabilities(x *rules.Machine) any { return x.Node.Properties["capabilities"] }
func traits(x *rules.Machine) any       { return strings.Join(x.Node.Traits, " ") }

func TestOrderPhasesAndMask(t *testing.T) {
	x := machine(t)
	add := func(id string, priority int, more ...ferric.RuleOperation) ferric.InspectionRule {
		return ferric.InspectionRule{UUID: id, Phase: "main", Priority: priority, Conditions: more,
			Actions: []ferric.RuleOperation{op("extend-attribute", m{"path": "extra/order", "value": id})}}
	}
	other := add("other phase", 99)
	other.Phase = "later"
	applied, err := (&rules.Engine{}).Apply(t.Context(), "main", []ferric.InspectionRule{add("low", 0), add("high", 10), other, add("low too", 0),
		add("built-in", -5), add("sees the others", -9, op("eq", m{"values": l{"{node.extra[order][0]}", "high"}})),
		add("does not hold", 5, op("is-none", m{"value": 1.0}))}, x)
	if err != nil {
		t.Fatal(err)
	}
	want := l{"high", "low", "low too", "built-in", "sees the others"}
	if diff := cmp.Diff(want, x.Node.Extra["order"]); diff != "" || len(applied) != len(want) {
		t.Error(diff, applied)
	}
	for mask, want := range map[string][2]string{"": {"***", "***"}, rules.MaskAlways: {"***", "***"}, rules.MaskNever: {"hush", "hush"}, rules.MaskSensitive: {"***", "hush"}} {
		for i, sensitive := range []bool{false, true} {
			x := machine(t)
			_, err := (&rules.Engine{Mask: mask}).Apply(t.Context(), "main", []ferric.InspectionRule{{Phase: "main", Sensitive: sensitive,
				Actions: []ferric.RuleOperation{op("set-attribute", m{"path": "name", "value": "{inventory[bmc_password]}"})}}}, x)
			if err != nil || x.Node.Name != want[i] {
				t.Errorf("mask %q, sensitive %v: %q, %v", mask, sensitive, x.Node.Name, err)
			}
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&rules.Engine{}).Apply(ended, "main", []ferric.InspectionRule{add("x", 0)}, x); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("ended context: %v", err)
	}
}

func TestAPICall(t *testing.T) {
	for name, c := range map[string]struct {
		args m
		want rules.APICall
		fail string
	}{
		"defaults": {args: m{"url": "http://x/{node.uuid}"}, want: rules.APICall{URL: "http://x/n", Timeout: 5 * time.Second, Retries: 3, Backoff: 300 * time.Millisecond}},
		"all": {args: m{"url": "http://x", "timeout": "1.5", "retries": 0.0, "backoff_factor": 2.0, "headers": m{"X-A": 1.0}, "proxies": m{"http": "http://p"}},
			want: rules.APICall{URL: "http://x", Timeout: 1500 * time.Millisecond, Backoff: 2 * time.Second, Headers: map[string]string{"X-A": "1"}, Proxies: map[string]string{"http": "http://p"}}},
		"timeout 0":    {args: m{"url": "u", "timeout": 0.0}, fail: "timeout must be"},
		"NaN":          {args: m{"url": "u", "timeout": "NaN"}, fail: "timeout must be"},
		"long timeout": {args: m{"url": "u", "timeout": 1e9}, fail: "timeout must be"},
		"retries":      {args: m{"url": "u", "retries": 1000.0}, fail: "retries must be"},
		"headers":      {args: m{"url": "u", "headers": "x"}, fail: "headers must be"},
	} {
		t.Run(name, func(t *testing.T) {
			var got rules.APICall
			e := &rules.Engine{Call: func(_ context.Context, c rules.APICall) error { got = c; return nil }}
			_, err := e.Apply(t.Context(), "main", []ferric.InspectionRule{{Phase: "main", Actions: []ferric.RuleOperation{op("api-call", c.args)}}}, machine(t))
			if c.fail != "" {
				if err == nil || !strings.Contains(err.Error(), c.fail) {
					t.Fatalf("error %v, want %q", err, c.fail)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}
