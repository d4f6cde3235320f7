# Two commands a newcomer needs: `make demo` and `make test`. Both set up .venv first and need only the package registry.
PYTHON ?= python3
BIN := .venv/bin
# Containers often forbid Python to keep bytecode; then each of a test's processes compiles torch anew, for ten seconds.
export PYTHONDONTWRITEBYTECODE :=
DEMO := demo
# What the demo shows needs these extras; `make test` adds the rest to the same environment.
SHOWN := .venv/.shown
READY := .venv/.ready

.PHONY: demo test packages check slow clean

demo: $(SHOWN)
	$(BIN)/effrob eval --suite pocket --model pocket:clip --model pocket:cnn-small --results $(DEMO)/results --cache $(DEMO)/cache
	$(BIN)/effrob leaderboard --results $(DEMO)/results --published none --out $(DEMO)/leaderboard.md
	$(BIN)/effrob leaderboard --results $(DEMO)/results --published none --format html --out $(DEMO)/page
	$(BIN)/effrob plot --results $(DEMO)/results --published none --baseline pocket \
	  --shift pocket-v2 --shift pocket-r --shift pocket-sketch --shift pocket-object --out $(DEMO)/effective-robustness.png
	@echo "the leaderboard is in $(DEMO)/leaderboard.md, as a page in $(DEMO)/page/index.html, and its picture in $(DEMO)/effective-robustness.png"

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

packages: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -n 2 -k 'not newer_pythons' --durations=4 tests/test_installed.py

slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

# uv installs in a fraction of pip's time. It is itself taken from the registry, and pip does it all where that fails.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
define install
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(PIP) uv || true
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[$(1)]' || $(PIP) --editable '.[$(1)]'
	touch $@
endef

$(SHOWN): setup.cfg pyproject.toml constraints.txt
	$(call install,plots$(,)site)

$(READY): $(SHOWN)
	$(call install,test$(,)training)

, := ,

clean:
	rm -rf .venv $(DEMO) effrob-results
