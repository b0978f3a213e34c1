"""The setting of a cell's trials: the adversary's knowledge, and the prepared attack."""

import dataclasses
import functools

import jax

from experiments.config.attacks import is_bound
from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from experiments.engine import models, protocols
from experiments.engine.preparing import prepare_once
from mamljax.attacks import Knowledge
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.base import tell
from mamljax.audit.trials import Setting
from mamljax.data import Splits
from mamljax.errors import InputError
from mamljax.tasks import first_of_each
from mamljax.training import Training
from mamljax.types import Params, Pool


def make_setting(
  cell: Cell, params: Params, references: Pool
) -> tuple[Setting, dict[str, float]]:
  """The setting of a cell's trials, and the seconds that preparing and compiling it took.

  A bound, which is no adversary's, prepares nothing.

  Args:
    cell: a cell of one attack on one gradient.
    params: the meta-knowledge w.
    references: public images; the attack gets as many of each class as the cell says, or as
      the smallest class has, if it requires any.

  Raises:
    Diverged: if what is prepared is not finite.
  """
  described, attack = models.describe_training(cell, params=params), cell.attack
  if is_bound(attack):
    knowledge = Knowledge(described.loss_fn, params, target=cell.game.target)
    prepared, seconds = None, {'prepare_seconds': 0.0, 'compile_seconds': 0.0}
  else:
    knowledge = _know(cell, described, params, references)
    key = stream_key(cell.seed, Stream.PREPARATION)
    prepared, seconds = prepare_once(key, attack, knowledge)
  setting = Setting(
    knowledge=knowledge,
    prepared=prepared,
    attack=attack,
    inner=described.inner,
    defence=described.defence,
    rules=cell.rules,
    chunk=cell.execution.chunk,
  )
  return setting, seconds


def refusal(cell: Cell, splits: Splits) -> str | None:
  """The reason why an attack cannot be run on a cell's network; None if it can.

  Nothing is computed.
  """

  def known(part: Cell) -> Knowledge:
    params = models.initial_state(part.recipe, splits).params
    described = models.describe_training(part, params=params)
    return _know(part, described, params, splits.references)

  shape = splits.victims.images.shape[1:]
  for part in cell.alone:
    if is_bound(part.attack):
      continue
    try:
      knowledge = jax.eval_shape(functools.partial(known, part))
    except InputError as error:
      return str(error)
    if reason := inapplicable(part.attack, knowledge, shape):
      return reason
  return None


def _know(cell: Cell, described: Training, params: Params, references: Pool) -> Knowledge:
  """The adversary's knowledge, reduced to the requirements of its attack."""
  order = cell.game.assumed_order or cell.inner.order
  everything = Knowledge(
    described.loss_fn,
    params,
    inner=protocols.assumed(described.inner, order),
    references=references,
    defence=described.defence,
    target=cell.game.target,
    ways=cell.task.ways,
    shots=cell.task.shots,
    withheld=cell.game.withheld_names,
  )
  known = tell(cell.attack, everything)
  if known.references is None:
    return known
  count = cell.game.references or 0
  return dataclasses.replace(known, references=first_of_each(references, count))
