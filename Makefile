# `make demo` and `make test` are all that a newcomer needs; CONTRIBUTING.md tells the rest.
#
# PYTHON=...        the interpreter to build .venv with (default: the first of 3.11 to 3.13 found)
# TORCH_INDEX=URL   one more package index to look for torch in.  On Linux without an NVIDIA GPU,
#                   TORCH_INDEX=https://download.pytorch.org/whl/cpu saves gigabytes of download.
# AFTER_CHECK=1     with `make test`: leave out what `make check` has just run

.DELETE_ON_ERROR:
.PHONY: help demo test check fix bench browser clean

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
TORCH_INDEX ?=
PY := .venv/bin/python
CHECKED := tests/unit tests/property tests/meta

help:
	@echo "make demo    install into .venv, then train a small model and explain it"
	@echo "make test    install what the tests need, then run the whole suite"
	@echo "make check   format, lint, types; unit, property and meta tests"
	@echo "make fix     format, and mend what the linter can mend"
	@echo "make bench   the timed drills in bench/"
	@echo "make clean   remove .venv and caches (never runs/)"

demo: .venv/.installed-core
	@$(PY) -m wellfit demo

test: .venv/.installed-test browser
	$(PY) -m pytest $(if $(AFTER_CHECK),$(CHECKED:%=--ignore=%)) tests

check: .venv/.installed-dev
	$(PY) -m ruff format --check --output-format concise .
	$(PY) -m ruff check --output-format concise .
	$(PY) -m mypy
	$(PY) -m pytest -q $(CHECKED)

fix: .venv/.installed-dev
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: .venv/.installed-test
	@set -e; for drill in $$(ls bench/[a-z]*.py 2>/dev/null); do \
		echo "== $$drill"; $(PY) -m bench.$$(basename $$drill .py); done

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# Stamps: pip runs again only after pyproject.toml or constraints.txt has changed.
.venv/.installed-core: pyproject.toml constraints.txt | $(PY)
	$(call install,.)
	@touch $@

.venv/.installed-test: pyproject.toml constraints.txt | $(PY)
	$(call install,.[test])
	@touch .venv/.installed-core $@

.venv/.installed-dev: pyproject.toml constraints.txt | $(PY)
	$(call install,.[dev])
	@touch .venv/.installed-core .venv/.installed-test $@

define install
@if [ -z "$(TORCH_INDEX)$$PIP_FIND_LINKS$$PIP_INDEX_URL$$PIP_EXTRA_INDEX_URL" ] \
	&& [ "$$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null; then \
	echo "No NVIDIA driver here, yet torch's usual build brings gigabytes of CUDA libraries."; \
	echo "To use the small build instead, stop and add: TORCH_INDEX=https://download.pytorch.org/whl/cpu"; \
fi
@echo "Installing $(1) into .venv; the first time takes a minute or more ..."
@$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '$(1)'
endef

$(PY):
	@[ -n "$(PYTHON)" ] || { \
		echo "Wellfit needs Python 3.11, 3.12 or 3.13; the python3 found here is: $$(python3 --version 2>&1)." >&2; \
		echo "Install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or: make demo PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "PYTHON=$(PYTHON) is $$($(PYTHON) --version 2>&1); Wellfit needs 3.11, 3.12 or 3.13." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment: its venv module is not installed." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv, then the same make again." >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv

# What the tests need from outside pip.  Without it they skip themselves and say so.
browser:
	@grep -rqs --include='*.py' 'mark\.browser' tests || exit 0; \
	for name in chromium chromium-browser google-chrome; do \
		command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Chromium for the browser tests ..."; \
		apt-get update -qq </dev/null \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium </dev/null >/dev/null \
		&& exit 0; \
	fi; \
	echo "No Chromium, and no right to install it: the browser tests will be skipped."; \
	echo "To run them too: sudo apt-get install chromium, then make test"
