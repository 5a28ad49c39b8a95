# A fresh machine needs only Python >= 3.11, git and make.
python = $(shell for p in $(1); do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PYTHON ?= $(call python,python3 python3.13 python3.12 python3.11)
OLDEST ?= $(call python,python3.11)
NEWEST ?= $(call python,python3.14 python3.13 python3.12)
SCALE ?= paper
VARIANT ?= written
BIN := .venv/bin
READY := .venv/ready
INSTALL := -m pip install --quiet --disable-pip-version-check
TEST := -m pytest -n auto --maxprocesses 8 --dist worksteal

.PHONY: fig1 report bench docs screenshots test slow oldest newest wheel check clean
fig1: $(READY)  ## compute and draw the paper's Fig. 1 (SCALE=quick takes about a minute)
	$(BIN)/recredit fig1 --scale $(SCALE) --variant $(VARIANT) $(if $(OUT),--out $(OUT))

report: $(READY)  ## the same, with a report that a browser shows while it is computed
	$(BIN)/recredit fig1 --scale $(SCALE) --variant $(VARIANT) $(if $(OUT),--out $(OUT)) --live

bench: $(READY) benchmarks/.venv/ready  ## time the paper's rules beside NumPy, BrainTrace and jax.grad (20 minutes; QUICK=1: two sizes)
	$(BIN)/python benchmarks/bench.py $(if $(QUICK),--quick)

docs: .venv/ready-docs  ## build the site, strictly, into docs/_build/html, and write the page of the family of rules anew
	$(BIN)/recredit family --out docs
	$(BIN)/sphinx-build -q -n -W --keep-going -d docs/_build/doctrees docs docs/_build/html
	@echo "The site begins at docs/_build/html/index.html."

screenshots: $(READY)  ## take the pictures of the report that the pages show (needs Chromium)
	$(BIN)/python docs/screenshots.py

test: $(READY)  ## the common tests
	$(BIN)/python $(TEST) -m "not slow"

slow: $(READY)  ## the long proofs, and the equations' again, compiled as for users (the common tests compile quickly)
	XLA_FLAGS= $(BIN)/python $(TEST) -m "slow or equations"

oldest: .venv-oldest/ready  ## the common tests under Python 3.11 with the lowest versions that pyproject.toml allows
	.venv-oldest/bin/python $(TEST) -m "not slow"

newest: .venv-newest/ready  ## the common tests under the newest Python at hand (or NEWEST=/path) with the newest versions
	.venv-newest/bin/python $(TEST) -m "not slow"

wheel: $(READY)  ## build the source distribution and the wheel into dist; check them; install the wheel apart, and use it there
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m pytest tests/test_wheel.py

check: $(READY)  ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(MAKE) test

clean:
	rm -rf .venv .venv-oldest .venv-newest benchmarks/.venv docs/_build docs/gallery docs/reproduced dist results
	rm -rf .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "recredit needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) -c constraints.txt -e '.[dev]'
	@touch $@

.venv/ready-docs: $(READY)
	$(BIN)/python $(INSTALL) -c constraints.txt -e '.[docs]'
	@touch $@

LOWEST := import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	every = project["dependencies"] + project["optional-dependencies"]["dev"]; \
	print(*(each.replace(">=", "==") for each in every if ">=" in each), sep="\n")
.venv-oldest/ready: pyproject.toml
	@test -n "$(OLDEST)" || { echo "make oldest needs Python 3.11; set OLDEST=/path/to/python3.11"; exit 1; }
	$(OLDEST) -m venv --clear .venv-oldest
	$(OLDEST) -c '$(LOWEST)' > .venv-oldest/lowest.txt
	.venv-oldest/bin/python $(INSTALL) -c .venv-oldest/lowest.txt -e '.[dev]'
	@touch $@

.venv-newest/ready: pyproject.toml
	@test -n "$(NEWEST)" || { echo "make newest needs Python 3.12 or newer; set NEWEST=/path/to/python3"; exit 1; }
	$(NEWEST) -m venv --clear .venv-newest
	.venv-newest/bin/python $(INSTALL) -e '.[dev]'
	@touch $@

# Without it, the benchmarks leave BrainTrace out and say so.
benchmarks/.venv/ready: benchmarks/braintrace.txt | $(READY)
	-$(BIN)/python -m venv benchmarks/.venv && \
		benchmarks/.venv/bin/python $(INSTALL) -r $< && touch $@
