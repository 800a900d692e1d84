package ferric

import "time"

// BIOSSetting is one setting of a machine's firmware as it was read last. What the hardware does not tell is nil.
type BIOSSetting struct {
	NodeUUID        string    `json:"node_uuid"`
	Name            string    `json:"name"`
	Value           *string   `json:"value"`
	AttributeType   *string   `json:"attribute_type,omitempty"` // Enumeration, String, Integer, Boolean, Password
	AllowableValues []string  `json:"allowable_values,omitempty"`
	LowerBound      *int64    `json:"lower_bound,omitempty"` // of an integer
	UpperBound      *int64    `json:"upper_bound,omitempty"`
	MinLength       *int64    `json:"min_length,omitempty"` // of a string
	MaxLength       *int64    `json:"max_length,omitempty"`
	ReadOnly        *bool     `json:"read_only,omitempty"`
	ResetRequired   *bool     `json:"reset_required,omitempty"` // a change takes effect at the next reset
	Unique          *bool     `json:"unique,omitempty"`         // the value is this machine's alone
	CreatedAt       time.Time `json:"created_at,omitzero"`
	UpdatedAt       time.Time `json:"updated_at,omitzero"` // zero: never changed since it was read first
}

// FirmwareComponent is a part of a machine that has firmware of its own, as it was read last. What the hardware does not tell is "".
type FirmwareComponent struct {
	NodeUUID           string    `json:"node_uuid"`
	Component          string    `json:"component"`       // bios, bmc, nic:…
	InitialVersion     string    `json:"initial_version"` // when it was read first
	CurrentVersion     string    `json:"current_version"`
	LastVersionFlashed string    `json:"last_version_flashed,omitempty"` // "" while it has never changed
	Vendor             string    `json:"vendor,omitempty"`
	Model              string    `json:"model,omitempty"`
	SerialNumber       string    `json:"serial_number,omitempty"`
	CreatedAt          time.Time `json:"created_at,omitzero"`
	UpdatedAt          time.Time `json:"updated_at,omitzero"`
}
