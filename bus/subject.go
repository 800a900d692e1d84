package bus

import (
	"fmt"
	"strings"

	"ferric"
)

// Subject joins parts to a subject, each part as exactly one token: what NATS gives a meaning to or does not allow
// in a token (dots, wildcards, spaces, non-ASCII) is written as %XX, and an empty part as "%". Use it to put a
// host name or a UUID into a subject: Subject("conductor", "rack1.example.org") is "conductor.rack1%2Eexample%2Eorg".
func Subject(parts ...string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		if part == "" {
			b.WriteByte('%')
		}
		for _, c := range []byte(part) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte(".*>%", c) >= 0 {
				fmt.Fprintf(&b, "%%%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}

// checkSubject refuses what NATS would refuse or, worse, silently misunderstand.
func checkSubject(subject string, wildcards bool) error {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		switch {
		case t == "":
			return ferric.Errorf(ferric.CodeInvalid, "subject %q has an empty token", subject)
		case strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return ferric.Errorf(ferric.CodeInvalid, "subject %q holds white space or control characters", subject)
		case t == "*" || t == ">" && i == len(tokens)-1:
			if !wildcards {
				return ferric.Errorf(ferric.CodeInvalid, "subject %q holds a wildcard, which only Subscribe takes", subject)
			}
		case strings.ContainsAny(t, "*>"):
			return ferric.Errorf(ferric.CodeInvalid, "subject %q: * must be a token of its own, > the last token", subject)
		}
	}
	return nil
}

func (b *Bus) full(subject string) string { return b.cfg.Prefix + "." + subject }

func (b *Bus) short(subject string) string { return strings.TrimPrefix(subject, b.cfg.Prefix+".") }
