package driver

import "context"

// Console gives people a machine's console. Interface kind "console". The conductor that serves the node starts it, and starts it again after
// its own restart, or when it takes the node over, while the node says that its console is enabled.
type Console interface {
	Interface
	// StartConsole makes the console reachable. It may be repeated: one that runs goes on.
	StartConsole(ctx context.Context, t *Task) error
	// StopConsole ends it. It may be repeated.
	StopConsole(ctx context.Context, t *Task) error
	// ConsoleInfo says how to reach the console: its type and url.
	ConsoleInfo(ctx context.Context, m *Machine) (map[string]string, error)
}

// ConsoleLeaver is an optional part of Console: the node belongs to another conductor now, which serves its console.
type ConsoleLeaver interface {
	// LeaveConsole ends what runs here for the console, without telling the machine. It may be repeated.
	LeaveConsole(ctx context.Context, m *Machine) error
}
