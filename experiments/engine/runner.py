"""One cell: a model, calibration trials, reported trials, and the result of both."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import logging

from experiments.config.cell import Cell
from experiments.config.columns import configuration
from experiments.engine import models, resumable
from experiments.engine.phases import choose, play_all, sum_up
from experiments.engine.precision import gradient_error
from experiments.process import provenance
from experiments.store import cells
from experiments.store.reconstructions import Examples
from experiments.store.trials import Keeper, progress_folder
from mamljax import training
from mamljax.audit.metrics import Metrics, evaluate
from mamljax.data import Splits


def run_cell(
  cell: Cell,
  *,
  data_dir: Path | None,
  store_dir: Path,
  advance: Callable[[int], Any],
  save_seconds: float = 30.0,
) -> tuple[cells.CellResult, Examples | None]:
  """Computes a cell.

  Args:
    cell: what to compute.
    data_dir: where prepared data sets are.
    store_dir: where checkpoints, and trials of unfinished cells, are kept.
    advance: called with the number of trials done since it was last called.
    save_seconds: how often they are.

  Returns:
    The result, on trials that are apart from those that chose the threshold, unless it is
    known beforehand; and the first reconstructions, if the attack makes any.
  """
  revision = _revision()
  splits = models.splits_of(cell, data_dir, learners=models.learners_of(cell))
  kept: dict[str, Any] = {'store_dir': store_dir, 'save_seconds': save_seconds}
  learned = max(cell.game.epoch, cell.game.learning_epoch)
  epochs = [*(part.game.epoch for part in cell.alone), learned]
  states = dict(models.trained_states(cell.recipe, epochs, splits=splits, **kept))
  phases = play_all(
    cell,
    {epoch: state.params for epoch, state in states.items()},
    splits,
    advance=advance,
    keeper=_keeper(cell, **kept),
  )
  report, calibrate, _ = phases
  result = cells.CellResult(
    configuration=configuration(cell),
    seed=cell.seed,
    versions=provenance.versions(),
    git_revision=revision,
    device_kind=jax.devices()[0].device_kind,
    timings=sum_up(phases),
    metrics=_judge(cell, report.trials, choose(cell, calibrate)),
    trials=report.trials,
    calibration=calibrate.trials,
    extra=_learning(cell, learned, states[learned], splits)
    | _labels(report)
    | _known(cell)
    | _error(cell, states[cell.game.epoch], splits),
  )
  return result, report.examples


def _judge(cell: Cell, trials: cells.Trials, threshold: float) -> Metrics:
  """The metrics of the scores of the reported trials."""
  return evaluate(
    trials.scores,
    trials.members,
    threshold=threshold,
    tasks=trials.tasks,
    located=trials.located,
    seed=cell.seed,
  )


def _keeper(cell: Cell, store_dir: Path, save_seconds: float) -> Keeper:
  """The keeper of a cell's trials, valid for the same code on the same kind of device only."""
  stamp = [provenance.versions(), provenance.code_key(), jax.devices()[0].device_kind]
  return Keeper(
    progress_folder(store_dir), cells.cell_hash(cell), json.dumps(stamp), every=save_seconds
  )


@functools.cache
def _revision() -> str | None:
  """The revision that this process runs, without files edited since."""
  return provenance.git_revision()


def _learning(cell: Cell, epoch: int, state: training.State, splits: Splits) -> dict[str, Any]:
  """The learning metrics of the attacked model and of its further training, if asked for."""
  if not epoch and cell.game.learning_epoch < 0:
    return {}
  return {'learning': models.measure_learning(cell.recipe, epoch, state, splits)._asdict()}


def _labels(report: resumable.Scored) -> dict[str, Any]:
  """The share of labels inferred correctly, if the attack infers labels."""
  inferred = report.label_accuracy
  return {} if inferred is None else {'label_accuracy': inferred}


def _known(cell: Cell) -> dict[str, Any]:
  """A remark that the threshold was known beforehand, if it was."""
  return {} if cell.threshold is None else {'threshold': 'known beforehand'}


def _error(cell: Cell, state: training.State, splits: Splits) -> dict[str, Any]:
  """The error of a gradient at a lower precision than float32, if one was chosen."""
  precision = cell.model.matmul_precision
  if precision == 'highest':
    return {}
  error = gradient_error(cell.recipe, state.params, splits.calibration)
  logging.info(
    'matrix products of precision %s move a gradient by %.1e of its norm', precision, error
  )
  return {'gradient_error': error}
