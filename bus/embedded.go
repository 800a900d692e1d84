package bus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ferric"
)

// startEmbedded starts a NATS server that listens nowhere and stores nothing.
func startEmbedded(cfg Config, log *slog.Logger) (*server.Server, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName:      cfg.Name,
		DontListen:      true,
		NoSigs:          true, // signals belong to the program
		NoSystemAccount: true,
		JetStream:       false,
		MaxPayload:      int32(cfg.MaxPayload), // at most 32 MiB, checked by withDefaults
		MaxPending:      64 << 20,
		WriteDeadline:   10 * time.Second,
	})
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "bus: make the embedded server: %w", err)
	}
	srv.SetLoggerV2(serverLog{log.With("component", "nats-server")}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, ferric.Errorf(ferric.CodeInternal, "bus: the embedded server was not ready after 30 s")
	}
	return srv, nil
}

// serverLog puts the server's lines into slog. Its notices are routine, so they are debug lines for us.
type serverLog struct{ log *slog.Logger }

func (l serverLog) line(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, fmt.Sprintf(format, v...))
	}
}

func (l serverLog) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l serverLog) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l serverLog) Fatalf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l serverLog) Errorf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l serverLog) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l serverLog) Tracef(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
