# Everything a newcomer needs: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
READY := .venv/.ready
SHARED := $(wildcard ../shared/data/faces)

# Compiled modules are kept, whatever the environment says: a test run starts hundreds of Pythons, and compiling all
# that one imports takes it longer than its work.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all coverage soak lint bench docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[train,onnx,demo]' --group test --group lint
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --no-deps facenet-pytorch
	@touch $(READY)

demo: $(READY) ## Set up, build a masked data set from real photographs, train, measure; ends in pictures and figures
	rm -rf demo
	$(BIN)/maskgen demo demo/photographs
	$(BIN)/maskgen preview demo/photographs/collins/0001_01.jpg demo/photographs/hopper/0003_01.jpg -o demo/preview.png
	$(BIN)/maskgen build --src demo/photographs --out demo/smfd --test-identities 0.5
	$(BIN)/maskgen verify demo/smfd
	$(BIN)/mfr train --data demo/smfd --recipe small --out demo/run --cache demo/features
	$(BIN)/mfr eval --data demo/smfd --run demo/run --scenario all --out demo/eval --cache demo/features
	$(BIN)/maskgen inspect demo/smfd --html -o demo/smfd.html
	$(BIN)/mfr report demo/eval demo/run -o demo/report.html
	@echo "Look at demo/report.html, demo/smfd.html and demo/preview.png."

test: $(READY) ## Set up and run the tests, without those that take long
	$(BIN)/python -m pytest -n logical --dist worksteal -m "not slow"

test-all: $(READY) ## Run every test, also those that take long
	$(BIN)/python -m pytest -n logical --dist worksteal

coverage: $(READY) ## Run the tests and print what they reach (docs/coverage.md)
	$(BIN)/python -m pytest -n logical --dist worksteal -m "not slow" --cov --cov-report=term-missing:skip-covered

soak: $(READY) ## Run the tests of faults twenty times harder, with new draws (a quarter of an hour)
	$(BIN)/python -m pytest -n logical tests/faults --soak 20

lint: $(READY) ## Check format, lint, types, and that imports go one way
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(READY) ## Measure speed; prints ratios
	for name in start build floor store export hotspots landmarks plan memory loader stage2 dlib_network; do $(BIN)/python benchmarks/$$name.py; done

.venv/.docs: $(READY)
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt --group docs
	@touch $@

docs: .venv/.docs ## Write the command reference from the code, and build the site into site/, strictly
	$(BIN)/python docs/make_reference.py
	rm -rf site
	$(BIN)/sphinx-build --quiet --fail-on-warning --fresh-env docs site

clean: ## Remove the demo and the caches (.venv stays)
	rm -rf demo site .pytest_cache .mypy_cache .ruff_cache .hypothesis
