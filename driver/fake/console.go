package fake

import (
	"context"

	"ferric/driver"
)

// Console is the console interface "fake": it is on or off, and leads nowhere.
type Console struct {
	open
	h *Hardware
}

var _ driver.Console = Console{}

// StartConsole implements driver.Console.
func (c Console) StartConsole(ctx context.Context, t *driver.Task) error { return c.turn(ctx, t, true) }

// StopConsole implements driver.Console.
func (c Console) StopConsole(ctx context.Context, t *driver.Task) error { return c.turn(ctx, t, false) }

func (c Console) turn(ctx context.Context, t *driver.Task, on bool) error {
	if err := c.h.ConsoleDelay.sleep(ctx); err != nil {
		return err
	}
	return c.h.remember(ctx, t.Node.UUID, func(mem *memory) error { mem.Console = on; return nil })
}

// ConsoleInfo implements driver.Console. As in Ironic, there is nothing to tell.
func (Console) ConsoleInfo(context.Context, *driver.Machine) (map[string]string, error) {
	return map[string]string{}, nil
}
