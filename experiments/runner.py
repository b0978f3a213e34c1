"""One cell: a model, calibration trials and reported trials, and what they add up to."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import models, playing, results, stages
from experiments.examples import Examples
from experiments.grid import Cell
from mamljax import training
from mamljax.audit.combination import combine
from mamljax.audit.decision import choose_threshold
from mamljax.audit.metrics import evaluate
from mamljax.data import Splits
from mamljax.types import Params


def run_cell(
  cell: Cell, *, data_dir: Path | None, store_dir: Path, advance: Callable[[int], Any]
) -> tuple[results.CellResult, Examples | None]:
  """Computes a cell.

  Args:
    cell: what to compute.
    data_dir: where prepared data sets are.
    store_dir: where checkpoints are kept.
    advance: called with the number of trials done since it was last called.

  Returns:
    The result, on trials that are apart from those that chose the threshold, unless it is
    known beforehand; and the first reconstructions, if the attack makes any.
  """
  revision, splits = _revision(), models.splits_of(cell, data_dir)
  learned = max(cell.epoch, cell.learning_epoch)
  states = dict(
    models.trained_states(cell.model, [cell.epoch, learned], splits=splits, store_dir=store_dir)
  )
  phases = _play_all(cell, states[cell.epoch].params, splits, advance)
  report, calibrate, _ = phases
  result = results.CellResult(
    configuration=dataclasses.asdict(cell),
    seed=cell.seed,
    versions=results.versions(),
    git_revision=revision,
    device_kind=jax.devices()[0].device_kind,
    timings=_sum_up(phases),
    metrics=evaluate(
      report.trials.scores,
      report.trials.members,
      threshold=_threshold(cell, calibrate),
      tasks=report.trials.tasks,
      located=report.trials.located,
      seed=cell.seed,
    ),
    trials=report.trials,
    calibration=calibrate.trials,
    extra=_learning(cell, learned, states[learned], splits) | _labels(report) | _known(cell),
  )
  return result, report.examples


class Phases(NamedTuple):
  """What an attack made of the trials of a cell."""

  report: playing.Scored
  calibrate: playing.Scored
  timings: dict[str, float]


def _play_all(
  cell: Cell, params: Params, splits: Splits, advance: Callable[[int], Any]
) -> Phases:
  """Plays the trials of a cell with each part of its attack.

  Trials count as done when the last part has played them.
  """
  *others, last = cell.alone
  phases = [_play(part, cell, params, splits, lambda _: None) for part in others]
  phases.append(_play(last, cell, params, splits, advance))
  return phases[0] if len(phases) == 1 else _combine(phases)


def _play(
  part: Cell, cell: Cell, params: Params, splits: Splits, advance: Callable[[int], Any]
) -> Phases:
  """Plays a part of a cell's attack; no calibration trials where the threshold is known."""
  shared, timings = stages.share(part, params, splits.references)
  play = functools.partial(playing.play, part, shared, advance=advance)
  report = play(getattr(splits, cell.pool), stream=playing.REPORTED, count=cell.trials)
  if cell.threshold is not None:
    return Phases(report, playing.NOTHING, timings)
  count = cell.calibration_trials
  calibrate = play(splits.calibration, stream=playing.CALIBRATION, count=count)
  return Phases(report, calibrate, timings)


def _combine(phases: Sequence[Phases]) -> Phases:
  """The phases of a combination, whose weights its calibration trials choose."""
  calibrations = [part.calibrate.trials for part in phases]
  members = calibrations[0].members
  combination = combine(np.transpose([trials.scores for trials in calibrations]), members)

  def join(scored: Sequence[playing.Scored]) -> playing.Scored:
    scores = combination(np.transpose([part.trials.scores for part in scored]))
    return playing.Scored(
      scored[0].trials._replace(scores=scores.tolist()),
      examples=None,
      label_accuracy=None,
      seconds=sum(part.seconds for part in scored),
      compile_seconds=sum(part.compile_seconds for part in scored),
    )

  timings = {name: sum(part.timings[name] for part in phases) for name in phases[0].timings}
  reports, calibrated = ([getattr(p, kind) for p in phases] for kind in ('report', 'calibrate'))
  return Phases(join(reports), join(calibrated), timings)


def _sum_up(phases: Phases) -> dict[str, float]:
  """What a cell took, in seconds, and on how many devices."""
  report, calibrate, prepared = phases
  played = len(report.trials.scores) + len(calibrate.trials.scores)
  compiled = calibrate.compile_seconds + report.compile_seconds
  return prepared | {
    'seconds_per_trial': (calibrate.seconds + report.seconds) / played,
    'compile_seconds': prepared['compile_seconds'] + compiled,
    'devices': jax.device_count(),
  }


def _threshold(cell: Cell, calibrate: playing.Scored) -> float:
  """The threshold that is known, or that the calibration trials choose."""
  if cell.threshold is not None:
    return cell.threshold
  return choose_threshold(calibrate.trials.scores, calibrate.trials.members)


@functools.cache
def _revision() -> str | None:
  """The revision that this process runs: files that were edited since are not in it."""
  return results.git_revision()


def _learning(cell: Cell, epoch: int, state: training.State, splits: Splits) -> dict[str, Any]:
  """How well the model had learned, or goes on to learn, where that is asked for."""
  if not epoch and cell.learning_epoch < 0:
    return {}
  return {'learning': models.measure_learning(cell.model, epoch, state, splits)._asdict()}


def _labels(report: playing.Scored) -> dict[str, Any]:
  """How many labels were inferred rightly, where they were."""
  inferred = report.label_accuracy
  return {} if inferred is None else {'label_accuracy': inferred}


def _known(cell: Cell) -> dict[str, Any]:
  """That the threshold was not chosen on trials, where it was not."""
  return {} if cell.threshold is None else {'threshold': 'known beforehand'}
