#!/bin/bash
# down.sh [--purge]: stops what up.sh started, and nothing else: each pid must still lead the session that up.sh made for it.
# --purge removes the stack's folder, too.
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

stop() {
	local file=$PIDS/$1 pid member
	[ -s "$file" ] || return 0
	pid=$(cat "$file")
	if [ "$(ps -o sid= -p "$pid" 2>/dev/null | tr -d ' ')" = "$pid" ]; then
		kill -TERM "$pid" 2>/dev/null
		for _ in $(seq 75); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.2
		done
		for member in $(ps -o pid= -s "$pid"); do kill -KILL "$member" 2>/dev/null; done
	fi
	rm -f "$file"
}

# those that call others first
for services in "ironic-neutron-agent nova-compute nova-api nova-scheduler nova-conductor cinder-volume cinder-scheduler cinder-api" \
	"neutron glance placement keystone" "rabbitmq memcached" "epmd mariadb"; do
	for s in $services; do stop "$s" & done
	wait
done
[ "${1:-}" != --purge ] || rm -rf "$STACK_DIR"
