# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
# For example PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu" for a CPU-only torch.
PIP_OPTIONS ?=
BIN := .venv/bin

.PHONY: setup demo test test-slow lint clean
setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "seqstore needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(PIP_OPTIONS) --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

test: setup
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv demo
