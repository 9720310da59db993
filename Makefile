# Wraps CMake's presets (CMakePresets.json); every command does the set-up that it needs. PRESET=cpu, cuda, asan, .. chooses one.
PRESET = default
TESTS  =
FORMAT = -i

all: setup  ## build the program and the tests (with CUDA where there is nvcc)
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET)

program: setup  ## build the program alone
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build --preset $(PRESET) --target flashrex

demo: program  ## watch the demo protein fold and unfold (two minutes)
	@build/$(PRESET)/flashrex run configs/demo.yaml --overwrite
	@.venv/bin/flashrex-report demo-run --reference demo-run/system.pdb --folded-rmsd 2

test: SETUP = test
test: all  ## run all tests; TESTS='-L unit' or TESTS='-R name' chooses some (options of ctest)
	@ctest --preset $(PRESET) $(TESTS)

cuda:  ## build with CUDA, or say why not
	@$(MAKE) all PRESET=cuda

format: SETUP = ci
format: setup  ## bring all C and CUDA sources into the house format
	@find $(wildcard src kernels exchange io tests) -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | \
	    xargs .venv/bin/clang-format $(FORMAT)

setup:  ## install what building needs: system packages and .venv
	@tools/setup.sh $(SETUP)

clean:  ## remove what was built (and keep .venv)
	rm -rf build demo-run demo-adapt-run

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' Makefile | expand -t 10

.PHONY: all program demo test cuda format setup clean help
