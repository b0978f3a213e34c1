"""Advice on defences: bounds that a defence must hold, and the reasons why one does not."""

import dataclasses
import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mamljax import checks
from mamljax.defences import Defence
from mamljax.errors import InputError
from mamljax.protocol.guarantees import PROTECTED, guaranteed
from mamljax.reports import wording
from mamljax.reports.defended import DefenceRow, Floor


class Bounds(NamedTuple):
  """Bounds that a defence must hold; None for those that are not asked.

  Attributes:
    epsilon: greatest epsilon of the guarantee.
    delta: the delta of it.
    rounds: the messages of one task that the guarantee is for.
    max_tpr: greatest true-positive rate of any attack on one update, at 1 % of false ones.
    max_accuracy_loss: greatest accuracy of learning that it may cost.
    floor: accuracies that learning must exceed wherever it is measured.
  """

  epsilon: float | None
  delta: float
  rounds: int
  max_tpr: float | None
  max_accuracy_loss: float | None
  floor: Floor

  @property
  def over(self) -> str:
    """The delta and the rounds of a guarantee, in words."""
    return f'delta {self.delta:g} over {self.rounds} round{"s" * (self.rounds != 1)}'

  @property
  def told(self) -> tuple[str, ...]:
    """The bounds that are asked, each in words."""
    bounds = {
      f'a guarantee of epsilon {{:g}} or less at {self.over}': self.epsilon,
      'a TPR of {:g} or less at 1 % FPR, of every attack': self.max_tpr,
      'a loss of {:g} or less of the accuracy of learning': self.max_accuracy_loss,
    }
    return tuple(told.format(most) for told, most in bounds.items() if most is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommendation:
  """The defence to choose of a study, or none.

  Attributes:
    name: the name of the defence; None if none holds what was asked.
    defence: the defence, for `Learner(defence=...)`; None likewise.
    answer: the answer in a sentence.
    reason: the answer with the reasons, in a sentence or two.
    reasons: of each defence the bounds that it does not hold, in words; () if it holds all.
    asked: the bounds, in words.
    warnings: what may make the leak of the chosen one greater than is reported.
  """

  name: str | None
  defence: Defence | None
  answer: str
  reason: str
  reasons: dict[str, tuple[str, ...]]
  asked: tuple[str, ...]
  warnings: tuple[str, ...] = ()

  def __str__(self) -> str:
    lists = {'What does not hold it': self.missed, 'Warnings': self.warnings}
    return wording.paragraphs(self.answer, [], lists)

  @property
  def missed(self) -> list[str]:
    """A sentence for each defence that does not hold what was asked, with the reasons."""
    missed = {name: reasons for name, reasons in self.reasons.items() if reasons}
    return [f'{name}: {"; ".join(reasons)}.' for name, reasons in missed.items()]


def check(bounds: Bounds) -> None:
  """Refuses bounds that are none, or cannot be meant."""
  given = bounds.epsilon, bounds.max_tpr, bounds.max_accuracy_loss
  if all(bound is None for bound in given):
    raise InputError('recommend needs a bound: epsilon, max_tpr or max_accuracy_loss')
  checks.whole('rounds', bounds.rounds, least=1)
  epsilon = bounds.epsilon
  if epsilon is not None and not (_is_number(epsilon) and 0 < epsilon < math.inf):
    raise InputError(f'epsilon must be a finite number above 0, such as 8.0, not {epsilon!r}')
  for name in ('max_tpr', 'max_accuracy_loss'):
    value = getattr(bounds, name)
    if value is not None and not (_is_number(value) and 0 <= value <= 1):
      raise InputError(f'{name} must be a number from 0 to 1, such as 0.1, not {value!r}')


def _is_number(value: Any) -> bool:
  return isinstance(value, numbers.Real) and not isinstance(value, bool)


def recommend(rows: Sequence[DefenceRow], bounds: Bounds) -> Recommendation:
  """The defence with the least loss of accuracy of those that hold all bounds.

  Among equals the one with the least worst attack is taken. Each bound must hold by the
  unfavourable end of its interval; what was not measured does not hold.

  Args:
    rows: the measures of each defence, that of no defence among them, which is not chosen.
    bounds: what must hold.
  """
  reasons = {row.name: tuple(failures(row, bounds)) for row in rows}
  fit = [row for row in rows if row.defence is not None and not reasons[row.name]]
  bare = any(row.defence is None and not reasons[row.name] for row in rows)
  more = ' Learning without a defence holds it, too.' * bare
  if not fit:
    return _none(reasons, [row.name for row in rows if row.defence is not None], more, bounds)
  best = min(fit, key=_cost)
  told = '; '.join(_held(best, bounds))
  among = 'the only one' if len(fit) == 1 else f'of {len(fit)} the one with the least loss'
  if best.loss is None:
    among = among.replace('loss', 'leak')
  answer = f'{best.name} holds what was asked, {among}: {told}.{more}'
  return Recommendation(
    name=best.name,
    defence=best.defence,
    answer=answer,
    reason=answer,
    reasons=reasons,
    asked=bounds.told,
    warnings=(*best.warnings, *_beyond(bounds)),
  )


def _none(
  reasons: dict[str, tuple[str, ...]], defended: Sequence[str], more: str, bounds: Bounds
) -> Recommendation:
  """The advice to choose none of some defences."""
  answer = f'None of these {len(defended)} defences holds what was asked.'
  if len(defended) == 1:
    answer = 'The only defence does not hold what was asked.'
  whys = [f'{name}: {", and ".join(reasons[name])}' for name in defended]
  return Recommendation(
    name=None,
    defence=None,
    answer=answer + more,
    reason=f'{answer} {"; ".join(whys)}.{more}',
    reasons=reasons,
    asked=bounds.told,
  )


def failures(row: DefenceRow, bounds: Bounds) -> Iterator[str]:
  """The bounds that a defence does not hold, each with the reason and by how much."""
  if bounds.epsilon is not None:
    yield from _unguaranteed(row, bounds, float(bounds.epsilon))
  if bounds.max_tpr is not None:
    yield from _attacked(row, float(bounds.max_tpr))
  if bounds.max_accuracy_loss is not None:
    yield from _costly(row, float(bounds.max_accuracy_loss))
  if row.learning is not None and not row.learns(bounds.floor):
    yield (
      f'it is not shown to learn: accuracy {wording.plain(row.learning)}, and '
      f'{bounds.floor.told}'
    )


def _unguaranteed(row: DefenceRow, bounds: Bounds, most: float) -> Iterator[str]:
  """The reason why a guarantee is too weak, or none."""
  epsilon = _epsilon(row, bounds)
  if epsilon is None:
    yield f'{_unprotected(row)}, and epsilon={most:g} was asked'
  elif epsilon > most:
    yield (
      f'it guarantees epsilon {wording.at_most(epsilon)} at {bounds.over}, '
      f'{wording.at_most(epsilon - most)} above {most:g}'
    )


def _epsilon(row: DefenceRow, bounds: Bounds) -> float | None:
  """The epsilon that a defence guarantees to a task over the rounds that are asked for."""
  return guaranteed(row.defence, delta=bounds.delta, rounds=bounds.rounds)


def _unprotected(row: DefenceRow) -> str:
  """The want of a guarantee for a whole task, in words."""
  parts = [PROTECTED[name] for name in row.narrower]
  if not parts:
    return 'it guarantees nothing'
  return f'it guarantees nothing for a whole task, only for {" or ".join(parts)}'


def _attacked(row: DefenceRow, most: float) -> Iterator[str]:
  """The reasons why attacks may find too much, or were not measured."""
  if row.worst is None:
    yield f'no attack was measured ({row.failure}), and max_tpr={most:g} was asked'
    return
  tpr = row.worst.tpr_at_fpr_1pct
  if not row.worst.informed:
    yield f'no attack that was played models it, and max_tpr={most:g} was asked'
  if tpr is None:
    yield f'TPR at 1 % FPR was not measured, which takes 200 trials, and max_tpr={most:g} asked'
  elif tpr.high > most:
    yield (
      f'{row.worst.tpr_attack} may have a TPR of {wording.at_most(tpr.high)} at 1 % FPR, '
      f'{wording.at_most(tpr.high - most)} above {most:g}'
    )


def _costly(row: DefenceRow, most: float) -> Iterator[str]:
  """The reason why a defence may cost too much accuracy, or that was not measured."""
  if row.loss is None:
    yield f'accuracy of learning was not measured, and max_accuracy_loss={most:g} was asked'
  elif row.loss.high > most:
    yield (
      f'it may lose {wording.at_most(row.loss.high)} of the accuracy of learning, '
      f'{wording.at_most(row.loss.high - most)} above {most:g}'
    )


def _cost(row: DefenceRow) -> tuple[float, float, float]:
  """The order of defences that hold all bounds: unfavourable ends, unmeasured ones last."""
  worst = row.worst
  tpr = worst.tpr_at_fpr_1pct if worst else None
  rates = row.loss, tpr, worst and worst.accuracy
  loss, tpr_high, accuracy = (math.inf if rate is None else rate.high for rate in rates)
  return loss, tpr_high, accuracy


def _held(row: DefenceRow, bounds: Bounds) -> Iterator[str]:
  """Guarantee, worst attack and cost of the chosen defence, in words."""
  epsilon = _epsilon(row, bounds)
  if epsilon is None:
    yield _unprotected(row)
  else:
    yield (
      f'it guarantees epsilon {wording.at_most(epsilon)} at {bounds.over}, where a task is '
      f'replaced by another'
    )
  if row.worst is None:
    yield f'no attack was measured ({row.failure})'
  else:
    worst = row.worst
    tpr = worst.tpr_at_fpr_1pct
    more = f', and the greatest TPR at 1 % FPR is {wording.plain(tpr)}' if tpr else ''
    found = f'{worst.attack} decides {wording.percent(worst.accuracy)} of the trials rightly'
    yield f'of one update, the worst attack {found}{more}'
  if row.loss is None:
    yield 'what it costs was not measured'
  else:
    yield f'learning loses {wording.plain(row.loss)} of its accuracy'


def _beyond(bounds: Bounds) -> Iterator[str]:
  """Warnings about what attacks were not measured on."""
  if bounds.epsilon is None:
    yield 'No guarantee was asked for: attacks that were not played may find more.'
  if bounds.rounds > 1:
    yield f'Attacks were measured on one update: {bounds.rounds} of the same task tell more.'
