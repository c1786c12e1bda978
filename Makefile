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

# A simulated cohort, from files to a table of mean r on held-out people. The same commands run on yours.
demo: setup
	rm -rf demo
	$(BIN)/seqstore simulate demo/cohort --genes 80 --contigs 8
	$(BIN)/seqstore build --config demo/cohort/build.yaml --store demo/store.zarr
	$(BIN)/python -m analysis split demo/store.zarr --name main --test-population YRI \
		--random-contigs chr1 chr2 --population-contigs chr3 chr4 --unseen-contigs chr5 chr6 chr7 chr8
	$(BIN)/python -m analysis baselines demo/store.zarr --split main --methods top1,enet,blup,pcs \
		--output demo/baselines --jobs 2
	$(BIN)/python trainer/fit.py --config configs/demo.yaml --output demo/run
	$(BIN)/python trainer/predict.py demo/run
	$(BIN)/python trainer/fit.py --config configs/demo_enformer.yaml --output demo/run_enformer
	$(BIN)/python -m analysis evaluate demo/store.zarr --split main --output demo/evaluation \
		--negative-controls negative_control --predictions \
		pairwise_regression=demo/run/predictions.zarr enet=demo/baselines/enet.zarr \
		blup=demo/baselines/blup.zarr top1=demo/baselines/top1.zarr pcs=demo/baselines/pcs.zarr
	cp demo/evaluation/summary.tsv demo/summary.tsv

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
