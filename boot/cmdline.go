package boot

import (
	"strings"

	"ferric"
)

// MaxCmdline is the longest command line that is taken, in bytes. x86 kernels take 2047 bytes; the difference is room
// for what loaders add (BOOTIF, initrd=, BOOT_IMAGE=).
const MaxCmdline = 1800

// CheckCmdline reports with CodeInvalid why a kernel command line cannot be written into the configuration of every
// loader: longer than MaxCmdline; a byte that is not printable ASCII (so no newline); a quote, backquote or backslash,
// which PXELINUX, GRUB and iPXE each read differently; "${", which iPXE expands; or one of the words "||", "&&", ";",
// which end an iPXE command; a word that begins with "#"; BOOTIF= and initrd=, which the configuration adds itself.
func CheckCmdline(line string) error {
	if len(line) > MaxCmdline {
		return ferric.Errorf(ferric.CodeInvalid, "it is %d bytes long; at most %d fit", len(line), MaxCmdline)
	}
	if err := checkText(line, true); err != nil {
		return err
	}
	for _, word := range strings.Fields(line) {
		switch word {
		case "||", "&&", ";":
			return ferric.Errorf(ferric.CodeInvalid, "the word %q ends a command in an iPXE script; remove it", word)
		}
		if word[0] == '#' {
			return ferric.Errorf(ferric.CodeInvalid, "the word %q begins with #, which starts a comment; remove it", word)
		}
		if key, _, _ := strings.Cut(word, "="); key == "BOOTIF" || key == "initrd" {
			return ferric.Errorf(ferric.CodeInvalid, "%s= is added by the loader's configuration; remove it", key)
		}
	}
	return nil
}

// checkText refuses what cannot be written into the configuration of every loader.
func checkText(s string, spaces bool) error {
	for i := range len(s) {
		switch b := s[i]; {
		case b == ' ' && spaces:
		case b <= ' ' || b >= 0x7f:
			return ferric.Errorf(ferric.CodeInvalid, "byte %#02x at position %d: only printable ASCII is allowed, no newline or other control character", b, i)
		case strings.IndexByte("\"'`\\", b) >= 0:
			return ferric.Errorf(ferric.CodeInvalid, "%q at position %d: quotes and backslashes are not allowed, loaders read them differently", b, i)
		case b == '$' && i+1 < len(s) && s[i+1] == '{':
			return ferric.Errorf(ferric.CodeInvalid, "\"${\" at position %d: iPXE would expand it; remove it", i)
		}
	}
	return nil
}
