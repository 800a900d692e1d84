// Package ring decides which conductor serves which node, by rendezvous hashing: every conductor and every API process
// computes the same answer from the same list, and when a conductor comes or goes only its own nodes move.
//
// # Concurrency
//
// A Ring is immutable; make a new one when the list of conductors changes.
package ring

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"ferric"
)

// Ring is the conductors that are alive.
type Ring struct {
	members []ferric.Conductor
}

// New makes a ring of the conductors that are alive.
func New(all []ferric.Conductor) *Ring {
	r := &Ring{}
	for _, c := range all {
		if c.Alive {
			r.members = append(r.members, c)
		}
	}
	return r
}

// Speaking returns the ring of those members that speak a version of the protocol (see package rpc).
func (r *Ring) Speaking(version int) *Ring {
	if r.Spoken() >= version {
		return r
	}
	return &Ring{slices.DeleteFunc(slices.Clone(r.members), func(c ferric.Conductor) bool { return c.Protocol.Newest < version })}
}

// Meeting returns the ring of those members that have a version of the protocol in common with a program.
func (r *Ring) Meeting(p ferric.Protocol) *Ring {
	meets := func(c ferric.Conductor) bool { return c.Protocol.Meets(p) }
	if !slices.ContainsFunc(r.members, func(c ferric.Conductor) bool { return !meets(c) }) {
		return r
	}
	return &Ring{slices.DeleteFunc(slices.Clone(r.members), func(c ferric.Conductor) bool { return !meets(c) })}
}

// Spoken is the newest version of the protocol that all members speak, 1 if there are none.
func (r *Ring) Spoken() int {
	if len(r.members) == 0 {
		return 1
	}
	newest := math.MaxInt
	for _, c := range r.members {
		newest = min(newest, max(c.Protocol.Newest, 1))
	}
	return newest
}

// Owner returns the host name of the conductor for a node: of its conductor group, with its hardware type enabled. driver may be ""
// when the node's type does not matter. CodeUnavailable if there is none, which says why.
func (r *Ring) Owner(nodeUUID, group, driver string) (string, error) {
	var best string
	var bestWeight uint64
	for _, c := range r.members {
		if c.Group != group || driver != "" && !slices.Contains(c.HardwareTypes, driver) {
			continue
		}
		if w := weight(c.Host, nodeUUID); best == "" || w > bestWeight || w == bestWeight && c.Host < best {
			best, bestWeight = c.Host, w
		}
	}
	if best == "" {
		return "", ferric.Errorf(ferric.CodeUnavailable,
			"No conductor service registered which supports driver %s for conductor group %q.", driver, group)
	}
	return best, nil
}

// Hosts returns the host names of all members, sorted.
func (r *Ring) Hosts() []string {
	var hosts []string
	for _, c := range r.members {
		hosts = append(hosts, c.Host)
	}
	slices.Sort(hosts)
	return hosts
}

func weight(host, node string) uint64 {
	sum := sha256.Sum256([]byte(host + "\x00" + node))
	return binary.BigEndian.Uint64(sum[:8])
}

// Same reports whether two rings give every node to the same conductor.
func (r *Ring) Same(o *Ring) bool {
	byHost := func(a, b ferric.Conductor) int { return cmp.Compare(a.Host, b.Host) }
	return slices.EqualFunc(slices.SortedFunc(slices.Values(r.members), byHost), slices.SortedFunc(slices.Values(o.members), byHost),
		func(a, b ferric.Conductor) bool {
			return a.Host == b.Host && a.Group == b.Group && slices.Equal(a.HardwareTypes, b.HardwareTypes)
		})
}
