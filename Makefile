# Every command sets up what it needs first. `make demo` shows it, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAGES := src/carcloud/api/pages/index.html
QC := .asamqc
WEB := $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)

.PHONY: demo test check bench soak gbt32960 crime fuzz safety setup console sbom lock clean

demo: setup console
	$(BIN)/carcloud demo $(if $(RECORDINGS),--recordings "$(RECORDINGS)")

test: check console $(QC)/installed
	$(BIN)/pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pip check

bench: setup console
	$(BIN)/python bench/ingest.py $(BENCH)

soak: setup console
	$(BIN)/python -m tests.end_to_end.soak

# Feeds what reads from outside with inputs by the ten thousand: whatever comes, an answer or a plain error. Run it after
# any change to a grammar or a codec; a failure prints the smallest input that shows it.
fuzz: setup
	$(BIN)/pytest tests/fuzz --hypothesis-profile=fuzz --timeout=0 $(FUZZ)

# Compares our reading of GB/T 32960 with rtm-con's on 10,000 frames of each edition, value by value, both ways.
gbt32960: setup
	$(BIN)/python -m tests.conformance.gbt32960.comparison --frames 10000

# Compares our metrics with CommonRoad-CriMe's, for every pair and step of two recordings; it takes an environment of its
# own (0.9 GB) and some minutes.
crime: setup
	$(BIN)/python -m tests.conformance.research.crime.comparison

# Tries every attack and writes what happened into docs/safety.md.
safety: setup console
	$(BIN)/pytest tests/attacks --junitxml=.attacks.xml
	$(BIN)/python -m tests.attacks.report .attacks.xml

setup: $(VENV)/installed

$(VENV)/installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# ASAM's checkers of what research exports; they need older libraries than we do.
$(QC)/installed: tests/conformance/research/asamqc/requirements.txt
	test -x $(QC)/bin/python || $(PYTHON) -m venv $(QC)
	$(QC)/bin/python -m pip install --quiet --require-hashes --requirement $<
	touch $@

console: setup $(PAGES)

$(PAGES): $(WEB)
	$(BIN)/python web/build.py

# What is installed here, as CycloneDX. Known weaknesses are looked up elsewhere: that needs a database from the internet.
sbom: setup
	mkdir -p dist
	$(BIN)/python -m carcloud.assembly.sbom > dist/sbom.json

# Rewrites the pinned, hashed requirements from pyproject.toml; addresses of an index never enter the file.
lock:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --no-header --python-version 3.11 --group dev --extra postgres --extra pkcs11 --extra sm --extra kuksa --extra ray --extra s3 pyproject.toml -o requirements.txt

clean:
	rm -rf $(VENV) $(QC) web/node_modules src/carcloud/api/pages dist
