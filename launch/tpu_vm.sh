#!/usr/bin/env bash
# A sweep on all workers of a Cloud TPU VM slice, which compute each cell together:
#
#   TPU=name ZONE=us-central2-b OUT=gs-mounted/folder launch/tpu_vm.sh \
#     --flagfile=experiments/flagfiles/table2.flags
#
# Not run: there was no TPU. Needs gcloud, the repository in ~/mamljax on every worker with
# `pip install -e '.[experiments,tpu]'` in its .venv, and OUT on a file system that all of them
# see (Filestore, or a bucket mounted with gcsfuse). JAX finds the other workers by itself. A
# pre-empted slice: create it again, and give the same command.
set -euo pipefail
: "${TPU:?the name of the TPU VM}" "${ZONE:?its zone}" "${OUT:?a folder that all workers see}"

flags=$(printf ' %q' --distributed=on --output_dir="$OUT" "$@")
for ((start = 0; start <= ${RESTARTS:-10}; start++)); do
  status=0
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
    --command="cd ~/mamljax && .venv/bin/python -m experiments.sweep$flags" || status=$?
  case $status in
    0 | 2) exit $status ;; # done, or the user must change something
  esac
  echo "ended with status $status, start $((start + 2)) follows" >&2
done
exit "$status"
