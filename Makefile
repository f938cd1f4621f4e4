# Every target makes .venv and installs the locked dependencies first; PYTHON names another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOM ?= adx_lab/store
TESTS ?= tests/store
INSTALLED := $(VENV)/.installed

.PHONY: nightly test acceptance soak test-fast coverage mutation lint format wheel lock clean

nightly: $(INSTALLED)  ## the main job: stack, load, captures, analysis, report, verdict
	@$(BIN)/adx-lab nightly --profile quick || [ $$? -eq 3 ]  # undecided: the page says what was missing

test: $(INSTALLED)  ## all tests, against real PostgreSQL, Valkey, HTTP and Locust
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not acceptance"

acceptance: $(INSTALLED)  ## whole duets, kills, browsers, other services: half an hour and more, on a quiet machine
	$(BIN)/python -m pytest -m acceptance

test-fast: $(INSTALLED)  ## those that need no stack, in a minute
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not stack and not browser and not acceptance"

coverage: $(INSTALLED)  ## what the fast tests reach of analysis and store, with a floor
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not stack and not browser and not acceptance" --cov --cov-report=term --cov-fail-under=85

mutation: $(INSTALLED)  ## mutants of a room that its tests let live; ROOM=adx_lab/analysis/run TESTS=tests/analysis/run names another
	rm -rf .mutation && mkdir .mutation && git ls-files -z | xargs -0 cp --parents -t .mutation
	sed -i 's|ROOM|$(ROOM)|; s|TESTS|$(TESTS)|' .mutation/pyproject.toml
	cd .mutation && ../$(BIN)/mutmut run --max-children 2
	cd .mutation && ../$(BIN)/mutmut results --all true | sed 's/.*: //' | sort | uniq -c

soak: $(INSTALLED)  ## fifty nights with a random kill each (an hour or two); SOAK="--nights 10 --seed 3"
	$(BIN)/python -m tests.soak $(SOAK)

lint: $(INSTALLED)  ## format and rules, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## let ruff mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(INSTALLED)  ## dist/adx_lab-*.whl, for a service's own environment; it brings all that it needs
	$(BIN)/python -m hatchling build -t wheel -d dist

lock:  ## resolve pyproject.toml anew into requirements.lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install -q uv
	$(VENV)-lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --group dev pyproject.toml -o requirements.lock
	rm -rf $(VENV)-lock

clean:  ## remove what make made; stored runs stay
	rm -rf $(VENV) .mutation

$(INSTALLED): requirements.lock pyproject.toml
	@echo "Installing the locked dependencies into $(VENV) (one to two minutes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
