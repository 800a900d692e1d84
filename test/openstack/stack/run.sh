#!/bin/bash
# run.sh [go test arguments]: brings the stack up, runs the tests of test/openstack in it, and takes it down, whatever came of them.
# STACK_KEEP=1 leaves it up for the next run, which is then quicker.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$STACK/../../.."
test/deps.sh $(sed 's/#.*//' "$STACK/packages.txt")
[ -n "${STACK_KEEP:-}" ] || trap '"$STACK/down.sh" --purge' EXIT
"$STACK/up.sh"
. "$STACK_DIR/admin.env"
"${GO:-go}" run ./cmd/ferric openstack register --url "$BAREMETAL_URL"
FERRIC_OPENSTACK=1 "${GO:-go}" test -count 1 -timeout 60m "$@" ./test/openstack/...
