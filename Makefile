# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` need nothing but Python 3.10-3.12 with venv; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TEST_INSTALLED := $(VENV)/.test_installed
# The first interpreter of a supported version that can make virtual environments; `make PYTHON=/path/to/python ...` overrides the search.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.10 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$python && break; done)

# A sourced ROS distribution must not reach into .venv, which has a ROS of its own.
unexport PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH

.PHONY: demo test lint clean

demo: $(INSTALLED)
	$(BIN)/python -m cen_ros.tools.demo

# Two at a time, file by file: ROS graphs of different processes are on domains of their own.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(TEST_INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# constraints.txt alone chooses the versions.
$(INSTALLED): setup.py pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[ros,train,sim,bags,openvino]' -c constraints.txt
	touch $@

$(TEST_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[datasets,onnx,tensorrt-rtx,pretrained,test,dev]' -c constraints.txt
	touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.10, 3.11 or 3.12 with venv found. Install one (apt install python3-venv)" \
		"or name one: make PYTHON=/path/to/python"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build install log demo *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
