"""Share of the ceiling that an attack reaches: its AUC beside that of the upper bound."""

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.config.attacks import PLAYED
from experiments.config.columns import describe
from experiments.store.cells import Summary
from mamljax.audit.likelihood_ratio import BOUNDS

# Fields in which cells of the same game differ: the attack, the way it is run, the knowledge it
# is given and the number of trials. They do not move the upper bound.
_FIELDS_OF_ATTACKS = (
  *('attack', 'chunk', 'trials', 'calibration_trials'),
  *('withheld', 'references', 'assumed_order'),
)


def ceilings(results: Sequence[Summary]) -> dict[str, Summary]:
  """The bound for each attack that has one among the results, by the hash of its cell."""
  bounds = {_game(result): result for result in results if is_bound(result)}
  attacks = ((result, bounds.get(_game(result))) for result in results if not is_bound(result))
  return {result.hash: bound for result, bound in attacks if bound is not None}


def share(result: Summary, bound: Summary) -> float | None:
  """The share (AUC - 1/2) / (AUC of the bound - 1/2); None if the bound is not above 1/2.

  Both AUCs are estimates from separate trials, so a share near 1 may exceed it.
  """
  if result.metrics.auc is None or bound.metrics.auc is None:
    return None
  possible = bound.metrics.auc.value - 0.5
  return (result.metrics.auc.value - 0.5) / possible if possible > 0 else None


def is_bound(result: Summary) -> bool:
  """Tests whether a cell is an upper bound on attacks instead of an attack."""
  return result.columns['attack'] in BOUNDS


def statements(results: Sequence[Summary]) -> Iterator[str]:
  """A line of text for each attack whose bound is among the results."""
  bounds = ceilings(results)
  for result in results:
    bound = bounds.get(result.hash)
    fraction = share(result, bound) if bound is not None else None
    if bound is None or fraction is None:
      continue
    auc, highest = (cell.metrics.auc.value for cell in (result, bound) if cell.metrics.auc)
    name = describe(result.cell)
    yield f'{name}: AUC {auc:.3f} of at most {highest:.3f}, {fraction:.0%} of the ceiling'


def _game(result: Summary) -> tuple[tuple[str, Any], ...]:
  """The fields of a cell, with their values, that an attack and its bound have in common."""
  fields = result.columns.items()
  return tuple(
    (name, value)
    for name, value in fields
    if name not in _FIELDS_OF_ATTACKS and name.rpartition('.')[0] not in PLAYED
  )
