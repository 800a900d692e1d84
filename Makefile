# Ferric. `make help` lists what there is.
GO      ?= go
BIN     := bin
LDFLAGS := -s -w
# What the build, the demo and the tests need from Debian 12.
PACKAGES := $(shell sed 's/\#.*//' lab/packages.txt test/packages.txt 2>/dev/null)

.PHONY: help
help: ## show this help
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/ferric and bin/ferric-agent (static binaries)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='$(LDFLAGS)' -o $(BIN)/ferric ./cmd/ferric
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='$(LDFLAGS)' -o $(BIN)/ferric-agent ./cmd/ferric-agent

.PHONY: deps
deps: ## install what the demo and the tests need, with apt (as root)
	@test/deps.sh $(PACKAGES)

.PHONY: demo
demo: deps build ## set everything up and provision two virtual machines, from nothing to a login
	$(GO) run ./demo $(DEMO_FLAGS)

.PHONY: test
test: deps build ## set everything up and run all tests, machines in QEMU included (as root)
	test/run.sh

.PHONY: conformance
conformance: deps build ## run the test suites of stock clients (ironicclient, openstacksdk, gophercloud) against Ferric
	test/conformance/run.py $(CONFORMANCE_FLAGS)

.PHONY: check
check: ## quick checks without root: format, vet, unit tests
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) test ./...

.PHONY: chaos
chaos: deps build ## kill conductors, APIs, NATS servers and PostgreSQL during 1,000 deploys and cleans, and prove that nothing was lost (as root; CHAOS_FLAGS="-deploys 10000")
	$(GO) run ./test/chaos $(CHAOS_FLAGS)

.PHONY: test-openstack
test-openstack: build ## bring a real OpenStack up (Debian's Keystone, Glance, Neutron, Nova, Cinder), run Ferric's tests inside it, take it down (as root; not part of test)
	GO=$(GO) test/openstack/stack/run.sh $(OPENSTACK_FLAGS)

.PHONY: diff-ironic
diff-ironic: build ## play the same conversations to Debian's Ironic and to Ferric and tell where they differ (as root; not part of test)
	@test/deps.sh $(shell cat test/diff/packages.txt)
	$(GO) run ./test/diff $(DIFF_FLAGS)

.PHONY: bench
bench: deps build ## measure: image writing, boot times, memory; results as in bench/README.md
	bench/run.sh

.PHONY: bench-peer
bench-peer: build ## measure Ferric and Debian's Ironic in one run: the API, and deploys of fake hardware (as root; not part of bench)
	@test/deps.sh $(shell cat test/diff/packages.txt)
	$(GO) test -run '^$$' -bench BenchmarkPeer -benchtime 1x -timeout 60m ./bench

.PHONY: bench-sizes
bench-sizes: ## measure the API over 100 to 100,000 nodes, on SQLite and on PostgreSQL
	$(GO) test -run '^$$' -bench BenchmarkSizes -benchtime 1x -timeout 60m ./bench

.PHONY: clean
clean: ## remove what was built here (not the caches), and end the demo if it is up
	@[ ! -e build/demo ] || $(GO) run ./demo --down
	rm -rf $(BIN) build
