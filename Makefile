# `make run` and `make test` are all a reader needs; `make check` is what the pre-commit hook calls.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CASES ?= ../shared/cases
# A copy of CIFAR-10 for the lecture's experiments; scikit-learn's digits where it is absent.
EXAMPLES_DATA ?= ../shared/data/cifar10-jpeg.tar.xz

.PHONY: run system test fast coverage check lint types imports tests docs lowest bench bench-search screenshots score examples clean

run: $(STAMP)
	$(BIN)/babysit run digits

test: check tests

# Debian's PostgreSQL and Chromium, for the tests that need a real server and a real browser; they skip without.
system:
	.ci/system

check: lint types imports docs

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# torch first and pinned: a looser range asked for later can pull gigabytes of CUDA packages.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports --no-cache

docs: $(STAMP)
	$(BIN)/python -m tools.documents --check

# What needs no process, no training and no drawing, of the rooms that judge, keep and show: for while one writes.
FAST := -m "not slow and not drawing and not server and not browser and not cluster and not cases" \
	tests/records tests/analysis tests/rules tests/plots tests/reporting

fast: $(STAMP)
	$(BIN)/python -m pytest -n 0 $(FAST)

# Lines and branches of the pure rooms that their own tests do not reach.
coverage: $(STAMP)
	$(BIN)/python -m pytest -n 0 -m "not slow" tests/records tests/analysis tests/rules \
		--cov=babysit.records --cov=babysit.analysis --cov=babysit.rules

tests: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# The lowest versions that pyproject.toml allows, in an environment of their own: slow (it installs torch once more), so
# CI calls it by itself, once a week or when pyproject.toml changes.
lowest:
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python --resolution lowest-direct .
	build/lowest/bin/babysit --help > /dev/null
	build/lowest/bin/babysit rules > /dev/null
	build/lowest/bin/babysit runs --help > /dev/null
	OMP_NUM_THREADS=1 build/lowest/bin/babysit run digits --store build/lowest/runs --epochs 2 --exit-zero

bench: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/overhead.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/data.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/report.py
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.store

bench-search: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/search.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/search_job.py

# Pictures of the pages, light and dark, in build/screenshots.
screenshots: $(STAMP)
	BABYSIT_SCREENSHOTS=build/screenshots OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/reporting/live -m browser

score: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python $(CASES)/score.py $(CASES) --jobs 2

examples: $(STAMP)
	set -e; for example in examples/*.py; do OMP_NUM_THREADS=1 $(BIN)/python $$example; done
	OMP_NUM_THREADS=1 $(BIN)/python examples/lecture/page.py --out build/lecture \
		$(addprefix --data ,$(wildcard $(EXAMPLES_DATA)))

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
