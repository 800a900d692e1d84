#!/bin/bash
# up.sh: brings a small OpenStack up on loopback, from Debian's packages, as root. A second run starts what is not running.
# What it writes is in $STACK_DIR (env.sh); logs are in its folder log. admin.env there has an administrator's credentials.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ "$(id -u)" = 0 ] || { echo "up.sh: run it as root: every service runs as its own user" >&2; exit 1; }
export PATH=/usr/bin:/usr/sbin:/bin:/sbin PYTHONUNBUFFERED=1 LC_ALL=C.UTF-8
unset PYTHONPATH PYTHONDONTWRITEBYTECODE VIRTUAL_ENV ${!OS_@}
umask 022
mkdir -p "$ETC" "$LOGS" "$PIDS" "$STACK_DIR/lock"
chmod 755 "$STACK_DIR" "$ETC" "$LOGS" "$PIDS"
chmod 1777 "$STACK_DIR/lock"

say() { printf '%4ds %s\n' "$SECONDS" "$*"; }
folder() { install -d -o "$2" -g "$2" -m 755 "$STACK_DIR/$1"; }
alive() { [ -s "$PIDS/$1" ] && kill -0 "$(cat "$PIDS/$1")" 2>/dev/null; }

# start NAME USER COMMAND…: a service in a session of its own; NAME=value words before the command go into its environment
start() {
	local name=$1 user=$2
	shift 2
	alive "$name" && return 0
	folder "home-$name" "$user" # nova-compute writes to ~/.cache
	(
		cd "$STACK_DIR"
		exec setsid setpriv --reuid="$user" --regid="$user" --init-groups -- \
			env HOME="$STACK_DIR/home-$name" "$@" </dev/null >>"$LOGS/$name.log" 2>&1
	) &
	echo $! >"$PIDS/$name"
	say "started $name ($!)"
}

# run USER COMMAND…
run() {
	local user=$1
	shift
	(cd "$STACK_DIR" && setpriv --reuid="$user" --regid="$user" --init-groups -- env HOME=/tmp "$@")
}

# await NAME COMMAND…: until the command succeeds, for at most three minutes
await() {
	local name=$1
	shift
	for _ in $(seq 600); do
		"$@" && return 0
		alive "$name" || break
		sleep 0.3
	done
	say "$name does not answer; the end of its log:"
	tail -5 "$LOGS/$name.log"
	return 1
}
port_open() { (exec 3<>/dev/tcp/127.0.0.1/"$1") 2>/dev/null; }
answers() { case $(curl -s -o /dev/null -m 5 -w '%{http_code}' "$1" || true) in 2* | 300 | 401) return 0 ;; *) return 1 ;; esac; }

### database, messages, cache
folder mysql mysql
[ -d "$STACK_DIR/mysql/mysql" ] || mysql_install_db --no-defaults --user=mysql --datadir="$STACK_DIR/mysql" \
	--auth-root-authentication-method=socket --auth-root-socket-user=root --skip-test-db >"$LOGS/mysql_install.log" 2>&1
start mariadb mysql mariadbd --no-defaults --datadir="$STACK_DIR/mysql" --socket="$STACK_DIR/mysql/sock" --bind-address=127.0.0.1 \
	--port="$DB_PORT" --pid-file="$STACK_DIR/mysql/pid" --skip-log-bin --skip-name-resolve --innodb-flush-log-at-trx-commit=0 \
	--innodb-doublewrite=0 --innodb-buffer-pool-size=192M --innodb-log-file-size=64M --max-connections=1000 --performance-schema=OFF \
	--character-set-server=utf8mb3 --collation-server=utf8mb3_general_ci
folder rabbit rabbitmq
start epmd rabbitmq epmd -address 127.0.0.1 -port "$EPMD_PORT"
start memcached memcache memcached -l 127.0.0.1 -p "$MEMCACHED_PORT" -m 64
await epmd port_open "$EPMD_PORT"
# guest may log in from loopback
start rabbitmq rabbitmq ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 HOME="$STACK_DIR/rabbit" \
	RABBITMQ_NODENAME="ferric$STACK_PORTS@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$AMQP_PORT" \
	RABBITMQ_DIST_PORT="$AMQP_DIST_PORT" RABBITMQ_MNESIA_BASE="$STACK_DIR/rabbit/mnesia" RABBITMQ_LOG_BASE="$STACK_DIR/rabbit/log" \
	RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_ENABLED_PLUGINS_FILE="$STACK_DIR/rabbit/enabled_plugins" \
	RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" /usr/lib/rabbitmq/bin/rabbitmq-server

. "$STACK/conf.sh"

### databases and their schemas
await mariadb port_open "$DB_PORT"
{
	echo "CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '$STACK_PASSWORD'; GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;"
	for d in keystone glance placement neutron nova_api nova nova_cell0 cinder; do echo "CREATE DATABASE IF NOT EXISTS $d CHARACTER SET utf8mb3;"; done
} | mariadb --no-defaults -uroot -S "$STACK_DIR/mysql/sock"

