"""Time of an audit: what attacks may take, and which of them would take too long."""

import math
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from mamljax.errors import InputError
from mamljax.reports.wording import duration

USUAL = 300.0  # seconds for attacks='auto': about what one waits for an answer
LATE = 'left out for time'
GRACE = 1.2  # of the budget: an attack that was let go on is not stopped for a slow minute


def seconds_of(budget: Any, *, is_auto: bool) -> float:
  """The seconds of a budget: as they are given, or the usual ones.

  Raises:
    InputError: if it is no number of seconds.
  """
  if budget is None:
    # Processes that play together would have to agree on whom to stop.
    return USUAL if is_auto and jax.process_count() == 1 else math.inf
  is_number = isinstance(budget, int | float | np.number) and not isinstance(budget, bool)
  if not is_number or not budget > 0:
    raise InputError(
      f'budget must be a number of seconds above 0, or math.inf for no limit, not {budget!r}'
    )
  return float(budget)


_HOW = 'ask for it by a greater budget, or budget=math.inf'


class Pace(NamedTuple):
  """Pace of an attack.

  Attributes:
    seconds: the time that its trials took so far, compilation apart.
    trials: the number of these.
    left: the number of trials that are left to it.
  """

  seconds: float
  trials: int
  left: int

  @property
  def each(self) -> float:
    """Seconds a decision."""
    return self.seconds / self.trials

  @property
  def ahead(self) -> float:
    """Seconds that it will still take."""
    return self.each * self.left


class Budget:
  """Clock of an audit, with the pace of every attack that is being played."""

  def __init__(self, seconds: float):
    self.seconds = seconds
    self._begin = time.perf_counter()
    self._paces: dict[str, Pace] = {}

  @property
  def spent(self) -> float:
    """Seconds since the beginning."""
    return time.perf_counter() - self._begin

  @property
  def left(self) -> float:
    """Seconds that are left, negative if none are."""
    return self.seconds - self.spent

  @property
  def ahead(self) -> float:
    """Seconds that the attacks being played will still take, as far as that is known."""
    return sum(pace.ahead for pace in self._paces.values())

  def unbegun(self) -> str:
    """The reason why an attack is left out that is not begun any more."""
    return f'{LATE}: {self._said()} before it was begun; {_HOW}'

  def too_slow(self, each: float, count: int, *, of: str) -> str:
    """The reason why an attack is stopped.

    Args:
      each: seconds of a decision.
      count: the number of its decisions in all.
      of: what these are about.
    """
    whole = f'about {duration(each * count)} for all {count} {of}'
    return (
      f'{LATE}: {duration(each)} a decision, {whole}, compilation apart; {self._said()}; {_HOW}'
    )

  def _said(self) -> str:
    """The time that was spent, in words."""
    return f'{duration(self.spent)} of budget={self.seconds:g} s were spent'

  def measure(self, name: str, block: Pace) -> dict[str, Pace]:
    """Takes the pace of an attack on a block of trials, and joins it to that on others.

    Returns:
      The attacks to stop, which are forgotten: while all together would not end in time, that
      with the most before it.
    """
    limit, stopped = self.seconds, {}
    if before := self._paces.get(name):
      limit *= GRACE
      joined = before.seconds + block.seconds, before.trials + block.trials
      block = Pace(*joined, left=block.left)
    self._paces[name] = block
    while self.ahead > 0 and self.spent + self.ahead > limit:
      slowest = max(self._paces, key=lambda other: self._paces[other].ahead)
      stopped[slowest] = self._paces.pop(slowest)
    return stopped

  def forget(self, name: str) -> None:
    """Leaves an attack, which has ended, out of what is ahead."""
    self._paces.pop(name, None)
