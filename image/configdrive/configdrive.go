package configdrive

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"ferric"
)

// MaxSize is the largest config drive in bytes, as in ironic-python-agent.
const MaxSize = 64 << 20

// Label is the volume label by which machines find the drive.
const Label = "config-2"

// Data is the content of a config drive.
type Data struct {
	MetaData    map[string]any // always written; uuid should be set, see SetDefaults
	NetworkData map[string]any // nil: none
	VendorData  map[string]any // nil: none
	UserData    []byte         // nil: none
}

// ParseDict reads the API's dict form: an object with meta_data, network_data, vendor_data (objects) and
// user_data (a string, or any JSON, which is written as JSON); all are optional and may be null. Anything else
// fails with CodeInvalid and names the field.
func ParseDict(b []byte) (Data, error) {
	var fields map[string]json.RawMessage
	if err := decodeJSON(b, &fields); err != nil || fields == nil {
		return Data{}, ferric.Errorf(ferric.CodeInvalid, "configdrive: give a JSON object with meta_data, network_data, user_data and vendor_data, or a string")
	}
	var d Data
	objects := map[string]*map[string]any{"meta_data": &d.MetaData, "network_data": &d.NetworkData, "vendor_data": &d.VendorData}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		raw := fields[name]
		if target := objects[name]; target != nil {
			if err := decodeJSON(raw, target); err != nil {
				return Data{}, ferric.Errorf(ferric.CodeInvalid, "configdrive: %s must be an object", name)
			}
			continue
		}
		if name != "user_data" {
			return Data{}, ferric.Errorf(ferric.CodeInvalid, "configdrive: the field %.80q is not known; known are meta_data, network_data, user_data and vendor_data", name)
		}
		var err error
		if d.UserData, err = parseUserData(raw); err != nil {
			return Data{}, err
		}
	}
	return d, nil
}

func parseUserData(raw json.RawMessage) ([]byte, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "configdrive: user_data is not a valid string: %w", err)
		}
		if text == "" {
			return nil, nil
		}
		return []byte(text), nil
	case '{', '[':
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "configdrive: user_data is not valid JSON: %w", err)
		}
		return compact.Bytes(), nil
	default:
		return nil, ferric.Errorf(ferric.CodeInvalid, "configdrive: user_data must be a string, an object or a list")
	}
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(b []byte, target any) error {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	if err := decoder.Decode(target); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the value")
	}
	return nil
}

// SetDefaults fills uuid and, if the node has one, name into the meta data where they are missing.
func (d *Data) SetDefaults(uuid, name string) {
	if d.MetaData == nil {
		d.MetaData = map[string]any{}
	}
	for key, value := range map[string]string{"uuid": uuid, "name": name} {
		if _, set := d.MetaData[key]; !set && value != "" {
			d.MetaData[key] = value
		}
	}
}

// Build makes the file system. Content that does not fit MaxSize fails with CodeInvalid.
func Build(d Data) ([]byte, error) {
	if d.MetaData == nil {
		d.MetaData = map[string]any{}
	}
	var files []*node
	add := func(name, isoName string, content []byte) {
		files = append(files, &node{name: name, isoName: isoName, content: content})
	}
	total := len(d.UserData)
	for _, object := range []struct {
		name, isoName string
		value         map[string]any
	}{
		{"meta_data.json", "META_DATA.JSON;1", d.MetaData},
		{"network_data.json", "NETWORK_DATA.JSON;1", d.NetworkData},
		{"vendor_data2.json", "VENDOR_DATA2.JSON;1", d.VendorData},
	} {
		if object.value == nil {
			continue
		}
		content, err := encodeJSON(object.value)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "configdrive: %s: %w", object.name, err)
		}
		total += len(content)
		add(object.name, object.isoName, content)
	}
	if d.UserData != nil {
		add("user_data", "USER_DATA.;1", d.UserData)
	}
	if total > MaxSize-256<<10 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "configdrive: its content is %d bytes, the limit is %d", total, MaxSize-256<<10)
	}
	root := &node{children: []*node{{name: "openstack", isoName: "OPENSTACK", children: []*node{
		{name: "2012-08-10", isoName: "2012_08_10", children: files},
		{name: "latest", isoName: "LATEST", children: files},
	}}}}
	return writeISO(root), nil
}

// encodeJSON writes keys in order and leaves <, > and & as they are.
func encodeJSON(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// IsURL reports whether the value of a node's configdrive is a URL rather than the drive itself.
func IsURL(value string) bool {
	lower := strings.ToLower(value[:min(len(value), 8)])
	return strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")
}
