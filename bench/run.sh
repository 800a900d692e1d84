#!/bin/sh
# run.sh: all figures of README.md, on this machine. As root, for the machines in QEMU.
set -eu
cd "$(dirname "$0")/.."
echo "== start and memory of ferric serve"
go test -run '^$' -bench BenchmarkServe -benchtime 5x ./bench
echo "== writing images, beside dd and qemu-img"
go test -run '^$' -bench BenchmarkWrite -benchtime 3x ./image
echo "== sessions and status calls with BMCs"
go test -run '^$' -bench 'BenchmarkPowerSync|BenchmarkLogin' ./driver/ipmi
echo "== the power states of 10,000 machines, two processes"
go test -run '^$' -bench BenchmarkPowerSync -benchtime 1x -timeout 30m ./bench
echo "== heartbeats of 10,000 agents"
go test -run '^$' -bench BenchmarkHeartbeats -benchtime 1x -timeout 30m ./bench
echo "== the database"
go test -run '^$' -bench . -skip BenchmarkFleet ./store
echo "== the database over 100,000 nodes"
go test -run '^$' -bench BenchmarkFleet -benchtime 20x -timeout 60m ./store
echo "== the API over fleets of several sizes, SQLite and PostgreSQL"
go test -run '^$' -bench BenchmarkSizes -benchtime 1x -timeout 60m ./bench
echo "== deploys of fake hardware"
go test -run '^$' -bench BenchmarkDeploy -benchtime 1x -timeout 60m ./bench
echo "== deploy ramdisk: size, power-on to first heartbeat"
FERRIC_QEMU=1 go test -run '^$' -bench BenchmarkQEMUBoot -benchtime 3x -timeout 60m ./test/e2e
