package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Show writes the effective configuration as TOML, each value with its origin in a comment, secrets masked.
func Show(w io.Writer, c *Config) error {
	out := bufio.NewWriter(w)
	area := ""
	for _, k := range keys() {
		if k.section != area {
			area = k.section
			fmt.Fprintf(out, "\n[%s]\n", area)
		}
		value, origin := formatTOML(k.field(c)), c.Origin(k.name)
		if value == "" {
			fmt.Fprintf(out, "# %s is unset # %s\n", k.leaf, origin)
		} else {
			fmt.Fprintf(out, "%s = %s # %s\n", k.leaf, value, origin)
		}
	}
	return out.Flush()
}

// Reference writes a configuration file with every key, commented out, at its default, with its documentation.
func Reference(w io.Writer) error {
	out := bufio.NewWriter(w)
	help := map[string]string{}
	for _, s := range sections() {
		help[s.name] = s.help
	}
	area := ""
	for i, k := range keys() {
		switch {
		case k.section != area:
			area = k.section
			fmt.Fprintf(out, "\n%s[%s]\n", comment(help[area]), area)
			fmt.Fprintln(out)
		case i > 0:
			fmt.Fprintln(out)
		}
		fmt.Fprint(out, comment(k.help))
		fmt.Fprint(out, comment(k.facts()))
		fmt.Fprintln(out, "#"+k.leaf+" = "+k.example())
	}
	return out.Flush()
}

// facts says what the key's tags tell: values, bounds, variable and flag.
func (k *key) facts() string {
	var facts []string
	if len(k.values) > 0 {
		facts = append(facts, "Allowed: "+strings.Join(k.values, ", ")+".")
	}
	if k.min != "" && k.max != "" {
		facts = append(facts, "From "+k.min+" to "+k.max+".")
	}
	given := "Environment: " + strings.Join(k.env, " or ") + "."
	if k.flag != "" {
		given += " Flag: --" + k.flag + "."
	}
	return strings.Join(append(facts, given), " ")
}

// example is the default as TOML. A key that is unset by default shows its lowest value.
func (k *key) example() string {
	text := k.def
	if k.typ.Kind() == reflect.Pointer {
		text = k.min
	}
	v, err := parseText(k.typ, text)
	if err != nil {
		return quote(text)
	}
	return formatTOML(v)
}

// comment breaks text into lines of about 100 characters that begin with "# ".
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 100 && line != "#" {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	if line != "#" {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Markdown writes docs/configuration.md.
func Markdown(w io.Writer) error {
	var ref strings.Builder
	if err := Reference(&ref); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `# Configuration

<!-- Written by "go test ./config -run TestDocument -update" from the tags in package config. Do not edit. -->

Ferric needs no configuration file. Every setting has a default; to change one, use, each winning over the ones
before it:

1. a TOML file: `+"`--config FILE`, else `FERRIC_CONFIG`, else `%s`"+` if it exists;
2. the environment: `+"`FERRIC_<SECTION>_<KEY>`, for example `FERRIC_API_MAX_LIMIT=500`"+`; an empty variable counts as
   unset; a list is separated by commas, a table is written `+"`a=b,c=d`"+`;
3. flags: `+"`--set section.key=value`"+` for any key, and those named below.

Durations are written with their unit (`+"`90s`, `5m`, `1h30m`"+`), sizes too (`+"`512MiB`, `20GiB`"+`). Paths in the file
are absolute; in the environment and in flags they may be relative to the working directory. In defaults,
`+"`{data_dir}` and `{hostname}`"+` stand for the setting data_dir and the host's name.

An unknown key, a value that is not allowed and settings that contradict each other are refused at the start, all of
them at once, each with its name, its line and what is allowed. `+"`ferric config show`"+` prints what is in effect and where
each value is from, with secrets masked.

`+"```toml\n%s```\n", DefaultFile, ref.String())
	return err
}
