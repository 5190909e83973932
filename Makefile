# Two commands on a machine that has Python 3.11+, make and a package index:
#   make search   makes .venv and runs the quickstart search
#   make test     adds to .venv what checks need, and runs every check

PYTHON ?= python3
BIN := .venv/bin

.PHONY: search test types tests thorough format

search: .venv/search
	$(BIN)/python -m launch.search --config=quickstart --workdir=runs/quickstart

test: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@# Together: the tests wait now and then.
	$(MAKE) --no-print-directory --jobs=2 types tests

types:
	$(BIN)/mypy

tests:
	$(BIN)/python -m pytest

# With many more kills and restarts: for a release.
thorough: export BQNN_THOROUGH = 1
thorough: test

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What the programs import: pyproject.toml says what, requirements.txt which version.
NEEDED := import tomllib; \
  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")

.venv/search: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "error: bqnn needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	@$(BIN)/python -c '$(NEEDED)' >.venv/needed.txt
	$(call install,--requirement .venv/needed.txt --constraint requirements.txt)

# And what checks and exports to ONNX and clusters need.
.venv/installed: .venv/search
	$(call install,--requirement requirements.txt)

define install
$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(1)
@# In parallel, unlike pip. A few files are for other versions of Python.
@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true
@touch $@
endef
