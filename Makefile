# Two commands do everything on a fresh machine: `make protect` and `make test`. Python 3.11 is all they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: protect test test-slow test-cpus lint docs dist speed bench-smoke clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

protect: $(READY)
	$(BIN)/python examples/photographs.py out/originals
	$(BIN)/unlearnable protect out/originals --out out/protected --compare
	@echo
	@echo "originals:     out/originals"
	@echo "protected:     out/protected"
	@echo "side by side:  out/protected/compare/index.html"

test: $(READY)
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

test-cpus: $(READY)
	$(BIN)/python tests/cpus.py

lint: $(READY)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "the site: out/site/index.html"

# The package, built and used from a fresh environment. It fetches what that needs, torch included.
dist: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dist]'
	$(BIN)/python tests/dist.py out/dist

speed: $(READY)
	$(BIN)/python benchmarks/speed/step.py
	$(BIN)/python benchmarks/speed/encoders.py

# Stops after a while and goes on, as a long benchmark would; then the report. Under three minutes on two idle cores.
SMOKE := out/smoke
bench-smoke: $(READY)
	$(BIN)/python benchmarks/smoke.py $(SMOKE)/data
	$(BIN)/unlearnable bench run benchmarks/recipes/bench/smoke.toml -o $(SMOKE)/bench --minutes 0.3
	$(BIN)/unlearnable bench run benchmarks/recipes/bench/smoke.toml -o $(SMOKE)/bench --jobs 2
	$(BIN)/unlearnable bench report $(SMOKE)/bench

clean:
	rm -rf $(VENV) out
