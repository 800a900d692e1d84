// Package config holds Ferric's settings: one typed struct, a section per area, filled from defaults, one TOML file,
// the environment and flags, the later winning over the earlier.
//
// A key is one struct field with one tag line; the file's syntax, the environment variable, the checks, the printed
// reference (Reference, docs/configuration.md) and `ferric config show` all follow from it:
//
//	Listen string `toml:"listen" default:"127.0.0.1:6385" check:"listen" flag:"listen" env:"FERRIC_LISTEN" help:"…"`
//
//	toml     name in the file; the environment variable is FERRIC_<SECTION>_<NAME>
//	default  value as in the environment; absent is empty; {data_dir} and {hostname} are filled in
//	values   the values allowed, separated by |; of a list, those of its elements
//	min, max bounds of a number, a duration or a size
//	check    further form, see checks in check.go
//	flag     flag of its own (every key can be given with --set section.key=value)
//	env      a second, shorter environment variable
//	help     what it does, for people; the unit if the type does not tell it
//
// Types: bool, int, *int (may be unset), string, time.Duration ("90s"), Size ("20GiB"), Delay ("1s" or "1s..5s"),
// Secret and SecretURL (masked wherever they are shown), []string, []int, map[string]string. In the environment
// and in flags a list is separated by commas, a map is written a=b,c=d.
//
// What cannot be used is refused, never skipped: an unknown key, a value of the wrong type or out of bounds, settings
// that contradict each other. All problems are reported together, each with the full name of the key, where it was
// given (file and line, variable or flag), the values allowed or a suggestion.
//
// # Concurrency
//
// Load reads the file once and starts nothing. A *Config is not changed after Load and may be read by many goroutines.
package config
