"""Scores as a file of the tests: `python -m tests.golden.recording [LABEL...]` writes it anew.

It is written only where scores are meant to change, in a commit whose message says why.
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import tqdm

from experiments.config.cell import Cell
from experiments.engine import models, phases
from experiments.process import cli
from experiments.store import trials
from tests.golden import cases

FILE = Path(__file__).with_name('scores.json')


def play(cell: Cell) -> dict[str, list[str]]:
  """The scores of a cell's trials, every bit of them, and those of each part of its attack."""
  parts = cell.alone if len(cell.alone) > 1 else []
  names = {f'{part.attack_name} {part.game.epoch}': part for part in parts} | {'scores': cell}
  with tempfile.TemporaryDirectory() as folder:
    return {name: _scores(part, Path(folder)) for name, part in names.items()}


def _scores(cell: Cell, store_dir: Path) -> list[str]:
  """The scores of the reported trials of a cell."""
  splits = models.splits_of(cell, None)
  epochs = {part.game.epoch for part in cell.alone}
  states = models.trained_states(cell.recipe, epochs, splits=splits, store_dir=store_dir)
  keeper = trials.Keeper(trials.progress_folder(store_dir), 'cell', '', every=float('inf'))
  played = phases.play_all(
    cell,
    {epoch: state.params for epoch, state in states},
    splits,
    advance=lambda _: None,
    keeper=keeper,
  )
  return [float(score).hex() for score in played.report.trials.scores]


def machine() -> dict[str, Any]:
  """The parts of a machine that the last bits of a score depend on."""
  told = {'processor': _processor(), 'jax': jax.__version__, 'devices': jax.device_count()}
  return told | {'flags': os.environ.get('XLA_FLAGS', '')}


def _processor() -> str:
  """The number and model of the processors, where Linux tells them, else the architecture."""
  information = Path('/proc/cpuinfo')
  lines = information.read_text().splitlines() if information.exists() else []
  names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
  return f'{len(names)} x {names[0]}' if names else platform.machine()


def main(labels: list[str]) -> None:
  """Plays cases, or all, and writes their scores beside those on record.

  If those were made elsewhere no machine is named: of several, last bits agree on none.
  """
  cli.use_all_cores()
  cli.cache_compilations()
  before = json.loads(FILE.read_bytes()) if labels and FILE.exists() else {}
  here = machine()
  scores = before.get('scores', {})
  scores |= {
    label: play(cases.make_cell(label)) for label in tqdm.tqdm(labels or cases.OPTIONS)
  }
  ordered = {label: scores[label] for label in cases.OPTIONS}
  is_one = before.get('machine', here) == here
  content = {'machine': here if is_one else None, 'scores': ordered}
  FILE.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
  main(sys.argv[1:])
