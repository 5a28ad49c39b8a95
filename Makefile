# A fresh machine needs only Python >= 3.11, git and make.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SCALE ?= paper
VARIANT ?= written
BIN := .venv/bin
READY := .venv/ready

.PHONY: fig1 bench test slow check clean
fig1: $(READY)  ## compute and draw the paper's Fig. 1 (SCALE=quick takes about a minute)
	$(BIN)/recredit fig1 --scale $(SCALE) --variant $(VARIANT) $(if $(OUT),--out $(OUT))

bench: $(READY) benchmarks/.venv/ready  ## time every rule beside NumPy, BrainTrace and jax.grad (20 minutes; QUICK=1: two sizes)
	$(BIN)/python benchmarks/bench.py $(if $(QUICK),--quick)

test: $(READY)  ## the common tests
	$(BIN)/python -m pytest -n auto --maxprocesses 8 -m "not slow"

slow: $(READY)  ## the long proofs, and the equations' again, compiled as for users (the common tests compile quickly)
	XLA_FLAGS= $(BIN)/python -m pytest -n auto --maxprocesses 8 -m "slow or equations"

check: $(READY)  ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(MAKE) test

clean:
	rm -rf .venv benchmarks/.venv results .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "recredit needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Without it, the benchmarks leave BrainTrace out and say so.
benchmarks/.venv/ready: benchmarks/braintrace.txt | $(READY)
	-$(BIN)/python -m venv benchmarks/.venv && \
		benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $< && touch $@
