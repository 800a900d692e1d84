package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"ferric"
)

// offlineLab is a lab of which only the settings exist.
func offlineLab(t *testing.T, spec Spec) *Lab {
	t.Helper()
	c, err := spec.config()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := writeJSON(filepath.Join(dir, configFile), c); err != nil {
		t.Fatal(err)
	}
	l, err := Open("", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range l.Machines() {
		if err := os.MkdirAll(m.Dir(), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestChassisControl(t *testing.T) {
	tests := map[string]struct {
		calls [][]string
		want  string
		boot  BootSetting
		code  ferric.Code
	}{
		"power of a machine that is off":  {[][]string{{"0x20", "get", "power"}}, "power:0\n", BootSetting{Device: "none"}, ""},
		"several at once":                 {[][]string{{"get", "power", "boot"}}, "power:0\nboot:none\n", BootSetting{Device: "none"}, ""},
		"pxe is for once":                 {[][]string{{"0x20", "set", "boot", "pxe"}, {"get", "boot"}}, "boot:pxe\n", BootSetting{Device: "pxe"}, ""},
		"disk stays":                      {[][]string{{"0x20", "set", "boot", "default"}, {"get", "boot"}}, "boot:default\n", BootSetting{"disk", true}, ""},
		"none":                            {[][]string{{"set", "boot", "pxe"}, {"set", "boot", "none"}}, "", BootSetting{Device: "none"}, ""},
		"pairs":                           {[][]string{{"set", "identify", "1", "boot", "bios"}}, "", BootSetting{Device: "bios"}, ""},
		"stop a machine that is off":      {[][]string{{"set", "power", "0"}}, "", BootSetting{Device: "none"}, ""},
		"shut down a machine that is off": {[][]string{{"set", "shutdown", "1"}}, "", BootSetting{Device: "none"}, ""},
		"reset a machine that is off":     {[][]string{{"set", "reset", "1"}}, "", BootSetting{Device: "none"}, ""},
		"CD without a drive":              {[][]string{{"set", "boot", "cdrom"}}, "", BootSetting{Device: "none"}, ferric.CodeUnsupported},
		"unknown device":                  {[][]string{{"set", "boot", "tape"}}, "", BootSetting{Device: "none"}, ferric.CodeInvalid},
		"unknown name":                    {[][]string{{"get", "colour"}}, "", BootSetting{Device: "none"}, ferric.CodeInvalid},
		"value missing":                   {[][]string{{"set", "boot", "pxe", "power"}}, "", BootSetting{Device: "none"}, ferric.CodeInvalid},
		"unknown verb":                    {[][]string{{"0x20", "put", "x"}}, "", BootSetting{Device: "none"}, ferric.CodeInvalid},
		"nothing":                         {[][]string{{}}, "", BootSetting{Device: "none"}, ferric.CodeInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := offlineLab(t, Spec{Nodes: 1}).Machine("node-1")
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for _, args := range test.calls {
				if err := m.ChassisControl(t.Context(), args, &out); ferric.ErrorCode(err) != test.code {
					t.Errorf("%v: error %v, want code %q", args, err, test.code)
				}
			}
			if out.String() != test.want {
				t.Errorf("output %q, want %q", out.String(), test.want)
			}
			if got := m.Boot(); got != test.boot {
				t.Errorf("boot setting %+v, want %+v", got, test.boot)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	l := offlineLab(t, Spec{Nodes: 2, BMC: GoBMC, Name: "x"})
	if l.Name() != "x" || len(l.Machines()) != 2 {
		t.Errorf("lab %s with %d machines", l.Name(), len(l.Machines()))
	}
	if _, err := l.Machine("node-3"); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("node-3: %v, want CodeNotFound", err)
	}
	status := l.Status()
	if status.Nodes[1].Power != "off" || status.Nodes[1].BMCPID != 0 || status.Nodes[1].MAC != "52:54:00:77:00:02" {
		t.Errorf("status %+v", status.Nodes[1])
	}
	if _, err := Open("", t.TempDir()); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("empty directory: %v, want CodeNotFound", err)
	}
	if _, err := Open("a/b", ""); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("name with a slash: %v, want CodeInvalid", err)
	}
	for name, text := range map[string]string{"no JSON": "{", "other version": `{"version": 99}`, "no machines": `{"version": 1, "name": "x"}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, configFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open("", dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestClaim holds that a directory belongs to one lab.
func TestClaim(t *testing.T) {
	l := offlineLab(t, Spec{Nodes: 1, Name: "claim-test"})
	same, err := Spec{Nodes: 1, Name: "claim-test"}.config()
	if err != nil {
		t.Fatal(err)
	}
	same.Self = []string{"/new/ferric", "lab"}
	if err := newLab(l.dir, same).claim(); err != nil {
		t.Errorf("the same settings: %v", err)
	}
	if again, err := Open("", l.dir); err != nil || len(again.config.Self) != 2 {
		t.Errorf("the new program is not in lab.json: %+v, %v", again, err)
	}
	other, err := Spec{Nodes: 2, Name: "claim-test"}.config()
	if err != nil {
		t.Fatal(err)
	}
	if err := newLab(l.dir, other).claim(); !ferric.IsCode(err, ferric.CodeConflict) {
		t.Errorf("other settings: %v, want CodeConflict", err)
	}
}
