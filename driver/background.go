package driver

import "context"

type backgroundKey struct{}

// WithBackground marks calls that nobody waits for, such as power sync: an implementation lets others go first and gives up sooner.
func WithBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// Background reports whether the call is marked so.
func Background(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }
