#!/bin/bash
# peer.sh up|down: Debian's Ironic on loopback, noauth, fake hardware, to compare with. It needs the packages of
# packages.txt; nothing under /etc is changed.
#
#   PEER_DIR       everything it writes: database, logs, process ids (required; "down" removes it unless PEER_KEEP is set)
#   PEER_PORT      of the API        (26385)
#   PEER_RPC_PORT  of the conductor  (26389)
#   PEER_DB_PORT   of MariaDB        (26306)
set -eu
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
: "${PEER_DIR:?}"
port=${PEER_PORT:-26385} rpc=${PEER_RPC_PORT:-26389} dbport=${PEER_DB_PORT:-26306}
run=$PEER_DIR/run log=$PEER_DIR/log conf=$PEER_DIR/ironic.conf
url=http://127.0.0.1:$port

fail() { echo "peer: $*" >&2; exit 1; }

# begin NAME COMMAND…: starts a program in a session of its own and notes its process id.
begin() {
	local name=$1
	shift
	setsid "$@" </dev/null >>"$log/$name.out" 2>&1 &
	echo $! >"$run/$name.pid"
}

running() { [ -s "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null; }

# end NAME: stops what begin started.
end() {
	local pid
	[ -s "$run/$1.pid" ] || return 0
	pid=$(cat "$run/$1.pid")
	kill -TERM "$pid" 2>/dev/null || true
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL -- "-$pid" 2>/dev/null || true
	rm -f "$run/$1.pid"
}

# until_true TENTHS NAME COMMAND…: waits for the command to succeed, as long as the program NAME runs.
until_true() {
	local n=$1 name=$2
	shift 2
	for _ in $(seq "$n"); do
		"$@" >/dev/null 2>&1 && return 0
		running "$name" || fail "$name ended; see $log/$name.out"
		sleep 0.1
	done
	fail "$name is not ready; see $log/$name.out"
}

database() {
	local data=$PEER_DIR/mysql sock=$run/mysql.sock user=
	if [ "$(id -u)" = 0 ]; then
		user=--user=mysql
		chmod 755 "$PEER_DIR"
		chgrp mysql "$run"
		chmod 775 "$run"
	fi
	mkdir -p "$data" "$PEER_DIR/mysql-tmp"
	[ -z "$user" ] || chown mysql: "$data" "$PEER_DIR/mysql-tmp"
	mariadb-install-db --no-defaults $user --datadir="$data" --tmpdir="$PEER_DIR/mysql-tmp" \
		--auth-root-authentication-method=normal --skip-test-db >"$log/mariadb-install.out" 2>&1 || fail "see $log/mariadb-install.out"
	begin mariadb mariadbd --no-defaults $user --datadir="$data" --tmpdir="$PEER_DIR/mysql-tmp" --socket="$sock" --port="$dbport" \
		--bind-address=127.0.0.1 --pid-file="$run/mariadbd.pid" --skip-name-resolve --innodb-flush-log-at-trx-commit=0
	until_true 200 mariadb mariadb --no-defaults --socket="$sock" -uroot -e 'select 1'
	mariadb --no-defaults --socket="$sock" -uroot -e "CREATE DATABASE ironic CHARACTER SET utf8mb3;
		CREATE USER ironic@'127.0.0.1' IDENTIFIED BY 'ironic'; GRANT ALL ON ironic.* TO ironic@'127.0.0.1';"
}

settings() {
	cat >"$conf" <<CONF
[DEFAULT]
auth_strategy = noauth
rpc_transport = json-rpc
host = 127.0.0.1
my_ip = 127.0.0.1
use_stderr = false
state_path = $PEER_DIR/state
tempdir = $PEER_DIR/tmp
enabled_hardware_types = fake-hardware
default_network_interface = noop
CONF
	local kind
	for kind in bios console inspect raid rescue vendor; do
		echo "enabled_${kind}_interfaces = fake,no-$kind" >>"$conf"
	done
	for kind in boot deploy power; do
		echo "enabled_${kind}_interfaces = fake" >>"$conf"
	done
	for kind in management storage; do
		echo "enabled_${kind}_interfaces = fake,noop" >>"$conf"
	done
	cat >>"$conf" <<CONF
enabled_network_interfaces = noop
[api]
host_ip = 127.0.0.1
port = $port
[conductor]
automated_clean = true
[database]
connection = mysql+pymysql://ironic:ironic@127.0.0.1:$dbport/ironic?charset=utf8
[deploy]
http_root = $PEER_DIR/http
http_url = http://127.0.0.1:1
[dhcp]
dhcp_provider = none
[json_rpc]
auth_strategy = noauth
host_ip = 127.0.0.1
port = $rpc
[oslo_concurrency]
lock_path = $PEER_DIR/locks
[pxe]
tftp_root = $PEER_DIR/tftp
tftp_master_path = $PEER_DIR/tftp/master_images
images_path = $PEER_DIR/images
instance_master_path = $PEER_DIR/master
CONF
	local service
	for service in service_catalog inspector neutron glance cinder swift; do
		printf '[%s]\nauth_type = none\nendpoint_override = http://127.0.0.1:1\n' $service >>"$conf"
	done
}

up() {
	local uwsgi
	for t in ironic-conductor ironic-dbsync ironic-api-wsgi mariadbd curl; do
		command -v $t >/dev/null || fail "$t is missing"
	done
	uwsgi=$(command -v uwsgi_python3 || command -v uwsgi) || fail "uwsgi is missing"
	mkdir -p "$log" "$run" "$PEER_DIR"/{state,tmp,http,locks,tftp/master_images,images,master}
	database
	settings
	ironic-dbsync --config-file "$conf" upgrade >"$log/dbsync.out" 2>&1 || fail "see $log/dbsync.out"
	begin conductor ironic-conductor --config-file "$conf" --log-file "$log/conductor.log"
	# Debian's own settings of uwsgi, less those that name its paths, users and processes.
	grep -vE '^(processes|logto|uid|gid|chdir) *=' /etc/ironic/ironic-api-uwsgi.ini >"$PEER_DIR/uwsgi.ini"
	cat >>"$PEER_DIR/uwsgi.ini" <<INI
processes = 2
logto = $log/uwsgi.log
chdir = $PEER_DIR
http-socket = 127.0.0.1:$port
pyargv = --config-file $conf --log-file $log/api.log
INI
	begin api "$uwsgi" --ini "$PEER_DIR/uwsgi.ini"
	until_true 600 api curl -sf "$url/v1/"
	until_true 600 conductor sh -c "curl -sf $url/v1/drivers | grep -q fake-hardware"
	echo "$url"
}

down() {
	end api
	end conductor
	end mariadb
	# Only a folder that holds this script's own settings is removed.
	[ -n "${PEER_KEEP:-}" ] || [ ! -f "$conf" ] || rm -rf -- "$PEER_DIR"
}

case ${1:-} in
up) up ;;
down) down ;;
*) fail "usage: peer.sh up|down" ;;
esac