# once NAME COMMAND…: a step that has to succeed once in the stack's life
once() {
	local name=$1 began=$SECONDS
	shift
	[ ! -e "$STACK_DIR/done-$name" ] || return 0
	if "$@" >>"$LOGS/schema-$name.log" 2>&1; then
		touch "$STACK_DIR/done-$name"
		say "schema of $name made in $((SECONDS - began)) s"
	else
		say "the schema of $name could not be made: see $LOGS/schema-$name.log"
		return 1
	fi
}
keystone_manage() { run keystone keystone-manage --config-file "$ETC/keystone/keystone.conf" "$@"; }
nova_manage() { run nova nova-manage --config-file "$ETC/nova/nova.conf" "$@"; }
make_keystone() {
	keystone_manage db_sync && keystone_manage fernet_setup --keystone-user keystone --keystone-group keystone &&
		keystone_manage credential_setup --keystone-user keystone --keystone-group keystone &&
		keystone_manage bootstrap --bootstrap-password "$STACK_PASSWORD" --bootstrap-region-id "$STACK_REGION" \
			--bootstrap-public-url "$AUTH_URL" --bootstrap-internal-url "$AUTH_URL" --bootstrap-admin-url "$AUTH_URL"
}
make_glance() { run glance glance-manage --config-file "$ETC/glance/glance-api.conf" db_sync; }
make_placement() { run placement OS_PLACEMENT_CONFIG_DIR="$ETC/placement" placement-manage --config-file "$ETC/placement/placement.conf" db sync; }
make_neutron() { run neutron neutron-db-manage --config-file "$ETC/neutron/neutron.conf" --config-file "$ETC/neutron/ml2_conf.ini" upgrade heads; }
make_cinder() { run cinder cinder-manage --config-file "$ETC/cinder/cinder.conf" db sync; }
make_nova() {
	nova_manage api_db sync && nova_manage cell_v2 map_cell0 --database_connection "$DB_URL/nova_cell0?charset=utf8" && nova_manage db sync &&
		{ nova_manage cell_v2 list_cells | grep -q ' cell1 ' || nova_manage cell_v2 create_cell --name cell1; }
}
once keystone make_keystone &
keystone_made=$!
(once glance make_glance && once neutron make_neutron && once placement make_placement) &
others_made=$!
(if with nova; then once nova make_nova; fi && if with cinder; then once cinder make_cinder; fi) &
more_made=$!

### Keystone and its catalogue
wait $keystone_made
wsgi() { # PORT FILE
	echo uwsgi --plugin python3 --http-socket "127.0.0.1:$1" --wsgi-file "$2" --master --threads 4 --enable-threads --lazy-apps \
		--die-on-term --buffer-size 65535 --need-app --disable-logging
}
# shellcheck disable=SC2046
start keystone keystone OS_KEYSTONE_CONFIG_DIR="$ETC/keystone" $(wsgi "$KEYSTONE_PORT" /usr/bin/keystone-wsgi-public) --processes 2 --add-header "Connection: close"
await keystone answers "$AUTH_URL"
python3 "$STACK/seed.py" <<EOF
{"url": "$AUTH_URL", "password": "$STACK_PASSWORD", "region": "$STACK_REGION",
 "users": ["glance", "placement", "neutron", "nova", "cinder", "ironic"],
 "services": {
  "image": {"name": "glance", "url": "http://127.0.0.1:$GLANCE_PORT"},
  "placement": {"name": "placement", "url": "http://127.0.0.1:$PLACEMENT_PORT"},
  "network": {"name": "neutron", "url": "http://127.0.0.1:$NEUTRON_PORT"},
  "compute": {"name": "nova", "url": "http://127.0.0.1:$NOVA_PORT/v2.1"},
  "volumev3": {"name": "cinderv3", "url": "http://127.0.0.1:$CINDER_PORT/v3/%(project_id)s"},
  "baremetal": {"name": "ironic", "url": "$BAREMETAL_URL"}
 }}
EOF
say "the catalogue is filled"
wait $others_made
wait $more_made

### the other services
# shellcheck disable=SC2046
start placement placement OS_PLACEMENT_CONFIG_DIR="$ETC/placement" $(wsgi "$PLACEMENT_PORT" /usr/bin/placement-api) --processes 1 --add-header "Connection: close"
start glance glance glance-api --config-file "$ETC/glance/glance-api.conf"
start neutron neutron neutron-server --config-file "$ETC/neutron/neutron.conf" --config-file "$ETC/neutron/ml2_conf.ini"
await rabbitmq port_open "$AMQP_PORT"
if with nova; then
	for s in conductor scheduler api; do start nova-$s nova nova-$s --config-file "$ETC/nova/nova.conf"; done
fi
if with cinder; then
	for s in api scheduler volume; do start cinder-$s cinder cinder-$s --config-file "$ETC/cinder/cinder.conf"; done
fi
await glance answers "http://127.0.0.1:$GLANCE_PORT/"
await placement answers "http://127.0.0.1:$PLACEMENT_PORT/"
await neutron answers "http://127.0.0.1:$NEUTRON_PORT/"
start ironic-neutron-agent neutron ironic-neutron-agent --config-file "$ETC/neutron/ironic_neutron_agent.ini"
if with cinder; then await cinder-api answers "http://127.0.0.1:$CINDER_PORT/"; fi
if with nova; then
	await nova-api answers "http://127.0.0.1:$NOVA_PORT/"
	start nova-compute nova nova-compute --config-file "$ETC/nova/nova-compute.conf"
	sql() { mariadb --no-defaults -uroot -S "$STACK_DIR/mysql/sock" -N -e "$1"; }
	registered() { [ -n "$(sql "select id from nova.services where \`binary\`='nova-compute' and deleted=0")" ]; }
	await nova-compute registered
	# an ironic compute has no node before Ferric has one, and is found by its service
	[ -n "$(sql "select id from nova_api.host_mappings where host='nova-bm'")" ] || nova_manage cell_v2 discover_hosts --by-service
fi
say "the stack is up: . $STACK_DIR/admin.env"
