#!/bin/sh
# Gets everything that building and testing needs: tools/setup.sh [test|ci]
#
# System packages through apt where something is missing and we may install (root, or sudo without a password), otherwise says
# what is missing and stops. Python tools go into the project's own environment, .venv. Does nothing when all is there.
#   test  also the distribution's h5py and MDAnalysis, with which some tests read our files, and strace (skipped without)
#   ci    also what .ci/run checks with: clang, clang-tidy, valgrind, Slurm, and from PyPI clang-format, ruff and atheris
set -eu
cd "$(dirname "$0")/.."
mode=${1:-build}
checkers='clang-format==14.0.6 ruff==0.8.4 atheris==3.0.0'
log=$PWD/setup.log

# quietly WHAT COMMAND..: run it with its output in setup.log, which is shown if it fails and removed if it does not
quietly() {
    echo "setup: $1"
    shift
    "$@" >"$log" 2>&1 </dev/null || { tail -n 30 "$log"; echo "setup: FAILED: $*  (all of its output: setup.log)"; exit 1; }
    rm -f "$log"
}

has() { command -v "$1" >/dev/null 2>&1; }
has_module() { /usr/bin/python3 -c "import importlib.util as u, sys; sys.exit(not u.find_spec('$1'))" 2>/dev/null; }

# need PACKAGE COMMAND..: PACKAGE is missing unless COMMAND succeeds. By what works and not by what is installed, so that an MPI
# or HDF5 of one's own (environment modules) is as good as the distribution's.
missing=
need() { package=$1; shift; "$@" || missing="$missing $package"; }

# A Python 3.9 or newer that can make environments: the one on the PATH, else the system's.
find_python() {
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2>/dev/null && return
    done
    return 1
}

need gcc has "${CC:-gcc}"
need libc6-dev test -e /usr/include/stdio.h
need cmake has cmake
need ninja-build has ninja
need pkg-config has pkg-config
need libopenmpi-dev has mpicc
need openmpi-bin has mpiexec
need libhdf5-openmpi-dev sh -c 'command -v h5pcc || test -n "${HDF5_ROOT:-}"' >/dev/null
need libfyaml-dev pkg-config --exists libfyaml 2>/dev/null
need python3-venv find_python
if [ "$mode" = ci ]; then
    need clang has clang
    need clang-tidy has clang-tidy
    need libomp-dev sh -c 'echo "int main(void) { return 0; }" | clang -fopenmp -x c - -o /dev/null' 2>/dev/null
fi
required=$missing
if [ "$mode" != build ] && [ ! -e .venv/.asked ]; then
    need python3-h5py has_module h5py
    need python3-mdanalysis has_module MDAnalysis
    need strace has strace
fi
if [ "$mode" = ci ]; then
    need valgrind has valgrind
    need munge test -x /usr/sbin/munged
    need slurmctld test -x /usr/sbin/slurmctld
    need slurmd test -x /usr/sbin/slurmd
    need slurm-client has sbatch
fi

if [ -n "$missing" ]; then
    sudo=no
    if has apt-get; then
        if [ "$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; fi
    fi
    if [ "$sudo" != no ]; then
        quietly "looking for system packages" $sudo apt-get -o Acquire::Retries=3 update
        for package in $missing; do  # the optional ones may not exist in every distribution
            case " $required " in *" $package "*) ;; *) apt-cache show "$package" 2>/dev/null | grep -q . || continue ;; esac
            install="${install:-} $package"
        done
        [ -z "${install:-}" ] || quietly "installing$install" $sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get -o Acquire::Retries=3 install -y --no-install-recommends $install
    elif [ -n "$required" ]; then
        echo "setup: these packages are missing, and this user may not install them:$required"
        if has apt-get; then
            echo "setup: have them installed, then run make again:"
            echo "    sudo apt-get install --no-install-recommends$required"
        else
            echo "setup: the names are Debian's; install or load (module load ..) their like: a C compiler, CMake 3.22 or newer,"
            echo "setup: Ninja, pkg-config, Open MPI, parallel HDF5, libfyaml, Python 3.9 or newer with venv. Then run make again."
        fi
        exit 1
    else
        echo "setup: without$missing some tests will be skipped"
    fi
fi

# The environment is made again when the list of its packages changes or the project has moved.
stamp=.venv/.installed
if [ "$(cat $stamp 2>/dev/null)" != "$PWD" ] || [ tools/pyproject.toml -nt $stamp ] || [ tools/setup.sh -nt $stamp ]; then
    find_python || { echo "setup: no Python 3.9 or newer that can make environments"; exit 1; }
    quietly "Python tools into .venv" "$python" -m venv --clear .venv
    quietly "Python tools into .venv: numpy, h5py, MDAnalysis, matplotlib, pymbar, .." .venv/bin/python -m pip install \
        --disable-pip-version-check -e 'tools[test,trajectories,report]'
    echo "$PWD" >$stamp
fi
[ "$mode" = build ] || touch .venv/.asked
if [ "$mode" = ci ] && ! { [ -x .venv/bin/clang-format ] && [ -x .venv/bin/ruff ] && .venv/bin/python -c 'import atheris' 2>/dev/null; }; then
    quietly "$checkers into .venv" .venv/bin/python -m pip install --disable-pip-version-check $checkers
fi
