# Set-up, demo and tests. Needs git, make and Python 3.10 to 3.13; `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# A sourced ROS 2 is used as it is; without one, rclpy and Fast DDS come from PyPI.
ifneq ($(ROS_DISTRO),)
ROS := $(shell $(PYTHON) -c 'import rclpy' 2>/dev/null && echo $(ROS_DISTRO))
endif

ifneq ($(ROS),)
STAMP := $(VENV)/.set-up-for-$(ROS)
VENV_FLAGS := --system-site-packages
EXTRAS := int8,train,test
# cv_bridge fails on a NumPy other than the one that it was built for.
NUMPY := $(shell $(PYTHON) -c 'import numpy; print("" if numpy.__version__ >= "2" else "numpy<2")')
else
STAMP := $(VENV)/.set-up-for-wheels
EXTRAS := ros,int8,train,test
endif

# Trust the certificates that the machine trusts, as pip does.
export UV_SYSTEM_CERTS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all soak lint clean check-python

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything the other targets need

demo: $(STAMP)  ## run the main job on a generated drive (DEMO_ARGS='--bag BAG' for your own)
	$(VENV)/bin/roadseg demo --out demo_output $(DEMO_ARGS)

test: $(STAMP)  ## run the tests (TEST_ARGS='-k NAME' for some of them)
	$(PY) -m pytest $(TEST_ARGS)

test-all: $(STAMP)  ## run all tests, also the slow ones
	$(PY) -m pytest -m '' $(TEST_ARGS)

soak: $(STAMP)  ## overload the node for five minutes (SOAK_ARGS='--minutes 120 --out soak.json')
	$(PY) -m benchmarks.soak $(SOAK_ARGS)

lint: $(STAMP)  ## check style and types
	$(PY) -m ruff check .
	$(PY) -m mypy

clean:  ## remove .venv and what builds and demos wrote
	rm -rf $(VENV) build install log demo_output benchmark_output cache_comparison *.egg-info .mypy_cache .pytest_cache .ruff_cache

# A .venv made for another ROS 2 (or for none) is cleared first.
$(STAMP): setup.py | check-python
	$(PYTHON) -m venv $(VENV_FLAGS) $(if $(wildcard $(VENV)/.set-up-for-*),$(if $(wildcard $@),,--clear)) $(VENV)
	$(PY) -m pip install --quiet uv
	$(PY) -m uv pip install --python $(PY) --editable '.[$(EXTRAS)]' $(if $(NUMPY),'$(NUMPY)')
	@touch $@

check-python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo 'make: no $(PYTHON) here; install Python 3.10 to 3.13 or set PYTHON=...'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "make: $$($(PYTHON) -V) is not supported; set PYTHON to a Python 3.10 to 3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'make: $(PYTHON) cannot make a venv; try: sudo apt install python3-venv'; exit 1; }
	@test -n '$(ROS)' || test "$$(uname -sm)" = 'Linux x86_64' || \
	  { echo "make: no wheels of rclpy for $$(uname -sm); source a ROS 2 install first"; exit 1; }
