package storage

import "context"

// Client is what is asked of Cinder. CodeUnavailable: there was no answer, and whether it was carried out is not known; CodeNotFound: there is no such volume;
// any other code is a refusal.
type Client interface {
	Volume(ctx context.Context, id string) (*Volume, error)
	// Reserve makes an available volume "attaching", Unreserve undoes that.
	Reserve(ctx context.Context, id string) error
	Unreserve(ctx context.Context, id string) error
	// Connect exports the volume to a machine and returns how it is reached. It may be repeated. Disconnect undoes it.
	Connect(ctx context.Context, id string, c Connector) (map[string]any, error)
	Disconnect(ctx context.Context, id string, c Connector) error
	// Attach makes a reserved volume "in-use" by an instance.
	Attach(ctx context.Context, id, instance, mountpoint string) error
	// BeginDetaching makes it "detaching", Detach removes the attachment.
	BeginDetaching(ctx context.Context, id string) error
	Detach(ctx context.Context, id, attachment string) error
	// Annotate adds to the volume's metadata.
	Annotate(ctx context.Context, id string, metadata map[string]string) error
}

// Volume is a volume as Cinder sees it.
type Volume struct {
	ID          string
	Status      string // available, attaching, in-use, detaching, ...
	Multiattach bool
	Attachments []Attachment
}

// Attachment is one use of a volume.
type Attachment struct {
	ID     string // attachment_id
	Server string // server_id: of the instance
}

// The statuses that matter here.
const (
	available = "available"
	attaching = "attaching"
	inUse     = "in-use"
	detaching = "detaching"
)

// free reports whether the volume can be reserved.
func (v *Volume) free() bool { return v.Status == available || v.Status == inUse && v.Multiattach }

// attachedTo returns the attachment to one of the servers, nil for none.
func (v *Volume) attachedTo(servers ...string) *Attachment {
	for i, a := range v.Attachments {
		for _, s := range servers {
			if s != "" && a.Server == s {
				return &v.Attachments[i]
			}
		}
	}
	return nil
}

// Connector says who reaches a volume, in the words of Cinder.
type Connector struct {
	Host      string   `json:"host"`
	IP        string   `json:"ip,omitempty"`
	Initiator string   `json:"initiator,omitempty"` // iSCSI's name of the machine
	WWPNs     []string `json:"wwpns,omitempty"`
	WWNNs     []string `json:"wwnns,omitempty"`
	Multipath bool     `json:"multipath,omitempty"`
}
