# Every target makes the environment it needs; a fresh machine has only Python.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
CLOUD  ?= aws
# The first that works: docker's client may be there without its engine.
ENGINE ?= $(shell for one in docker podman; do $$one info >/dev/null 2>&1 && { echo $$one; exit; }; done; command -v buildah)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' lbctl/__init__.py)
CLOUDS := aws azure gce openstack cloudstack local

# Whatever the caller has set, byte code is kept: the suite starts hundreds of processes that would compile lbctl anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help env openstack-env demo check test test-openstack conformance reference docs bench bench-calls image sbom manifests lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | sort

env: $(STAMP) ## Virtual environment with the locked dependencies and lbctl itself
$(STAMP): requirements/lock.txt requirements/description.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/description -r requirements/description.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: env ## The whole life of some Services on this machine, with real traffic (under 90 s)
	@$(BIN)/lbctl demo

check: env ## Format, lint, types, layers and the quick tests (under a minute)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q -n 2 -m "not slow" tests/unit tests/behaviour tests/sim

# The services that the OpenStack driver is tested on, once; says so where they cannot be had, and fails where required.
openstack-env: env
	@$(BIN)/python -m tests.clouds.openstack.environment

# The worker that has the OpenStack services waits for them most of the time, so there are three for two cores. Real
# processes are late on a loaded machine: what failed among others is run again alone, and counts if it fails again.
test: openstack-env ## Every test
	$(BIN)/pytest -q -n 3 --dist loadgroup || $(BIN)/pytest -q --last-failed --last-failed-no-failures none

test-openstack: openstack-env ## The OpenStack driver alone, on a real Keystone, Neutron and Octavia
	OPENSTACK_REQUIRED=1 $(BIN)/pytest -q tests/openstack

conformance: env ## Which promises have a test; fails while one has none
	@$(BIN)/python -m tests.conformance

reference: env ## The reference pages that are made from the code
	@$(BIN)/python -m tests.reference

docs: reference ## The documentation as a site in site; any warning fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: env ## The figures of a cluster of 5,000 Nodes and 10,000 Services, as JSON
	@$(BIN)/python -m tests.bench

bench-calls: env ## Cloud calls of each operation of each driver, as one JSON array
	@$(BIN)/python -m tests.bench.calls

image: ## The container image of one cloud (needs docker, podman or buildah): make image CLOUD=aws
	@test -n "$(ENGINE)" || { echo "no container engine works here: start docker, or install podman or buildah" >&2; exit 1; }
	$(ENGINE) build -f image/Dockerfile --build-arg CLOUD=$(CLOUD) -t lbctl:$(VERSION)-$(CLOUD) .

sbom: env ## What that image installs, as a CycloneDX file in dist/: make sbom CLOUD=aws
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o dist/lbctl-$(CLOUD).cdx.json requirements/image/$(CLOUD).txt

manifests: env ## Render manifests/ again from lbctl/deploy
	@$(BIN)/python -m lbctl.deploy manifests

lock: ## Resolve the lock again (needs uv)
	uv pip compile --universal --generate-hashes --quiet --no-header --extra all --extra dev --extra docs pyproject.toml requirements/build.in -o requirements/lock.txt
	for cloud in $(CLOUDS); do uv pip compile --universal --generate-hashes --quiet --no-header --no-annotate --extra $$cloud --extra tracing -c requirements/lock.txt pyproject.toml -o requirements/image/$$cloud.txt; done
	uv pip compile --universal --generate-hashes --quiet --no-header --no-annotate -c requirements/lock.txt requirements/build.in -o requirements/image/build.txt
	uv pip compile --universal --generate-hashes --quiet --no-header --no-annotate --no-deps requirements/description.in -o requirements/description.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-header tests/clouds/openstack/requirements.in -o tests/clouds/openstack/requirements.lock

clean: ## Remove the environment and caches
	rm -rf $(VENV) .venv-openstack site .mypy_cache .ruff_cache .pytest_cache .hypothesis
