"""How much of what is possible an attack finds: its AUC beside that of the ceiling."""

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.config.attacks import PLAYED
from experiments.config.columns import describe
from experiments.store.cells import Summary
from mamljax.audit.likelihood_ratio import BOUNDS

# What makes no other game: how an attack is run, what it is told, how many trials are played.
_APART = (
  *('attack', 'chunk', 'trials', 'calibration_trials'),
  *('withheld', 'references', 'assumed_order'),
)


def ceilings(results: Sequence[Summary]) -> dict[str, Summary]:
  """The bound of each attack's game, by the hash of the attack's cell, where it is given."""
  bounds = {_game(result): result for result in results if is_bound(result)}
  found = ((result, bounds.get(_game(result))) for result in results if not is_bound(result))
  return {result.hash: bound for result, bound in found if bound is not None}


def share(result: Summary, bound: Summary) -> float | None:
  """(AUC - 1/2) / (AUC of the bound - 1/2); None where there is nothing to share.

  Both are estimates, each of its own trials' noise: near the ceiling it may exceed 1.
  """
  if result.metrics.auc is None or bound.metrics.auc is None:
    return None
  possible = bound.metrics.auc.value - 0.5
  return (result.metrics.auc.value - 0.5) / possible if possible > 0 else None


def is_bound(result: Summary) -> bool:
  """Whether a cell is no attack, but what none can pass."""
  return result.columns['attack'] in BOUNDS


def statements(results: Sequence[Summary]) -> Iterator[str]:
  """A line for each attack whose ceiling is given."""
  bounds = ceilings(results)
  for result in results:
    bound = bounds.get(result.hash)
    part = share(result, bound) if bound is not None else None
    if bound is None or part is None:
      continue
    found, possible = (cell.metrics.auc.value for cell in (result, bound) if cell.metrics.auc)
    name = describe(result.cell)
    yield f'{name}: AUC {found:.3f} of at most {possible:.3f}, {part:.0%} of the ceiling'


def _game(result: Summary) -> tuple[tuple[str, Any], ...]:
  """What an attack and its bound must share."""
  fields = result.columns.items()
  return tuple(
    (name, value)
    for name, value in fields
    if name not in _APART and name.rpartition('.')[0] not in PLAYED
  )
