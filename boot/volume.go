package boot

import (
	"slices"
	"strings"

	"ferric"
)

// Volume is a remote disk that a machine is given before its system starts.
type Volume struct {
	// URLs are the ways to it, as iPXE writes them: iscsi:server:protocol:port:LUN:target.
	URLs []string `json:"urls"`
	// Username and Password are those of CHAP; both are empty for none.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// maxVolumes is how many disks can be given: more make a script that no machine boots in sensible time.
const maxVolumes = 64

// checkVolumes checks what is of volume mode only.
func (c Config) checkVolumes() error {
	fail := func(what string, err error) error {
		return ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: %s: %w", c.NodeUUID, what, err)
	}
	if c.Flavor != FlavorIPXE {
		return fail("flavor", ferric.Errorf(ferric.CodeInvalid, "only iPXE boots from remote volumes; set the boot interface to ipxe"))
	}
	if c.Kernel != "" || c.Initrd != "" || c.Cmdline != "" {
		return fail("kernel, initrd and cmdline", ferric.Errorf(ferric.CodeInvalid, "must be empty in mode volume"))
	}
	if n := len(c.Volumes); n == 0 || n > maxVolumes {
		return fail("volumes", ferric.Errorf(ferric.CodeInvalid, "there are %d, must be 1 to %d", n, maxVolumes))
	}
	if err := checkWord(c.Initiator); err != nil {
		return fail("initiator", err)
	}
	for _, v := range c.Volumes {
		if len(v.URLs) == 0 {
			return fail("volumes", ferric.Errorf(ferric.CodeInvalid, "one has no URL"))
		}
		for _, u := range v.URLs {
			if err := checkWord(u); err != nil || !strings.HasPrefix(u, "iscsi:") {
				return fail("URL of a volume", ferric.Errorf(ferric.CodeInvalid, "%q is none that iPXE reads (%v)", u, err))
			}
		}
		if err := checkWord(v.Username); err != nil {
			return fail("CHAP username of a volume", err)
		}
		if err := checkWord(v.Password); err != nil {
			return fail("CHAP password of a volume", err) // names a byte that is not allowed, and no other
		}
		if (v.Username == "") != (v.Password == "") {
			return fail("CHAP username and password of a volume", ferric.Errorf(ferric.CodeInvalid, "one of them is missing"))
		}
	}
	return nil
}

// checkWord refuses what is not one word of an iPXE script.
func checkWord(s string) error {
	if err := checkText(s, false); err != nil {
		return err
	}
	if s == "||" || s == "&&" || s == ";" || strings.HasPrefix(s, "#") {
		return ferric.Errorf(ferric.CodeInvalid, "it means something else in an iPXE script")
	}
	return nil
}

func cloneVolumes(all []Volume) []Volume {
	out := slices.Clone(all)
	for i := range out {
		out[i].URLs = slices.Clone(out[i].URLs)
	}
	return out
}
