"""The scripts in launch/ that cannot be run here, run with a `gcloud` that is none."""

import os
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.experiments.tiny import ROOT

LAUNCH = ROOT / 'launch'
SCRIPTS = sorted([*LAUNCH.glob('*.sh'), *LAUNCH.glob('*.sbatch')])
# The options that `gcloud compute tpus tpu-vm ssh` has and a sweep may need.
OPTIONS = {'--zone', '--worker', '--command', '--project', '--internal-ip', '--ssh-flag'}
GCLOUD = """#!/bin/bash
printf '%s\\0' "$@" >>"$HERE/calls"
echo END >>"$HERE/calls"
read -r status <"$HERE/statuses"
sed -i 1d "$HERE/statuses"
for argument in "$@"; do
  [[ $argument == --command=* ]] && HOME=$HERE bash -c "${argument#--command=}"
done
exit "$status"
"""


class Ran(NamedTuple):
  """A run of tpu_vm.sh: its status, what it said, gcloud's calls, and python's arguments."""

  status: int
  err: str
  calls: list[list[str]]
  typed: list[list[str]]


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_can_be_started(path: Path):
  """A reader of README starts them as they are."""
  subprocess.run(['bash', '-n', path], check=True)
  assert path.read_text().startswith('#!/usr/bin/env bash\n')
  assert os.access(path, os.X_OK)


@pytest.fixture
def tpu_vm(tmp_path: Path):
  """Runs tpu_vm.sh with a worker that is a folder here, whose sweeps end with these."""
  python = tmp_path / 'mamljax' / '.venv' / 'bin' / 'python'
  python.parent.mkdir(parents=True)
  python.write_text('#!/bin/bash\nprintf "%q " "$@" >>"$HERE/typed"\necho >>"$HERE/typed"\n')
  (tmp_path / 'gcloud').write_text(GCLOUD)
  for path in (python, tmp_path / 'gcloud'):
    path.chmod(0o755)

  def run(statuses: list[int], *typed: str, **environment: str) -> Ran:
    (tmp_path / 'statuses').write_text(''.join(f'{status}\n' for status in statuses))
    told = {'TPU': 'mine', 'ZONE': 'zone', 'OUT': '/a b', 'PAUSE': '0', 'HERE': str(tmp_path)}
    path = f'{tmp_path}:{os.environ["PATH"]}'
    ended = subprocess.run(
      [LAUNCH / 'tpu_vm.sh', *typed],
      env=os.environ | told | {'PATH': path} | environment,
      capture_output=True,
      text=True,
      check=False,
    )
    calls = _read(tmp_path / 'calls').split('END\n')[:-1]
    arguments = map(shlex.split, _read(tmp_path / 'typed').splitlines())
    return Ran(
      ended.returncode, ended.stderr, [c.split('\0')[:-1] for c in calls], [*arguments]
    )

  return run


def _read(path: Path) -> str:
  return path.read_text() if path.exists() else ''


def test_a_slice_is_told_to_run_what_was_typed(tpu_vm):
  """Through two shells: blanks and quotes must arrive."""
  ran = tpu_vm([0], '--datasets=npz:my file.npz', "--x='$a'")
  assert ran.status == 0
  ((*command, tpu, zone, worker, _),) = ran.calls
  assert command == ['compute', 'tpus', 'tpu-vm', 'ssh']
  assert (tpu, zone, worker) == ('mine', '--zone=zone', '--worker=all')
  assert {argument.split('=')[0] for argument in ran.calls[0][5:]} <= OPTIONS
  ((*module, distributed, out, data, x),) = ran.typed
  assert (module, distributed) == (['-m', 'experiments.sweep'], '--distributed=on')
  assert (out, data, x) == ('--output_dir=/a b', '--datasets=npz:my file.npz', "--x='$a'")


@pytest.mark.parametrize(
  ('statuses', 'status', 'starts'),
  [([0], 0, 1), ([2], 2, 1), ([75, 255, 0], 0, 3), ([134, 2], 2, 2), ([1] * 9, 1, 3)],
)
def test_a_lost_worker_is_no_end_but_a_mistake_is(tpu_vm, statuses, status, starts):
  """And what dies each time is not started forever."""
  ran = tpu_vm(statuses, RESTARTS='2')
  assert (ran.status, len(ran.calls)) == (status, starts)
  assert ran.err.count('follows') == starts - 1


@pytest.mark.parametrize('missing', ['TPU', 'ZONE', 'OUT'])
def test_what_is_not_said_is_asked_for(tpu_vm, missing):
  """Before anything is started."""
  ran = tpu_vm([0], **{missing: ''})
  assert ran.status != 0
  assert f'{missing}: ' in ran.err
  assert ran.calls == []
