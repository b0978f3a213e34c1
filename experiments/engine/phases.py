"""The phases of a cell: trials that are reported, and those that calibrate, of each part.

A part is an attack on one of the gradients that a task sends; most cells have one.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.config.attacks import is_bound
from experiments.config.cell import Cell
from experiments.config.streams import Stream
from experiments.engine import resumable
from experiments.engine.setting import make_setting
from experiments.store.trials import Keeper
from mamljax.audit.combination import combine
from mamljax.audit.decision import choose_threshold
from mamljax.data import Splits
from mamljax.types import Params


class Phases(NamedTuple):
  """Trials of a cell, scored by an attack in two phases."""

  report: resumable.Scored
  calibrate: resumable.Scored
  timings: dict[str, float]


def play_all(
  cell: Cell,
  params: Mapping[int, Params],
  splits: Splits,
  *,
  advance: Callable[[int], Any],
  keeper: Keeper,
) -> Phases:
  """Plays the trials of a cell with each part of its attack.

  Trials count as done when the last part has played them.

  Args:
    cell: what is played.
    params: the meta-knowledge w after each epoch that a gradient is sent at.
    splits: the images.
    advance: see `resumable.play`.
    keeper: see `resumable.play`.
  """
  *others, last = cell.alone
  if not others:
    return _play(last, cell, params, splits, advance, keeper)
  kept = {
    part: dataclasses.replace(
      keeper, name=f'{keeper.name}_{part.attack_name}_{part.game.epoch}'
    )
    for part in cell.alone
  }
  phases = [_play(p, cell, params, splits, lambda _: None, kept[p]) for p in others]
  phases.append(_play(last, cell, params, splits, advance, kept[last]))
  return _combine(cell, phases)


def _name(part: Cell) -> str:
  """The name of a part of an attack, unique within its cell."""
  return f'{part.attack_name}_{part.game.epoch}'


def _play(
  part: Cell,
  cell: Cell,
  params: Mapping[int, Params],
  splits: Splits,
  advance: Callable[[int], Any],
  keeper: Keeper,
) -> Phases:
  """Plays a part of a cell's attack; no calibration trials where the threshold is known."""
  setting, timings = make_setting(part, params[part.game.epoch], splits.references)
  play = functools.partial(
    resumable.play,
    part,
    setting,
    advance=advance,
    keeper=keeper,
    earlier=cell.game.epoch - part.game.epoch,
  )
  report = play(getattr(splits, cell.game.pool), stream=Stream.REPORTED, count=cell.game.trials)
  if cell.threshold is not None:
    return Phases(report, resumable.NOTHING, timings)
  count = cell.game.calibration_trials
  calibrate = play(splits.calibration, stream=Stream.CALIBRATION, count=count)
  return Phases(report, calibrate, timings)


def _combine(cell: Cell, phases: Sequence[Phases]) -> Phases:
  """The phases of a combination, whose weights its calibration trials choose.

  Those of a bound are known: the noise of each gradient is drawn anew, so that the logarithms
  of likelihood ratios add up.
  """
  if is_bound(cell.attack):
    combination = functools.partial(np.sum, axis=1)
  else:
    calibrations = [part.calibrate.trials for part in phases]
    scores = np.transpose([trials.scores for trials in calibrations])
    combination = combine(scores, calibrations[0].members)

  def join(scored: Sequence[resumable.Scored]) -> resumable.Scored:
    if not scored[0].trials.scores:
      return resumable.NOTHING
    scores = combination(np.transpose([part.trials.scores for part in scored]))
    return resumable.Scored(
      scored[0].trials._replace(scores=scores.tolist()),
      examples=None,
      label_accuracy=None,
      seconds=sum(part.seconds for part in scored),
      compile_seconds=sum(part.compile_seconds for part in scored),
      memory_bytes=max(part.memory_bytes for part in scored),
    )

  timings = {name: sum(part.timings[name] for part in phases) for name in phases[0].timings}
  reports, calibrated = ([getattr(p, kind) for p in phases] for kind in ('report', 'calibrate'))
  return Phases(join(reports), join(calibrated), timings)


def sum_up(phases: Phases) -> dict[str, float]:
  """Seconds spent on a cell, and the number of devices."""
  report, calibrate, prepared = phases
  played = len(report.trials.scores) + len(calibrate.trials.scores)
  compiled = calibrate.compile_seconds + report.compile_seconds
  return prepared | {
    'seconds_per_trial': (calibrate.seconds + report.seconds) / played,
    'compile_seconds': prepared['compile_seconds'] + compiled,
    'devices': jax.device_count(),
    'memory_bytes': report.memory_bytes,
  }


def choose(cell: Cell, calibrate: resumable.Scored) -> float:
  """The known threshold, or the one that the calibration trials choose."""
  if cell.threshold is not None:
    return cell.threshold
  return choose_threshold(calibrate.trials.scores, calibrate.trials.members)
