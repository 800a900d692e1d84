package cluster

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

const nobody = 65534 // PostgreSQL refuses to run as root

func asNobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// databaseURL is the address of a database.
func databaseURL(name string) string {
	return fmt.Sprintf("postgres://ferric:secret-word@%s:5432/%s?sslmode=disable", address(DB, postgres), name)
}

// startPostgreSQL makes a database cluster and starts the server.
func (c *Cluster) startPostgreSQL(ctx context.Context) error {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return fmt.Errorf("there is no initdb in /usr/lib/postgresql (on Debian: apt install postgresql)")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir := filepath.Join(c.Dir, "postgresql")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret-word\n"), 0o600); err != nil {
		return err
	}
	for _, path := range []string{dir, password} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			return err
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "ferric", "--pwfile="+password,
		"--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = asNobody(), dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	rules, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	fmt.Fprintln(rules, "host all all 10.79.0.0/16 scram-sha-256")
	if err := rules.Close(); err != nil {
		return err
	}
	h, err := c.host(ctx, "db", postgres, DB)
	if err != nil {
		return err
	}
	c.PostgreSQL, err = c.process(h, PostgreSQL, func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-h", address(DB, postgres), "-c", "fsync=on",
			"-c", "max_connections=200", "-c", "shared_buffers=64MB")
		cmd.SysProcAttr, cmd.Dir = asNobody(), dir
		return cmd
	})
	if err != nil {
		return err
	}
	if err := c.PostgreSQL.Start(); err != nil {
		return err
	}
	admin, err := c.Database("postgres")
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := until(ctx, time.Minute, "PostgreSQL to answer", admin.PingContext); err != nil {
		return err
	}
	_, err = admin.ExecContext(ctx, "CREATE DATABASE ferric")
	return err
}

// Database opens a database from the tester's host, "ferric" being Ferric's: to see what is in it without asking Ferric.
func (c *Cluster) Database(name string) (*sql.DB, error) {
	conf, err := pgx.ParseConfig(databaseURL(name))
	if err != nil {
		return nil, err
	}
	conf.ConnectTimeout = 2 * time.Second
	conf.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return c.tester.Dial(ctx, network, address)
	}
	return stdlib.OpenDB(*conf), nil
}

// startNATS starts the NATS servers.
func (c *Cluster) startNATS(ctx context.Context) error {
	var routes []string
	for i := range c.Spec.NATS {
		routes = append(routes, fmt.Sprintf("nats://%s:6222", address(Bus, firstNATS+i)))
	}
	for i := range c.Spec.NATS {
		h, err := c.host(ctx, fmt.Sprintf("n%d", i+1), firstNATS+i, Bus)
		if err != nil {
			return err
		}
		conf := filepath.Join(c.Dir, h.Name+".conf")
		text := fmt.Sprintf("server_name: %s\nlisten: \"%s:4222\"\nmax_payload: 8MB\ncluster {\n  name: ferric\n  listen: \"%s:6222\"\n  routes: [\"%s\"]\n}\n",
			h.Name, address(Bus, firstNATS+i), address(Bus, firstNATS+i), strings.Join(routes, "\", \""))
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			return err
		}
		p, err := c.process(h, NATS, func() *exec.Cmd { return exec.Command(filepath.Join(c.Bin, "natsserver"), "-c", conf) })
		if err != nil {
			return err
		}
		c.NATS = append(c.NATS, p)
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

// until tries again until it works, every 50 ms at most patience long.
func until(ctx context.Context, patience time.Duration, what string, try func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		attempt, end := context.WithTimeout(ctx, 5*time.Second)
		err := try(attempt)
		end()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", patience, what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
