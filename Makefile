# The commands of this repository; `make help` lists them.

# What `make quest` checks: a folder of C, a Cargo package or an executable. The default is this repository's own server.
SUBMISSION ?= .
# Only these requirements, such as R4 or R1,R4. Empty: all.
ONLY ?=
# More options for `quest check`, such as -v or --format json.
QUEST_FLAGS ?=

# More options for `quest selfcheck`, such as --only-kind variant or --fresh.
SELFCHECK_FLAGS ?=

# How often `make flaky` grades each program in each of the two ways; more options for `quest flaky`, such as --jobs 2.
N ?= 10
FLAKY_FLAGS ?=

# More options for the benchmark, such as --only servers --rounds 3 --round-ms 100.
BENCH_FLAGS ?=

TARGET := $(or $(CARGO_TARGET_DIR),target)
QUEST := $(TARGET)/release/quest

.PHONY: help quest test model selfcheck flaky bench doctor fmt lint clean setup harness

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make quest SUBMISSION=path/to/folder    check yours instead of this repository's server"
	@echo "  make quest ONLY=R4 QUEST_FLAGS=-v       one requirement, with everything that was seen"

quest: harness ## Check a submission: SUBMISSION=path ONLY=R4 QUEST_FLAGS=-v
	@$(QUEST) check '$(SUBMISSION)' $(if $(ONLY),--only '$(ONLY)') $(QUEST_FLAGS)

test: setup ## Run all tests: format, lints, documentation, unit tests, the harness against the servers
	@.ci/test

model: ## Plant mistakes in copies of the hand-off, run the loom models on them, and print which model catches which
	@cargo test --locked --quiet --package pool_server --test mutations -- --nocapture

selfcheck: harness ## Grade the whole corpus against its manifests and write the kill matrix; goes on where it stopped
	@$(QUEST) selfcheck --also . --out '$(TARGET)/selfcheck' $(SELFCHECK_FLAGS)

flaky: harness ## Grade right and broken programs N times, idle and busy, and count verdicts that change: N=200
	@$(QUEST) flaky --times '$(N)' --also . --out '$(TARGET)/flaky' $(FLAKY_FLAGS)

bench: export CARGO_TARGET_DIR := $(TARGET)
bench: harness ## Measure the server against its peers and the limit; tables and plots go to target/bench: BENCH_FLAGS=--help
	@cargo build --locked --release --quiet --package pool_server
	@cargo build --locked --release --quiet --workspace --manifest-path harness/benches/Cargo.toml --target-dir '$(TARGET)/bench-build'
	@'$(TARGET)/bench-build/release/pool-bench' --target '$(TARGET)' $(BENCH_FLAGS)

doctor: harness ## Say what this machine lacks for the checks, and how to get it
	@$(QUEST) doctor

fmt: ## Format the Rust code
	@cargo fmt --all
	@cargo fmt --all --manifest-path harness/benches/Cargo.toml

lint: ## Look for format, lint and documentation faults
	@.ci/test lint

clean: ## Remove everything that was built
	@cargo clean

setup:
	@.ci/setup

# Says nothing when there is nothing to build, and shows cargo's progress the first time, when it takes a minute.
harness: setup
	@cargo build --locked --release --package quest-harness $(if $(wildcard $(QUEST)),--quiet)
