# What a person types. Each target says in one line what it does; `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The build that `make run` and `make test` share: quick to make, quick enough to use.
PROFILE := test-bin
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
LOOPBACK := 127.0.0.0/8

.PHONY: help run listen test test-pg dev lint fmt docs bench bench-replay crash build clean

help: ## List the targets
	@printf 'Dacapo: a webhook gateway. Start with: make run\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start on 127.0.0.1:5005, with data in ./dacapo-data (DATABASE_URL=postgres://… shares one; ARGS="…" adds flags)
	cargo build --profile $(PROFILE) -p dacapo
	@echo 'Deliveries to this machine are allowed here: --allow-network $(LOOPBACK)'
	@exec $(TARGET_DIR)/$(PROFILE)/dacapo serve --allow-network $(LOOPBACK) $(if $(DATABASE_URL),--database-url '$(DATABASE_URL)') $(ARGS)

listen: ## Receive webhooks on 127.0.0.1:9000 and show them (ARGS="--secret … --port …")
	@cargo build --profile $(PROFILE) -p dacapo --quiet
	@exec $(TARGET_DIR)/$(PROFILE)/dacapo listen $(ARGS)

test: ## Everything: install what the tests need, formatting, clippy, all tests
	@scripts/test.sh

test-pg: ## The store's contract on another PostgreSQL from Maven Central (VERSION=18.6.0)
	@scripts/postgres-versions.sh $(or $(VERSION),18.6.0)

dev: ## The fast inner loop: check everything, run the unit tests of model, store and engine
	cargo check --workspace --all-targets
	cargo test -p dacapo-model -p dacapo-store -p dacapo-engine --lib

lint: ## Formatting, clippy, and cargo-deny where it is installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@scripts/deny.sh

fmt: ## Format the code
	cargo fmt --all

docs: ## Write docs/configuration.md from the options
	cargo run --quiet --profile $(PROFILE) -p dacapo -- config --markdown > $(TARGET_DIR)/configuration.md
	mv $(TARGET_DIR)/configuration.md docs/configuration.md

bench: ## Measure against a forwarder without storage (ARGS="--scenario …", see docs/benchmarks.md)
	cargo build --release -p dacapo -p dacapo-testkit --bins
	$(TARGET_DIR)/release/bench $(ARGS)

bench-replay: ## A live endpoint beside a replay of a million events (ARGS="--waiting 100000" for fewer)
	cargo build --release -p dacapo -p dacapo-testkit --bins
	$(TARGET_DIR)/release/bench --scenario replay $(ARGS)

crash: ## Kill the real binary 20 times under load, count what was lost; again with a failing sink
	cargo build --release -p dacapo -p dacapo-testkit --bins
	$(TARGET_DIR)/release/crash $(ARGS)
	$(TARGET_DIR)/release/crash --fail-third $(ARGS)

build: ## The release binary, in target/release/dacapo
	cargo build --release -p dacapo

clean: ## Remove what was built (not ./dacapo-data)
	cargo clean
