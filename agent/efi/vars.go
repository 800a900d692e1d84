package efi

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"

	"ferric"
)

// Vars are the firmware's variables, as efivarfs shows them in a directory.
type Vars struct{ Dir string }

const (
	globalGUID = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	// attributes: non-volatile, for boot services and for the running system
	storeAlways = 7
)

// Entry is a boot entry with its number.
type Entry struct {
	Number uint16
	Option
}

var bootName = regexp.MustCompile(`^Boot([0-9A-Fa-f]{4})` + globalGUID + `$`)

// Entries lists the boot entries by number. Damaged ones are left out.
func (v Vars) Entries() ([]Entry, error) {
	files, err := os.ReadDir(v.Dir)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "read the firmware's variables: %w", err)
	}
	var out []Entry
	for _, f := range files {
		m := bootName.FindStringSubmatch(f.Name())
		if m == nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(v.Dir, f.Name()))
		if err != nil || len(b) < 4 {
			continue
		}
		o, err := ParseOption(b[4:])
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(m[1], 16, 16)
		if err != nil {
			continue
		}
		out = append(out, Entry{Number: uint16(n), Option: o})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Number < out[j].Number })
	return out, nil
}

// Order is the boot order; empty if the firmware has none.
func (v Vars) Order() []uint16 {
	b, err := os.ReadFile(filepath.Join(v.Dir, "BootOrder"+globalGUID))
	if err != nil || len(b) < 4 {
		return nil
	}
	var out []uint16
	for b = b[4:]; len(b) >= 2; b = b[2:] {
		out = append(out, binary.LittleEndian.Uint16(b))
	}
	return out
}

// Add makes an entry and puts it first in the boot order. Entries with the same description go.
func (v Vars) Add(o Option) (uint16, error) {
	entries, err := v.Entries()
	if err != nil {
		return 0, err
	}
	used := map[uint16]bool{}
	for _, e := range entries {
		if e.Description == o.Description {
			if err := v.remove(e.Number); err != nil {
				return 0, err
			}
			continue
		}
		used[e.Number] = true
	}
	number := uint16(0)
	for used[number] {
		number++
	}
	if err := v.write(fmt.Sprintf("Boot%04X", number), o.Bytes()); err != nil {
		return 0, err
	}
	order := []uint16{number}
	for _, n := range v.Order() {
		if n != number && used[n] {
			order = append(order, n)
		}
	}
	return number, v.setOrder(order)
}

// Remove deletes the entries whose path matches one of the expressions, ignoring case.
func (v Vars) Remove(patterns []string) (removed []string, err error) {
	var exprs []*regexp.Regexp
	for _, p := range patterns {
		re, err := regexp.Compile("(?i)" + p)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "match_patterns: %q is not a regular expression", p)
		}
		exprs = append(exprs, re)
	}
	entries, err := v.Entries()
	if err != nil {
		return nil, err
	}
	gone := map[uint16]bool{}
	for _, e := range entries {
		for _, re := range exprs {
			if re.MatchString(PathText(e.Path)) {
				if err := v.remove(e.Number); err != nil {
					return removed, err
				}
				gone[e.Number] = true
				removed = append(removed, e.Description)
				break
			}
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	var order []uint16
	for _, n := range v.Order() {
		if !gone[n] {
			order = append(order, n)
		}
	}
	return removed, v.setOrder(order)
}

func (v Vars) remove(number uint16) error {
	// Firmware differs in the case of the digits.
	for _, format := range []string{"Boot%04X", "Boot%04x"} {
		err := os.Remove(filepath.Join(v.Dir, fmt.Sprintf(format, number)+globalGUID))
		if err == nil {
			return nil
		}
		if !os.IsNotExist(err) {
			return ferric.Errorf(ferric.CodeUnavailable, "remove the boot entry %04X: %w", number, err)
		}
	}
	return nil
}

func (v Vars) setOrder(order []uint16) error {
	b := make([]byte, 2*len(order))
	for i, n := range order {
		binary.LittleEndian.PutUint16(b[2*i:], n)
	}
	return v.write("BootOrder", b)
}

// write stores a variable, in one system call as efivarfs wants it.
func (v Vars) write(name string, data []byte) error {
	full := append([]byte{storeAlways, 0, 0, 0}, data...)
	f, err := os.OpenFile(filepath.Join(v.Dir, name+globalGUID), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err == nil {
		_, err = f.Write(full)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "write the firmware variable %s: %w", name, err)
	}
	return nil
}
