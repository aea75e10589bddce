# make lists what there is to make. Each sets up what it needs in .venv. Where an environment is active and complete
# already (conda, Colab):
#     make book VENV=
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
# the exact versions that CI runs have no wheels for Python 3.14 and newer
CONSTRAINTS ?= $(shell $(PYTHON) -c 'import sys; print("constraints.txt" if sys.version_info < (3, 14) else "/dev/null")')
# where the repository is, for the page, its buttons and Colab: where GitHub runs this, so that a fork's page is the
# fork's own; else where _config.yml says. To move what is committed: make notebooks ADDRESS=https://github.com/OWNER/NAME
ADDRESS ?= $(if $(and $(GITHUB_ACTIONS),$(filter https://github.com,$(GITHUB_SERVER_URL))),$(GITHUB_SERVER_URL)/$(GITHUB_REPOSITORY))

ifeq ($(strip $(VENV)),)
  PY := $(PYTHON)
  READY :=
else
  BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
  PY := $(BIN)/python
  READY := $(VENV)/.installed
endif
SITE = $(PY) -m tools.site $@ $(if $(ADDRESS),--address "$(ADDRESS)")
TEACHING = $(PY) -m tools.teaching $@
PYTEST = $(PY) -m pytest --nbval --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder
# package.json has a script of the same name for the playground's JavaScript
NPM = if [ -d node_modules ]; then npm run --silent $@; else echo "JavaScript left out: npm install brings what it takes"; fi

# what a network says of many images is worked out once, for all chapters and tests (osrlib/speed/remember.py)
book test test-slow: export OSRLIB_REMEMBER ?= $(CURDIR)/_build/remember
# test processes run side by side: a core for each
test test-slow: export OMP_NUM_THREADS ?= 1
# glibc keeps what a batch frees: else page faults take 10 % of a training step of 256 images, 20 to 30 % of one of 1,024
book test test-slow train: export MALLOC_MMAP_MAX_ ?= 0
book test test-slow train: export MALLOC_TRIM_THRESHOLD_ ?= 2147483647

.PHONY: help book pdf epub test test-slow test-all lint format notebooks text student slides figures handouts exam \
	translations review release train bench mutation serve data clean

help: ## lists this
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: data ## executes every chapter afresh and renders the page into _build/html
	$(SITE)

pdf epub: $(READY) _build/html/index.html ## writes what make book has rendered as a PDF or an EPUB; needs Chromium or Chrome
	$(PY) -m tools.printed $@

test: lint data ## checks the code, runs the tests, re-runs every notebook against what it printed
	@$(NPM)
	$(PYTEST) tests/unit tests/book notebooks

test-slow: data ## runs the slow tests: clean environments, faults, interrupts, whole trainings
	$(PYTEST) tests/slow

test-all: test test-slow ## runs all tests

lint: $(READY) ## checks the code and its layout
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@$(NPM)

format: $(READY) ## mends the layout of the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	@$(NPM)

notebooks: data ## executes the chapters and refreshes the committed notebooks; NAMES=01-closed-world for one of them
	$(SITE) $(NAMES)

text: $(READY) ## the same where only words of a chapter changed: runs no code, seconds; NAMES= as above
	$(SITE) $(NAMES)

student: $(READY) ## writes the chapters as notebooks without solutions into _build/student
	$(SITE)

slides: $(READY) ## writes the slides of both sessions, with speaker notes, into _build/slides
	$(TEACHING)

handouts: $(READY) ## writes lab sheets and, apart, what is for lecturers alone into _build/handouts
	$(TEACHING)

figures: $(READY) ## writes every figure with caption, alt text and licence into _build/figures
	$(TEACHING)

exam: $(READY) ## writes an exam and, apart, its key into _build/exam; SEED=word for the same one again, COUNT=8, CHAPTERS="1 2 5"
	$(TEACHING) $(if $(SEED),--seed "$(SEED)") $(if $(COUNT),--count $(COUNT)) $(if $(CHAPTERS),--chapters $(CHAPTERS))

translations: $(READY) ## lists what is stale or missing in translations; DO=update writes it into them, DO=html renders them
	$(PY) -m tools.translations $(DO)

review: $(READY) ## asks a journal's questions of the book: what holds, and what needs people
	$(PY) -m tools.review

release: data ## makes and tags VERSION=0.3.0, with what is attached to it in _build/release; DRY=1 tries it in a clone
	$(PY) -m tools.release $(VERSION) $(if $(DRY),--dry)

train: data ## trains every reference model from scratch, measures, and writes weights and figures: an hour
	$(PY) -m experiments.reference

bench: data ## measures how fast training and deciding are on this machine: forty minutes
	$(PY) -m experiments.deciding
	$(PY) -m experiments.speed

mutation: data ## counts which changes of the core's code the tests notice: ten minutes; MODULES=scores for one of them
	$(PY) -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[mutation]"
	OMP_NUM_THREADS=1 OSRLIB_OFFLINE=1 $(PY) -m tools.mutation $(MODULES)

serve: _build/html/index.html ## shows the rendered page at http://localhost:8000
	@echo "The book is at http://localhost:8000 (Ctrl-C ends it)"
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html 8000

_build/html/index.html:
	$(MAKE) book

data: $(READY) ## gets the images that the book needs
	$(PY) -m osrlib.data fetch

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; this is " + sys.version + ". Name another: make book PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' || { echo "Python cannot make an environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[book,service,test]"
	@touch $@

clean: ## removes what was built, and the environment
	rm -rf _build $(VENV) dist mutants node_modules .pytest_cache .ruff_cache
