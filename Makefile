# Every target makes the environment first; it does nothing when .venv is up to date.
PYTHON ?= python3
PROFILE ?= smoke
BIN := .venv/bin

.PHONY: env book test mutants regression alone colab lint benchmark clean
env: .venv/.stamp

.venv/.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Python %d.%d found; 3.11 or newer is needed: make env PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[book,dev]'
	@touch $@

test: env
	$(BIN)/python -m pytest

book: env
	$(BIN)/python -m tools.build_book --profile $(PROFILE)

mutants: env
	$(BIN)/python -m tools.mutants $(if $(SAMPLE),--sample $(SAMPLE))

regression: env
	$(BIN)/python -m tools.regression --profile $(PROFILE) $(if $(REASON),--update --reason "$(REASON)")

alone: env
	$(BIN)/python -m tools.alone

colab: env
	$(BIN)/python -m tools.alone --colab

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy

benchmark: env
	# elasticdeform's wheel was built for NumPy 1: from its source, it serves NumPy 2.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-binary elasticdeform -e '.[benchmark]'
	$(BIN)/python -m benchmarks.components
	$(BIN)/python -m benchmarks.metrics

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache
