# Needs only make and Python 3.11 or newer; everything else goes into .venv.
# On Windows without make: the plain lines are in README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/core.stamp
DEV := $(VENV)/dev.stamp

.PHONY: demo test lint check-all bench golden order fuzz kills coverage coverage-table clean

demo: $(CORE)
	$(BIN)/python -m scenarios demo

test: lint
	$(BIN)/python -m pytest -q

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-all: test demo bench golden order fuzz kills coverage

# every golden file that is there: the copies beside the tests, and GOLDEN=DIR for more
GOLDEN ?= tests/data/golden
golden: $(DEV)
	$(BIN)/python -m scenarios heap replay $$(find $(GOLDEN) -name '*.jsonl.gz' | sort)

# every call log that is there: the samples of the tests and all others; LOGS=DIR for more
LOGS ?= tests/data/msys1 tests/data/msys1_more
order: $(DEV)
	$(BIN)/python -m scenarios order check $$(find $(LOGS) -name '*.jsonl*' | sort)

# damaged files and odd words, each through the command line's own edge
FUZZ ?= 10000
fuzz: $(DEV)
	$(BIN)/python tests/fuzz_run.py --count $(FUZZ)

# runs and workers killed at random moments, their journals harmed: nothing lost, nothing doubled
KILLS ?= 200
kills: $(DEV)
	$(BIN)/python tests/kill_run.py --count $(KILLS)

bench: $(DEV)
	$(BIN)/python -m tests.benchmarks.run

# how often the intervals hold known answers; coverage-table writes sim/student_coverage.csv anew
coverage: $(DEV)
	$(BIN)/python -m tests.coverage_study.run

coverage-table: $(DEV)
	$(BIN)/python -m tests.coverage_study.run --write

clean:
	rm -rf out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find sim models scenarios notebooks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(CORE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(BIN)/python -m compileall -q sim models scenarios
	touch $@

$(DEV): $(CORE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	touch $@
