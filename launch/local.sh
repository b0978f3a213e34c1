#!/usr/bin/env bash
# One sweep on this machine: on its GPUs or TPU where JAX finds them (BUILD.md says how to
# install its plugin for them), else on every core.
#
#   launch/local.sh --flagfile=experiments/flagfiles/paper/table2.flags --output_dir=out/table2
#
# Takes the flags of experiments.sweep, and starts it again when it dies (RESTARTS=10 times at
# most); PROCESSES=2 makes it two processes that compute together. Status 75 says that it was
# asked to stop (SIGTERM, SIGUSR1) and that the same command goes on from there, which is true
# after Ctrl-C, too. Works from any folder; relative paths in the flags are taken from the root
# of the repository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if (($# == 0)); then
  echo "usage: launch/local.sh --flagfile=FLAGFILE [--flag=value ...]" >&2
  exit 2
fi
make --silent .venv/.installed
exec .venv/bin/python -m experiments.launch "$@"
