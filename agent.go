package ferric

import "time"

// AgentSession is what is known of the agent that runs on a node now. A session begins when the conductor boots the
// ramdisk (everything but the node is empty then) and ends when the machine leaves it.
type AgentSession struct {
	NodeUUID string `json:"node_uuid"`
	// Token is the secret that agent and conductor prove themselves with; made at the first lookup of the session,
	// handed out once. Encrypted at rest.
	Token         string    `json:"token,omitempty"`
	CallbackURL   string    `json:"callback_url,omitempty"`
	VerifyCA      string    `json:"verify_ca,omitempty"` // PEM certificate of the agent's server
	Version       string    `json:"version,omitempty"`
	StartedAt     time.Time `json:"started_at,omitzero"`
	LookedUpAt    time.Time `json:"looked_up_at,omitzero"`
	LastHeartbeat time.Time `json:"last_heartbeat,omitzero"`
}
