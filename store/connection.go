package store

import (
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// lossAfter is how soon either side of a connection to PostgreSQL notices that the other one is gone or stopped.
const lossAfter = 3 * time.Second

// sessionSettings are asked for unless the database's URL sets them. A conductor that is cut off or stopped in the middle of a transaction keeps
// the rows that it has locked, and others cannot take its nodes over, until the server ends the session. Ferric's transactions never wait for
// anything but the database.
var sessionSettings = [][2]string{
	{"application_name", "ferric"},
	{"idle_in_transaction_session_timeout", "3s"},
	{"tcp_user_timeout", "3s"},
	{"tcp_keepalives_idle", "3"}, {"tcp_keepalives_interval", "1"}, {"tcp_keepalives_count", "3"},
}

// noticeLoss makes server and client notice soon that the other one is gone. Without it both would wait for minutes, and after a cut that is healed
// for as long as TCP makes its pauses.
func noticeLoss(pg *pgx.ConnConfig) {
	for _, s := range sessionSettings {
		if _, set := pg.RuntimeParams[s[0]]; !set {
			pg.RuntimeParams[s[0]] = s[1]
		}
	}
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: lossAfter, Interval: time.Second, Count: 3},
		Control: func(network, _ string, c syscall.RawConn) (err error) {
			if network == "unix" {
				return nil
			}
			control := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(lossAfter.Milliseconds()))
			})
			if control != nil {
				return control
			}
			return err
		},
	}
	pg.DialFunc = dialer.DialContext
}
