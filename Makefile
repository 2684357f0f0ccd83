# Every target installs what it needs. `make demo` runs the main job, `make test` the tests.
# The system's Python, where it can make environments and C extensions: Debian builds it with profiles and LTO, pyenv does not,
# and the compiled model is faster with it: compare `make bench` with `make bench VENV=.venv-other PYTHON=python3`.
USABLE := import ensurepip, os, sys, sysconfig; \
  sys.exit(sys.version_info < (3, 11) or not os.path.exists(sysconfig.get_path('include') + '/Python.h'))
PYTHON ?= $(shell /usr/bin/python3 -c "$(USABLE)" 2>/dev/null && echo /usr/bin/python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-output

.PHONY: install dev demo test cgroup2 compiled bench lint matrix real real-as-is real-slice regress regress-compiled clean

install: $(VENV)/installed

dev: $(VENV)/installed-dev

$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# (a) three stages on two platforms, (b) 10:00 and 10:01, (c) the monorepo's bake three ways, (d) the decision matrix.
demo: install
	@mkdir -p $(OUT)
	@echo; echo "(a) Three stages at once, on two native platforms"
	$(BIN)/buildcast graph scenarios/three-stage/scenario.yaml
	$(BIN)/buildcast run scenarios/three-stage/scenario.yaml -o $(OUT)/three-stage
	@echo; echo "(b) A second image, one minute later: it waits for the first one's npm ci"
	$(BIN)/buildcast run scenarios/dedup-pair/scenario.yaml -o $(OUT)/dedup-pair
	$(BIN)/buildcast trace export $(OUT)/dedup-pair -o $(OUT)/dedup-pair.perfetto.json
	@echo; echo "(c) The monorepo: one project, two builds per instance, a project per target"
	$(BIN)/buildcast compare scenarios/monorepo-bake/scenario.yaml --candidates scenarios/monorepo-bake/candidates.yaml -o $(OUT)/monorepo
	@echo; echo "(d) The decision matrix, a quick look"
	$(BIN)/buildcast matrix --quick --replications 6 -o $(OUT)/matrix
	@echo; echo "Look at $(OUT)/matrix/decision-matrix.png, and open $(OUT)/dedup-pair.perfetto.json in ui.perfetto.dev."

# Tests that compare durations have the machine to themselves.
test: dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not alone' tests
	$(BIN)/python -m pytest -m alone tests/real

# Tests of daemons on control groups of version 2, in a virtual machine, whatever this one has. Needs Debian's packages.
cgroup2: dev
	.ci/cgroup2

lint: dev
	$(BIN)/ruff check sim tests
	$(BIN)/ruff format --check sim tests
	$(BIN)/mypy

# The model compiled by mypyc, a wheel and that wheel unpacked: `PYTHONPATH=.venv/compiled/site` runs it. The same numbers.
COMPILED := $(VENV)/compiled
SOURCES := $(shell find sim -name '*.py')

compiled: $(COMPILED)/made

$(COMPILED)/made: $(VENV)/installed-dev $(SOURCES)
	rm -rf $(COMPILED)
	mkdir -p $(COMPILED)/source
	cp -r sim scenarios pyproject.toml README.md LICENSE $(COMPILED)/source
	HATCH_BUILD_HOOK_ENABLE_MYPYC=true $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation \
	  --wheel-dir $(COMPILED) $(COMPILED)/source
	$(BIN)/python -m pip install --quiet --no-deps --target $(COMPILED)/site $(COMPILED)/*.whl
	PYTHONPATH=$(COMPILED)/site $(BIN)/python -P -c 'import sim.model.engine as one; assert one.__file__.endswith(".so"), one.__file__'
	touch $@

bench: compiled
	$(BIN)/python -m tests.bench --compiled $(COMPILED)/site --check --write

# Real BuildKit daemons: needs root and runc, and nothing else on the machine. The whole takes about an hour and a quarter; 20
# replays are for a search for scenarios that are predicted badly.
# results/suite.yaml is this machine's profile, from builds that stand alone: the fits begin with it.
CORPUS := $(patsubst %/scenario.yaml,%,$(wildcard tests/real/corpus/*/scenario.yaml))
DECISIONS := $(patsubst %/scenario.yaml,%,$(wildcard tests/real/decisions/*/scenario.yaml))
REPLAYS ?= .replays
# A minute and a half of it, a scenario of each kind.
SLICE := $(addprefix tests/real/corpus/,cpu-fork-1 cpu-edit-1 cpu-platforms-1 mixed-1 mixed-slots-2 mixed-bake-1 mixed-scale-1)

# What decisions are forecast with: a replay each of these, all of other scenarios.
FITTED_ON := $(filter %-1,$(CORPUS))

real: install
	$(BIN)/buildcast calibrate --suite -o results/suite.yaml
	$(BIN)/buildcast validate $(CORPUS) -k 5 --search 20 --start results/suite.yaml --keep $(REPLAYS) -o results
	$(BIN)/buildcast calibrate $(foreach one,$(FITTED_ON),$(REPLAYS)/$(notdir $(one))/1) --constants \
	  $(addprefix --scenario ,$(FITTED_ON)) --start results/suite.yaml -o results/machine.yaml
	$(BIN)/buildcast validate --decisions $(DECISIONS) -k 3 --profile results/machine.yaml --keep $(REPLAYS)/decisions -o results

real-slice: install
	$(BIN)/buildcast validate $(SLICE) -k 1 --limit 8%

# True builds of Go, C and archives, on bases made here: costs are fitted on builds one at a time, checked on some that overlap.
# All are replayed in turns first, for a machine's speed drifts; the forecast beside it has no such costs yet and may be far off.
AS_IS := $(patsubst %/scenario.yaml,%,$(wildcard tests/real/as_is/*/scenario.yaml))
SOLO := $(addsuffix /solo.yaml,$(AS_IS))
real-as-is: install
	set -e; bases="$$($(BIN)/python tests/real/as_is/bases.py $(REPLAYS)/bases $(addsuffix /Dockerfile,$(AS_IS)))"; \
	$(BIN)/buildcast validate $(AS_IS) $(SOLO) --as-is -k 3 --replications 2 --keep $(REPLAYS)/as-is $$bases >/dev/null || test $$? = 1; \
	$(BIN)/buildcast calibrate $(REPLAYS)/as-is/*-solo/* -o $(REPLAYS)/solo.yaml; \
	$(BIN)/buildcast validate $(AS_IS) --as-is -k 3 --profile $(REPLAYS)/solo.yaml --keep $(REPLAYS)/as-is -o results/as-is $$bases

# The timing model today against results/baselines.
regress: install
	$(BIN)/buildcast regress

# The same by the compiled model: not one number may differ.
regress-compiled: compiled
	PYTHONPATH=$(COMPILED)/site $(BIN)/buildcast regress

# The committed tables and figures: results/decision-matrix.{md,json,png}.
matrix: install
	$(BIN)/buildcast matrix --quick -o results

clean:
	rm -rf $(VENV) $(OUT) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
