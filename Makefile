# The work on srmd, one word each.  `make` alone prints the words.
# Everything lives in .venv; PYTHON picks the interpreter it is made from (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin
TOXIPROXY := v2.12.0
KUBERNETES := 1.37.0
READY := .venv/.ready
# Of `make soak`; SEED=N draws the same faults again.
MINUTES ?= 10
SEED ?=
# Of `make demo`: seconds that each step waits; as it is: long enough to read at a terminal, else 0.
PACE ?=
# What pip does is seen at a terminal.  Inside $$( ) standard output is a pipe: it is asked before.
PIP = quiet=; test -t 1 || quiet=--quiet; $(BIN)/pip install --disable-pip-version-check $$quiet
# Tests with a target of their own, because they need more than Python.
FURTHER := chaos containers netns package page systemd vms

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## print these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

env: $(READY) ## create .venv from the lock file, once

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "PYTHON=$(PYTHON): srmd needs Python 3.11 or newer; try make env PYTHON=python3.12" >&2; exit 1; }
	@echo "Making .venv, once: Python's own part ..."
	@$(PYTHON) -m venv .venv
	@echo "Installing $$(grep -c '^[^ #]*==' requirements-dev.lock) packages of requirements-dev.lock;" \
		"a minute or two, longer where they have to be downloaded ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@echo "Installing srmd itself ..."
	@$(PIP) --no-deps --no-build-isolation -e .
	@echo ".venv is ready."
	@touch $@

demo: env ## a pair on this machine fails over and back; ends by itself (PACE=0: without pauses)
	@$(BIN)/python -m srmd.lab.demo $(PACE:%=--pace %)

lab: env ## the same pair, left running for you to break
	@$(BIN)/python -m srmd.lab.demo --stay

test: env ## all tests that need nothing but Python
	$(BIN)/pytest $(FURTHER:%=--ignore tests/%)

chaos: env ## every scenario on real processes, through a real Toxiproxy if there is one
	$(BIN)/srmd lab coverage
	$(BIN)/pytest tests/chaos
	$(BIN)/srmd lab run

hosts: env ## a pair on two hosts (network namespaces; needs root, iproute2 and nftables)
	$(BIN)/pytest tests/netns

# One server for all of it: Toxiproxy before 2.13.0 may hang when a toxic is removed (its issue 558).
soak: export SRMD_TOXIPROXY ?= off
soak: env ## a pair under random faults for MINUTES (10); growth or a late beat fails; report in build/soak
	$(BIN)/srmd lab soak --minutes $(MINUTES) $(SEED:%=--seed %) --report build/soak

containers: env ## a pair in podman's containers, in a network of its own (needs root, podman, mmdebstrap)
	@if .ci/podman true && test -x .tools/toxiproxy/server; then \
		.ci/podman deploy/containers build \
		&& .ci/podman unshare --net sh -c 'ip link set lo up && exec $(BIN)/pytest tests/containers'; \
	else \
		$(BIN)/pytest tests/containers; \
	fi

wheel: env ## sdist, wheel, lock file and bill of materials in dist/; the same bytes each time
	rm -rf dist build
	$(BIN)/hatchling build --target sdist --directory dist
	mkdir -p build && tar -xzf dist/*.tar.gz -C build
	cd build/srmd-* && $(CURDIR)/$(BIN)/hatchling build --target wheel --directory $(CURDIR)/dist
	cp requirements-runtime.lock dist/
	$(BIN)/python sbom.py dist/srmd-*.whl

sbom: wheel ## the wheel, and what it is made of beside it (CycloneDX)
	@ls dist/*.cdx.json

package: env ## install wheel and sdist in empty environments and test the command there
	$(BIN)/pytest tests/package

manifests: env .tools/manifests/.ready ## validate deploy/kubernetes against the schemas, offline but for the validator
	.tools/manifests/bin/kubernetes-validate --strict --kubernetes-version $(KUBERNETES) deploy/kubernetes/*.yaml
	$(BIN)/pytest tests/test_manifests.py

.tools/manifests/.ready: requirements-manifests.lock
	$(PYTHON) -m venv .tools/manifests
	.tools/manifests/bin/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-manifests.lock
	@touch $@

fuzz: env .tools/fuzz/.ready ## a stated number of inputs: parsers under atheris, the HTTP API under schemathesis
	.tools/fuzz/bin/python -m tests.fuzz

.tools/fuzz/.ready: requirements-fuzz.lock
	$(PYTHON) -m venv .tools/fuzz
	.tools/fuzz/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@touch $@

page: env ## the HTML time line in a real browser (needs Chromium)
	$(BIN)/pytest tests/page

systemd: env ## the units and the guide on two booted Debian containers (needs root and a few packages)
	$(BIN)/pytest tests/systemd

vms: env ## a pair on two virtual machines (QEMU; needs root and a few packages)
	$(BIN)/pytest tests/vms

toxiproxy: ## build the real Toxiproxy, its CLI and tests, and fetch npm's client, into .tools
	@command -v go >/dev/null || { echo "make toxiproxy: go is not on the PATH; install Go 1.23 or newer" >&2; exit 1; }
	@mkdir -p .tools/toxiproxy/module
	CGO_ENABLED=0 GOBIN=$(CURDIR)/.tools/toxiproxy go install -ldflags "-X github.com/Shopify/toxiproxy/v2.Version=$(TOXIPROXY:v%=%)" \
		github.com/Shopify/toxiproxy/v2/cmd/server@$(TOXIPROXY) github.com/Shopify/toxiproxy/v2/cmd/cli@$(TOXIPROXY)
	cd .tools/toxiproxy/module && { test -f go.mod || go mod init scratch; } \
		&& go get -t github.com/Shopify/toxiproxy/v2@$(TOXIPROXY) \
		&& go test -c -o ../api.test github.com/Shopify/toxiproxy/v2
	npm install --prefix .tools/node --no-audit --no-fund toxiproxy-node-client@4.1.0

lint: env ## format, rules and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: env ## mypy --strict
	$(BIN)/mypy --strict

check: lint types test ## all that the continuous integration does, but for the demo

prove: env ## search all that can happen to a pair; rewrites docs/pairs-at-rest.md
	$(BIN)/srmd prove --table docs/pairs-at-rest.md

mutants: env ## break each rule once and see who notices; survivors are in docs/mutants.md
	$(BIN)/python -m tests.mutants $(SAMPLE:%=--sample %)

golden: env ## rewrite the golden files; commit them only if you can explain each line
	$(BIN)/pytest tests/core/test_golden.py --golden

bench: env ## measure what we promise
	$(BIN)/python -m tests.bench

LOCKED := --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --upgrade --custom-compile-command "make lock" --quiet

lock: ## resolve the dependencies anew: hashes, no addresses
	$(PYTHON) -m venv .tools/lock
	.tools/lock/bin/pip install --quiet --disable-pip-version-check uv
	.tools/lock/bin/uv pip compile pyproject.toml --extra dev $(LOCKED) --output-file requirements-dev.lock
	.tools/lock/bin/uv pip compile pyproject.toml --constraint requirements-dev.lock $(LOCKED) --output-file requirements-runtime.lock
	.tools/lock/bin/uv pip compile pyproject.toml --group fuzz --constraint requirements-dev.lock $(LOCKED) --output-file requirements-fuzz.lock
	.tools/lock/bin/uv pip compile --group manifests $(LOCKED) --output-file requirements-manifests.lock

clean: ## remove what was made, .venv too
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build lab
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
