# `make help` lists the commands. Nothing needs root, Docker or a cloud account: everything is put into .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
CALLER := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONPATH="$(CURDIR)"
CHECKED := app jobs sandbox tests benchmarks crash migrations/env.py wsgi.py gunicorn.conf.py
PRESENT = $(wildcard $(CHECKED))

.PHONY: help run serve demo doctor test lint format types layers check bench crash fuzz hostile clean venv venv-dev

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: venv ## start everything for development: web, workers, dispatcher, sandbox (Ctrl-C stops it)
	@exec $(PY) -m jobs.stack run

serve: venv ## start everything as a production service on one machine (PUBLIC_URL, BIND, TRUSTED_PROXIES)
	@exec $(PY) -m jobs.stack serve

demo: venv ## while `make run` is up: upload a clip, schedule it, watch it go out (CHAOS=1 kills the worker)
	@CHAOS="$(CHAOS)" exec $(PY) -m jobs.demo

doctor: venv ## say what is wrong with this installation and how to mend it
	@$(CALLER) exec $(VENV)/bin/flask --app wsgi doctor

test: venv-dev ## run all tests on real parts (Redis, SQLite, PostgreSQL, ffmpeg, HTTP); ARGS="-k name" narrows
	@$(CALLER) $(PY) -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: venv-dev ## check style and format
	@$(PY) -m ruff check $(PRESENT) && $(PY) -m ruff format --check $(PRESENT)

format: venv-dev ## rewrite the code in the house's format
	@$(PY) -m ruff check --fix $(PRESENT) ; $(PY) -m ruff format $(PRESENT)

types: venv-dev ## check the types (mypy strict)
	@$(PY) -m mypy

layers: venv-dev ## check that imports go one way only
	@$(CALLER) $(VENV)/bin/lint-imports --no-cache

check: lint types layers test ## all of the above

bench: venv-dev ## measure; ONLY=lateness runs one; writes DATA_DIR/bench.json
	@$(CALLER) $(PY) -m benchmarks $(ONLY)

crash: venv-dev ## prove that each post goes out once: FAULTS=300 SEED=1 DATABASE=both LANES=4 POSTS=40 PLATFORMS=a,b; PLANTS=1
	@$(CALLER) $(PY) -m crash --faults "$(or $(FAULTS),300)" --seed "$(or $(SEED),1)" \
	  --database "$(or $(DATABASE),both)" --lanes "$(or $(LANES),4)" --posts "$(or $(POSTS),40)" --platforms "$(PLATFORMS)" --plants "$(PLANTS)"

fuzz: venv-dev ## send made-up requests to every operation: REQUESTS=50000 SEED=1 DATABASE=sqlite; ROUNDS=50: one key at once
	@REQUESTS="$(REQUESTS)" SEED="$(SEED)" ROUNDS="$(ROUNDS)" DATABASE="$(DATABASE)" $(CALLER) $(PY) -m tests.fuzz

hostile: venv-dev ## read 200 hostile files and 4,000 mutated ones under strace (hours); ARGS="-k two_hundred": minutes
	@$(CALLER) $(PY) -m pytest -n 0 -m long tests/media/test_hostile.py $(ARGS)

clean: ## remove what can be made again: .venv and caches (never DATA_DIR)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache && find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- how .venv comes to be -------------------------------------------------------------------------------
# A copy of the requirements is kept beside what was installed from them: a later start compares and goes on.
# An interrupted installation leaves no copy and is simply done again.

venv: $(VENV)/bin/activate
	@cmp -s requirements.txt $(VENV)/installed.txt || { \
	  echo "Installing packages into $(VENV) (the first time takes about a minute) ..." ; \
	  $(PY) -m pip install --disable-pip-version-check -q -r requirements.txt && \
	  cp requirements.txt $(VENV)/installed.txt ; }

venv-dev: venv
	@cmp -s requirements-dev.txt $(VENV)/installed-dev.txt && \
	  test $(VENV)/installed-dev.txt -nt $(VENV)/installed.txt || { \
	  echo "Installing what the tests need into $(VENV) ..." ; \
	  $(PY) -m pip install --disable-pip-version-check -q -r requirements-dev.txt && \
	  cp requirements-dev.txt $(VENV)/installed-dev.txt ; }

define FIND_PYTHON
for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
    break; \
  fi; \
  python=""; \
done
endef

define INSTALL_LINE
if command -v apt-get >/dev/null; then echo "  sudo apt-get install -y python3 python3-venv python3-pip"; \
elif command -v dnf >/dev/null; then echo "  sudo dnf install -y python3.12"; \
elif command -v pacman >/dev/null; then echo "  sudo pacman -S --noconfirm python"; \
elif command -v apk >/dev/null; then echo "  sudo apk add python3 py3-pip"; \
elif command -v brew >/dev/null; then echo "  brew install python@3.12"; \
else echo "  install Python 3.11 or newer from https://www.python.org/downloads/"; fi
endef

# `activate` is the last file venv writes before pip is put in, so pip itself is asked for.
.PHONY: $(VENV)/bin/activate
$(VENV)/bin/activate:
	@$(PY) -m pip --version >/dev/null 2>&1 && exit 0 ; \
	$(FIND_PYTHON) ; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer with venv and pip is needed. This installs it:" ; \
	  $(INSTALL_LINE) ; exit 1 ; \
	fi ; \
	echo "Making $(VENV) with $$("$$python" --version) ..." ; \
	"$$python" -m venv --clear $(VENV)
