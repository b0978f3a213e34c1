"""One cell: a model, calibration trials and reported trials, and what they add up to."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from experiments import models, playing, results
from experiments.examples import Examples
from experiments.grid import Cell
from mamljax import training
from mamljax.audit.decision import choose_threshold
from mamljax.audit.metrics import evaluate
from mamljax.data import Splits


def run_cell(
  cell: Cell, *, data_dir: Path | None, output_dir: Path, advance: Callable[[int], Any]
) -> tuple[results.CellResult, Examples | None]:
  """Computes a cell.

  Args:
    cell: what to compute.
    data_dir: where prepared data sets are.
    output_dir: where checkpoints are kept.
    advance: called with the number of trials done since it was last called.

  Returns:
    The result, on trials that are apart from those that chose the threshold, and the
    first reconstructions, if the attack makes any.
  """
  revision, splits = _revision(), models.splits_of(cell, data_dir)
  state = _trained(cell, splits, output_dir)
  play = functools.partial(playing.play, cell, state.params, advance=advance)
  calibrate = play(
    splits.calibration, stream=playing.CALIBRATION, count=cell.calibration_trials
  )
  report = play(getattr(splits, cell.pool), stream=playing.REPORTED, count=cell.trials)
  threshold = choose_threshold(calibrate.trials.scores, calibrate.trials.members)
  played = cell.trials + cell.calibration_trials
  result = results.CellResult(
    configuration=dataclasses.asdict(cell),
    seed=cell.seed,
    versions=results.versions(),
    git_revision=revision,
    device_kind=jax.devices()[0].device_kind,
    timings={
      'seconds_per_trial': (calibrate.seconds + report.seconds) / played,
      'compile_seconds': calibrate.compile_seconds + report.compile_seconds,
      'devices': jax.device_count(),
    },
    metrics=evaluate(
      report.trials.scores,
      report.trials.members,
      threshold=threshold,
      tasks=report.trials.tasks,
      seed=cell.seed,
    ),
    trials=report.trials,
    calibration=calibrate.trials,
    extra=_learning(cell, state, splits),
  )
  return result, report.examples


@functools.cache
def _revision() -> str | None:
  """The revision that this process runs: files that were edited since are not in it."""
  return results.git_revision()


def _trained(cell: Cell, splits: Splits, output_dir: Path) -> training.State:
  """The state of the cell's model after its epochs."""
  trained = models.trained_states(
    cell.model, [cell.epoch], splits=splits, output_dir=output_dir
  )
  return next(state for _, state in trained)


def _learning(cell: Cell, state: training.State, splits: Splits) -> dict[str, Any]:
  """How well the attacked model had learned, where it was trained."""
  if not cell.epoch:
    return {}
  tested = models.learning_accuracy(cell.model, state, splits)
  return {'learning_accuracy': float(tested.mean()), 'learning_tasks': len(tested)}
