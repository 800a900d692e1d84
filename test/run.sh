#!/bin/sh
# run.sh: all tests. Those with machines in QEMU run after the others, one package at a time, since they need the processor.
set -eu
cd "$(dirname "$0")/.."
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "not gofmt'ed: $unformatted"; exit 1; }
go vet ./...
# The race detector makes the tests that kill conductors several times slower: with it they die in fewer ways (-short), without it in all.
go test -race -short -timeout 40m ./...
go test -timeout 30m ./conductor
go test -timeout 10m -run 'TestCluster$|TestThreeHosts' ./cmd/ferric
FERRIC_QEMU=1 go test -p 1 -count 1 -timeout 60m ./ramdisk ./agent ./boot ./lab/... ./test/...
test/conformance/run.py
