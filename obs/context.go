package obs

import (
	"context"
	"crypto/rand"
	"fmt"
)

type contextKey int

const (
	requestIDKey contextKey = iota
	nodeKey
)

// WithRequestID returns a context that carries the id of the API request (or of the periodic task) that the work
// belongs to. The bus carries it to other processes, and every log line made with the context shows it as
// request_id. An empty id leaves the context as it is.
func WithRequestID(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	return context.WithValue(ctx, requestIDKey, id)
}

// RequestID returns the request id of the context, "" if there is none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// NewRequestID makes a fresh id in the form that OpenStack uses: "req-" and a random UUID (version 4).
func NewRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program when the system has no randomness
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("req-%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// WithNode returns a context for work on one node. Every log line made with it shows the UUID as node. An empty
// UUID leaves the context as it is.
func WithNode(ctx context.Context, uuid string) context.Context {
	if uuid == "" {
		return ctx
	}
	return context.WithValue(ctx, nodeKey, uuid)
}

// NodeUUID returns the node of the context, "" if there is none.
func NodeUUID(ctx context.Context) string {
	uuid, _ := ctx.Value(nodeKey).(string)
	return uuid
}
