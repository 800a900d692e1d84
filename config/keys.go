package config

import (
	"reflect"
	"strings"
)

// key is one setting, as its struct field and tags describe it.
type key struct {
	name    string // full: section.key
	section string // "" for the keys before the first section
	leaf    string
	index   []int // of the field in Config
	typ     reflect.Type
	def     string
	values  []string
	min     string
	max     string
	check   string
	flag    string
	env     []string // the first is the one made of the name
	help    string
}

// section is one area.
type section struct {
	name, help string
}

// envPrefix begins the name of every environment variable.
const envPrefix = "FERRIC_"

// keys lists all settings in the order of the reference.
func keys() []*key {
	var out []*key
	top := reflect.TypeFor[Config]()
	for i := range top.NumField() {
		f := top.Field(i)
		name := f.Tag.Get("toml")
		switch {
		case name == "":
		case isSection(f.Type):
			for j := range f.Type.NumField() {
				out = append(out, newKey(name, f.Type.Field(j), []int{i, j}))
			}
		default:
			out = append(out, newKey("", f, []int{i}))
		}
	}
	return out
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Tag.Get("toml") != ""
}

func newKey(section string, f reflect.StructField, index []int) *key {
	k := &key{
		section: section, leaf: f.Tag.Get("toml"), index: index, typ: f.Type,
		def: f.Tag.Get("default"), min: f.Tag.Get("min"), max: f.Tag.Get("max"),
		check: f.Tag.Get("check"), flag: f.Tag.Get("flag"), help: f.Tag.Get("help"),
	}
	k.name = k.leaf
	if section != "" {
		k.name = section + "." + k.leaf
	}
	if v := f.Tag.Get("values"); v != "" {
		k.values = strings.Split(v, "|")
	}
	k.env = []string{envPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))}
	if e := f.Tag.Get("env"); e != "" {
		k.env = append(k.env, e)
	}
	return k
}

// field returns the setting's place in c.
func (k *key) field(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(k.index) }

// sections lists the areas in the order of the reference.
func sections() []section {
	var out []section
	top := reflect.TypeFor[Config]()
	for i := range top.NumField() {
		if f := top.Field(i); f.Tag.Get("toml") != "" && isSection(f.Type) {
			out = append(out, section{f.Tag.Get("toml"), f.Tag.Get("help")})
		}
	}
	return out
}

// keyTable finds keys by name.
func keyTable(all []*key) map[string]*key {
	m := make(map[string]*key, len(all))
	for _, k := range all {
		m[k.name] = k
	}
	return m
}
