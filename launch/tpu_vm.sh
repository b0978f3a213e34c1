#!/usr/bin/env bash
# A sweep on all workers of a Cloud TPU VM slice, which compute each cell together:
#
#   TPU=name ZONE=us-central2-b OUT=/mnt/shared/folder launch/tpu_vm.sh \
#     --flagfile=experiments/flagfiles/paper/table2.flags
#
# Not run: there was no TPU; a test runs it with a gcloud that is none. Needs gcloud, the
# repository in ~/mamljax on every worker with `pip install -e '.[experiments,tpu]'` in its
# .venv, and OUT on a file system that all of them see (Filestore, or a bucket mounted with
# gcsfuse). JAX finds the other workers by itself. Started again RESTARTS (10) times, PAUSE (30)
# seconds apart. A pre-empted slice: create it again, and give the same command.
set -euo pipefail
: "${TPU:?the name of the TPU VM}" "${ZONE:?its zone}" "${OUT:?a folder that all workers see}"
: "${RESTARTS:=10}" "${PAUSE:=30}"

flags=$(printf ' %q' --distributed=on --output_dir="$OUT" "$@")
for ((start = 1; ; start++)); do
  status=0
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
    --command="cd ~/mamljax && .venv/bin/python -m experiments.sweep$flags" || status=$?
  case $status in # that of the first worker that failed
    0 | 2) exit $status ;;     # done, or the user must change something
    129 | 130) exit $status ;; # a person stopped it (SIGHUP, SIGINT)
  esac
  if ((start > RESTARTS)); then
    echo "ended with status $status, started $start times" >&2
    exit $status
  fi
  echo "ended with status $status, start $((start + 1)) follows" >&2
  sleep "$PAUSE" # until what is left of it has given the TPU back
done
