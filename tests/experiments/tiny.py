"""Sweeps small enough to run many of: noise images of 11 x 11 pixels, 3 steps, 12 trials."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from absl.testing import flagsaver

from experiments import sweep
from experiments.config.attacks import PLAYED
from experiments.config.columns import option_fields
from experiments.process import cli, subprocesses
from mamljax.networks import NETWORKS
from tests.experiments.configurations import OTHER_OPTIONS

ROOT = Path(__file__).parents[2]
CLASSES, PER_CLASS = 4, 20
TIMINGS = ('seconds_per_trial', 'compile_seconds')

# Eight cells that differ in numbers only, so that all of them are compiled once.
GRID = {
  'inner_learning_rates': '0.1,0.2',
  'noise_scales': '0.01,0.1',
  'tv_weight': '0.001,0.01',
}
# As many, of several blocks each, by an attack that is traced in no time, for other processes.
LOSS = {
  'attacks': 'loss',
  'trials': 64,
  'targets': 'query,support',
  'inner_learning_rates': '0.1,0.2',
  'noise_scales': '0.01,0.1',
}
OPTIONS = {
  'networks': 'mlp',
  'ways': 2,
  'defences': 'outgoing_gradient_noise',
  'noise_scales': 0.1,
  'iterations': 3,
  'chunk': 2,
  'trials': 8,
  'calibration_trials': 4,
}


class Ended(NamedTuple):
  """End of a command: its status, and what it printed."""

  status: int
  out: str
  err: str


class Finished(NamedTuple):
  """A sweep that has run."""

  npz: Path
  folder: Path
  ended: Ended


def write_npz(
  path: Path, *, size: int = 11, classes: int = CLASSES, per_class: int = PER_CLASS
) -> Path:
  """Images of noise, unless told otherwise 20 of each class."""
  images = np.random.default_rng(0).integers(
    0, 256, (classes * per_class, size, size), dtype=np.uint8
  )
  np.savez(path, images=images, labels=np.arange(len(images)) % classes)
  return path


def arguments(npz: Path, folder: Path, **options: Any) -> list[str]:
  """The command line of a tiny sweep on those images into that folder."""
  paths = {'datasets': f'npz:{npz}', 'output_dir': folder}
  return [f'--{name}={value}' for name, value in owned(OPTIONS | paths | options).items()]


def owned(options: dict[str, Any]) -> dict[str, Any]:
  """Flags, with options named by the attacks and networks asked for that have them."""
  owners = [*re.split('[+,]', options.get('attacks', 'reconstruction')), options['networks']]
  known = [f for owner in owners if owner in (*PLAYED, *NETWORKS) for f in option_fields(owner)]
  found: dict[str, Any] = {}
  for name, value in options.items():
    flags = [field.flag for field in known if field.attribute == name]
    found |= dict.fromkeys(flags if name in OTHER_OPTIONS else [name], value)
  return found


def run(argv: Sequence[str], *, main: Callable[[Sequence[str]], None] = sweep.main) -> Ended:
  """Runs a command as its module does, in this process; the flags are as before afterwards."""
  out, err = io.StringIO(), io.StringIO()
  program = f'{main.__module__.rpartition(".")[2]}.py'
  with (
    flagsaver.flagsaver(),
    mock.patch.object(sys, 'argv', [program, *argv]),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    try:
      cli.run(main)
    except SystemExit as ended:
      return Ended(int(ended.code or 0), out.getvalue(), err.getvalue())
  raise AssertionError('a command ends by exiting')


# The flags of some commands cannot live beside the sweep's: another process reads them.
_SAY = """
import contextlib, importlib, io, json, sys
from absl.testing import flagsaver
from experiments.process import cli

def say(argv):
  out, err = io.StringIO(), io.StringIO()
  sys.argv = [f'{name}.py', *argv]
  with flagsaver.flagsaver(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      cli.run(module.main)
    except SystemExit as ended:
      return ended.code, out.getvalue(), err.getvalue()

name = sys.argv[1]
module = importlib.import_module(f'experiments.{name}')
print(json.dumps([say(argv) for argv in json.loads(sys.argv[2])]))
"""


def mistaken(module: str, lines: Sequence[Sequence[str]]) -> list[Ended]:
  """Ends of a command after these command lines, all of them with a mistake."""
  code = [sys.executable, '-c', _SAY, module, json.dumps(lines)]
  done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True)
  return [Ended(*ended) for ended in json.loads(done.stdout.splitlines()[-1])]


def refused(ended: Ended, message: str, *, program: str = 'sweep') -> None:
  """One clear line, and nothing else."""
  assert ended.status == 2
  assert ended.out == ''
  assert ended.err.count('\n') == 1
  assert ended.err.startswith(f'{program}: ')
  assert 'Traceback' not in ended.err
  assert re.search(message, ended.err), ended.err


def start(
  argv: Sequence[str], *, module: str = 'sweep', devices: int = 1, **environment: str
) -> subprocess.Popen:
  """The command in a process of its own, with this many CPU devices."""
  return subprocess.Popen(
    [sys.executable, '-m', f'experiments.{module}', *argv],
    cwd=ROOT,
    env=os.environ | subprocesses.with_devices(devices) | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process: subprocess.Popen) -> Ended:
  """Waits for it."""
  out, err = process.communicate(timeout=300)
  return Ended(process.returncode, out, err)


def rows(folder: Path) -> list[dict[str, str]]:
  """The lines of results.csv, without what differs between two runs of the same."""
  with (folder / 'results.csv').open(newline='') as file:
    lines = list(csv.DictReader(file))
  return [{name: line[name] for name in line if name not in TIMINGS} for line in lines]


def cells(folder: Path) -> dict[str, dict[str, Any]]:
  """The content of every cell file, by the hash in its name."""
  paths = sorted((folder / 'cells').glob('*.json'))
  return {path.stem: json.loads(path.read_bytes()) for path in paths}


def scores(folder: Path) -> dict[str, list[list[float]]]:
  """The scores of the calibration and of the reported trials of every cell."""
  return {
    name: [content[phase]['scores'] for phase in ('calibration', 'trials')]
    for name, content in cells(folder).items()
  }
