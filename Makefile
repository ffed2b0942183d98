# strata: the commands that a person types. `make help` lists them.

GO      ?= go
BIN     ?= bin
PREFIX  ?= /usr/local
FUZZTIME ?= 30s
LINT_VERSION := v2.15.0
LINT    := $(shell $(GO) env GOPATH)/bin/golangci-lint

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help build install demo test test-root faults race lint fuzz bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/strata and its link bin/containers-storage
	$(GO) build -o $(BIN)/strata ./cmd/strata
	ln -sf strata $(BIN)/containers-storage

install: build ## install below PREFIX (/usr/local), with manual pages, completion and systemd units
	install -D -m 0755 $(BIN)/strata $(DESTDIR)$(PREFIX)/bin/strata
	mkdir -p $(DESTDIR)$(PREFIX)/share/man/man1
	$(BIN)/strata man $(DESTDIR)$(PREFIX)/share/man/man1
	mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(BIN)/strata completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/strata
	for unit in strata-volume.service strata-volume.socket; do \
		mkdir -p $(DESTDIR)$(PREFIX)/lib/systemd/system && \
		sed 's|/usr/local/bin/|$(PREFIX)/bin/|' contrib/systemd/$$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; \
	done

demo: build ## the main job on a real image, in a minute (IMAGE=path for your own)
	@STRATA=$(abspath $(BIN))/strata ./scripts/demo $(IMAGE)

test: ## the tests; what can't run here (no root, a missing program) says so
	$(GO) test -short ./...

test-root: ## all tests at full length, as root, with the other engines: nothing may be skipped
	STRATA_TEST_REQUIRE_ROOT=1 STRATA_TEST_REQUIRE_PROGRAMS=1 $(GO) test -count=1 -timeout 30m ./...

faults: ## kills, errors and power cuts at every point of every verb, as root; takes an hour or two
	@STRATA_FAULTS=whole STRATA_TEST_REQUIRE_ROOT=1 STRATA_TEST_REQUIRE_PROGRAMS=1 ./scripts/faults

# These drive the built command, which has no detector in it.
COMMANDS := internal/(e2e|faulttest|hostiletest|powertest)$$

race: ## the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short $$($(GO) list ./... | grep -vE '$(COMMANDS)')

lint: $(LINT) ## gofmt, go vet, golangci-lint, shellcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	$(LINT) run --allow-parallel-runners ./...
	shellcheck .ci/run scripts/*

$(LINT):
	$(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

fuzz: ## every fuzz target for FUZZTIME (30s)
	@./scripts/fuzz $(FUZZTIME)

bench: build ## Go benchmarks, then strata beside the programs that people use now
	$(GO) test -run '^$$' -bench . -benchtime 1s ./archive ./internal/recordfile ./layer ./graphdriver/...
	STRATA=$(abspath $(BIN))/strata ./scripts/bench

docs: build ## write the manual pages to docs/man
	rm -rf docs/man && mkdir -p docs/man
	$(BIN)/strata man docs/man

clean: ## remove what was built
	rm -rf $(BIN)
