# Two commands a newcomer needs: `make demo` and `make test`. Both set up .venv first and need only the package registry.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := demo

.PHONY: demo test check slow clean

demo: $(READY)
	$(BIN)/effrob eval --suite pocket --model pocket:clip --model pocket:cnn-small --results $(DEMO)/results --cache $(DEMO)/cache
	$(BIN)/effrob leaderboard --results $(DEMO)/results --published none --out $(DEMO)/leaderboard.md
	@echo "the leaderboard is in $(DEMO)/leaderboard.md"

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,training]'
	touch $(READY)

clean:
	rm -rf .venv $(DEMO) effrob-results
