# make demo   trains a network on the digits that come with scikit-learn
# make test   lint, types and the whole suite on the default backend
# make test-thorough  it, and what takes long and other tests mostly cover
# make site   the pages of docs/ in both languages, as build/site/index.html
# make bench  speed against what people use, within an hour; writes docs/benchmarks*
# make bench-quick  a few rows of it, within five minutes; writes into build/
# make torture  kills trainings and compares what comes of them
# make fuzz  feeds the readers of files with broken ones
# make mutations  breaks the code in one place at a time and sees that a proof notices
# All set up their own environment in .venv first. BACKEND=jax or torch chooses another.

PYTHON ?= python3
BACKEND ?= tensorflow
# Two workers: on two cores the suite takes little more than half the time.
PYTEST ?= -n 2 --dist worksteal
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(BACKEND)

.PHONY: help demo test test-thorough check site bench bench-quick torture fuzz mutations lock clean
.DEFAULT_GOAL := help

help:
	@grep '^# ' Makefile | cut -c3-

$(VENV)/ready-%: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "classicnets needs Python 3.11 or later: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock \
		--editable '.[$*,dev]'
	touch $@

demo: $(READY)
	@run=$$(KERAS_BACKEND=$(BACKEND) $(BIN)/classicnets train resnet20-digits) && \
		KERAS_BACKEND=$(BACKEND) $(BIN)/classicnets evaluate "$$run" && \
		echo "The report: $$run/report.html"

test: check
	KERAS_BACKEND=$(BACKEND) $(BIN)/python -m pytest $(PYTEST)

test-thorough: check # what takes long, too
	KERAS_BACKEND=$(BACKEND) $(BIN)/python -m pytest $(PYTEST) -m "thorough or not thorough"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ALL_READY := $(foreach b,tensorflow torch jax,$(VENV)/ready-$(b))
FACES = $(CLASSICNETS_DATA)/anime_faces

site: $(READY)
	$(BIN)/python tools/site.py

bench: $(ALL_READY) # on a machine that does nothing else
	$(BIN)/python -m benchmarks --rounds 3
	$(BIN)/python -m benchmarks.quality --runs 1
	test ! -d "$(FACES)" || $(BIN)/python -m benchmarks.folders "$(FACES)" --rounds 3
	$(BIN)/python -m benchmarks.checkpoints
	$(BIN)/python -m benchmarks.startup
	@echo "The summary: docs/benchmarks.md"

bench-quick: $(VENV)/ready-tensorflow $(VENV)/ready-torch
	$(BIN)/python -m benchmarks --quick --rounds 2 --backends tensorflow,torch \
		--out build/benchmarks.md

torture: $(READY) # takes about a quarter of an hour
	KERAS_BACKEND=$(BACKEND) $(BIN)/python tests/torture.py --kills 50

fuzz: $(READY) # takes about half an hour; Linux only
	KERAS_BACKEND=$(BACKEND) $(BIN)/python tests/fuzzing.py --inputs 20000

mutations: $(READY)
	KERAS_BACKEND=$(BACKEND) $(BIN)/python tests/mutations.py

lock: $(READY)
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' > requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
