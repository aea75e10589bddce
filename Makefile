# make book   executes every chapter afresh and renders the book into _build/html
# make test   runs the unit tests and re-runs every notebook against what it printed
#
# Both set up what they need in .venv. Where an environment is active and complete already (conda, Colab):
#     make book VENV=
PYTHON ?= python3
VENV ?= .venv
# the exact versions that CI runs have no wheels for Python 3.14 and newer
CONSTRAINTS ?= $(shell $(PYTHON) -c 'import sys; print("constraints.txt" if sys.version_info < (3, 14) else "/dev/null")')

ifeq ($(strip $(VENV)),)
  PY := $(PYTHON)
  READY :=
else
  BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
  PY := $(BIN)/python
  READY := $(VENV)/.installed
endif

# what a network says of many images is worked out once, for all chapters and tests (osrlib/remember.py)
book test: export OSRLIB_REMEMBER ?= $(CURDIR)/_build/remember
# test processes run side by side: a core for each
test: export OMP_NUM_THREADS ?= 1

.PHONY: book test notebooks student train bench mutation serve data clean

book: data
	$(PY) -m tools.site book

test: data
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest --nbval --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

notebooks: data
	$(PY) -m tools.site notebooks

student: $(READY)
	$(PY) -m tools.site student

train: data
	$(PY) book/train.py

bench: data
	$(PY) benchmarks/speed.py

mutation: data
	$(PY) -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[mutation]"
	OMP_NUM_THREADS=1 OSRLIB_OFFLINE=1 $(PY) -m tools.mutation $(MODULES)

serve: _build/html/index.html
	@echo "The book is at http://localhost:8000 (Ctrl-C ends it)"
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html 8000

_build/html/index.html:
	$(MAKE) book

data: $(READY)
	$(PY) -m osrlib.data fetch

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; this is " + sys.version + ". Name another: make book PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' || { echo "Python cannot make an environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[book,test]"
	@touch $@

clean:
	rm -rf _build $(VENV) dist mutants .pytest_cache .ruff_cache
