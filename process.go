package ferric

import (
	"fmt"
	"time"
)

// Program says which version of Ferric a process runs, as far as others must know.
type Program struct {
	Version  string // for people
	Schema   int64  // the newest version of the database's schema that it knows
	Protocol Protocol
}

// Protocol is a range of versions of what the processes of a cluster tell each other (see package rpc). The zero value is that of programs from before
// there were versions: 1.
type Protocol struct {
	Oldest, Newest int
}

// Meets reports whether two programs have a version in common.
func (p Protocol) Meets(o Protocol) bool {
	return max(p.Oldest, o.Oldest, 1) <= min(max(p.Newest, 1), max(o.Newest, 1))
}

// String is the range for people.
func (p Protocol) String() string {
	if p.Oldest == p.Newest {
		return fmt.Sprintf("protocol %d", p.Newest)
	}
	return fmt.Sprintf("protocols %d to %d", p.Oldest, p.Newest)
}

// Process is a process that works with the database, besides others.
type Process struct {
	Host  string // its name in the configuration
	Roles string // separated by commas; processes of one name differ in them
	Program
	StartedAt time.Time
	UpdatedAt time.Time // last sign of life
}
