package rescue

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// console lets people log in on a terminal, again and again.
func (e *Environment) console(ctx context.Context, name string) {
	for ctx.Err() == nil {
		if err := e.login(ctx, name); err != nil {
			e.Log.Warn("no login on this console", "console", name, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
			}
		}
	}
}

// login asks for name and password once, and then runs a shell.
func (e *Environment) login(ctx context.Context, name string) error {
	tty, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	shut := sync.OnceFunc(func() { _ = tty.Close() })
	defer shut()
	stop := context.AfterFunc(ctx, shut) // ends a read that waits for a person
	defer stop()
	user, err := ask(tty, "\r\nrescue login (rescue): ")
	if err != nil {
		return err
	}
	if user == "" {
		user = "rescue"
	}
	if err := echo(tty, false); err != nil {
		return err
	}
	password, err := ask(tty, "Password: ")
	if e := echo(tty, true); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if !e.admits(ctx, user, password) {
		_, err := io.WriteString(tty, "\r\nLogin incorrect\r\n")
		return err
	}
	e.Log.Info("somebody logged in", "console", name)
	if _, err := io.WriteString(tty, "\r\n"); err != nil {
		return err
	}
	cmd := e.command(ctx, "", "TERM=linux")
	onTerminal(cmd, tty)
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		e.Log.Info("the shell ended", "console", name, "err", err)
	}
	return nil
}

// ask prompts for a line. It reads byte by byte: what comes after the line is the shell's.
func ask(tty *os.File, prompt string) (string, error) {
	if _, err := io.WriteString(tty, prompt); err != nil {
		return "", err
	}
	var line strings.Builder
	r := bufio.NewReaderSize(tty, 16) // a terminal hands out whole lines
	for line.Len() < 1024 {
		b, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if b == '\n' || b == '\r' {
			break
		}
		line.WriteByte(b)
	}
	return strings.TrimSpace(line.String()), nil
}
