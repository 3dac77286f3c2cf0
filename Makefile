# Two commands are enough: `make demo` and `make test`. Each sets up first what is missing.
# make demo ARGS="--data digits" hands arguments on.

export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
PYTHON ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup kubo demo test test-long lint slither bench attacks faults nightly conformance lock zoo

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 20

setup: ## install everything into .venv and node_modules (again: a second)
	@PYTHON="$(PYTHON)" sh scripts/setup.sh

kubo: setup ## an IPFS node: the one on PATH, or Kubo built from source, about two minutes and once
	@python -m scripts.kubo

demo: setup ## the main job from end to end
	@fitchain demo $(ARGS)

test: setup ## lint, types, contracts, the quick tests: all that a change must pass, in minutes
	@scripts/check test $(ARGS)

test-long: setup ## the rest: faults, attacks, architectures, more cases of the contracts' laws
	@scripts/check long $(ARGS)

lint: setup ## formatting, lint and types alone
	@scripts/check lint

slither: setup ## what Slither finds in the contracts; it is fetched from PyPI, once
	@python -m scripts.slither

bench: setup ## the figures that the project promises
	@python -m scripts.bench $(ARGS)

attacks: setup ## every attack, played: what catches it, and how often a draw finds it
	@python -m scripts.attacks $(ARGS)

faults: setup ## a market of pods under kills, reorganisations, full disks; ARGS="--seed 7 --minutes 3"
	@python -m scripts.faults $(ARGS)

nightly: setup ## what takes hours, in parts that resume: ARGS=PART, ARGS=--again, ARGS=--list
	@python -m scripts.nightly $(ARGS)

zoo: setup ## public architectures, exported and trained to the bit; an hour; ARGS=FAMILY
	@python -m scripts.zoo $(ARGS)

conformance: setup ## what an environment class's exactness rests on
	@python scripts/conformance.py $(ARGS)

# The lock leaves out torch and what torch alone pulls: a first resolution with torch fixes the
# versions that both need, a second one without it writes the file. Versions stay as they are where
# they can; ARGS=--upgrade takes the newest.
lock: setup ## bring requirements.lock up to pyproject.toml
	@python -m pip install --quiet uv
	@resolved=$$(mktemp) && cp requirements.lock "$$resolved" && \
	    uv pip compile --quiet --universal --all-extras --no-header --no-annotate \
	        --output-file "$$resolved" pyproject.toml $(ARGS) && \
	    uv pip compile --quiet --universal --extra bom --extra demo --extra dev --extra images --extra kernels \
	        --extra node --extra onnx --extra parquet --extra privacy --extra scans --extra signing --extra text \
	        --constraint "$$resolved" \
	        --generate-hashes --no-emit-index-url --no-header --no-annotate \
	        --output-file requirements.lock pyproject.toml && \
	    rm "$$resolved"
