# make demo   trains a network on the digits that come with scikit-learn
# make test   lint, types and the whole suite on the default backend
# make bench  training speed against what people use
# make torture  kills trainings and compares what comes of them
# make fuzz  feeds the readers of files with broken ones
# All set up their own environment in .venv first. BACKEND=jax or torch chooses another.

PYTHON ?= python3
BACKEND ?= tensorflow
# Two workers: on two cores the suite takes little more than half the time.
PYTEST ?= -n 2 --dist worksteal
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready-$(BACKEND)

.PHONY: help demo test check bench torture fuzz lock clean
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

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: # against PyTorch too; takes about 20 minutes, on a machine that does nothing else
	$(MAKE) $(VENV)/ready-tensorflow $(VENV)/ready-torch
	$(BIN)/python -m benchmarks

torture: $(READY) # takes about a quarter of an hour
	KERAS_BACKEND=$(BACKEND) $(BIN)/python tests/torture.py --kills 50

fuzz: $(READY) # takes about half an hour; Linux only
	KERAS_BACKEND=$(BACKEND) $(BIN)/python tests/fuzzing.py --inputs 20000

lock: $(READY)
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' > requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
