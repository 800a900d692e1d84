package config

import (
	"flag"
	"fmt"
	"reflect"
	"strings"
)

// Flags are the settings given on the command line. Their values are checked by Load, together with the rest.
type Flags struct {
	file  string
	given []flagValue // in the order of the command line; the last one of a key wins
}

type flagValue struct{ key, value, where string }

// NewFlags registers in fs the flags that every command with a configuration takes: --config FILE,
// --set section.key=value for any key, and those of the keys that have one of their own.
func NewFlags(fs *flag.FlagSet) *Flags {
	f := &Flags{}
	fs.StringVar(&f.file, "config", "", "configuration `file` (default "+DefaultFile+" if it exists)")
	fs.Func("set", "set any key: `section.key=value`; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return fmt.Errorf("write it as section.key=value")
		}
		f.given = append(f.given, flagValue{name, value, "--set " + name})
		return nil
	})
	for _, k := range keys() {
		if k.flag == "" {
			continue
		}
		usage := k.help
		if k.def != "" {
			usage += " (default " + k.def + ")"
		}
		fs.Var(&keyFlag{f, k}, k.flag, usage)
	}
	return f
}

// keyFlag is a flag of its own.
type keyFlag struct {
	flags *Flags
	key   *key
}

func (v *keyFlag) String() string { return "" } // the default is in the usage text

func (v *keyFlag) Set(s string) error {
	v.flags.given = append(v.flags.given, flagValue{v.key.name, s, "--" + v.key.flag})
	return nil
}

func (v *keyFlag) IsBoolFlag() bool { return v.key != nil && v.key.typ.Kind() == reflect.Bool }
