"""Accuracy of learning under each defence of a comparison, as long as there is time."""

import time

from mamljax import TrainedAccuracy
from mamljax.audit.metrics import Rate
from mamljax.defences import Defence


class InTime:
  """A measure of learning that leaves out what would not end in time.

  Defences share the time equally, and a measurement is expected to take as long as the longest
  before it. What is kept in a store is taken from there at any time; that of no defence, which
  comes first, is always measured: without it no loss is known.

  Attributes:
    late: the number of defences that were left out.
  """

  def __init__(self, measure: TrainedAccuracy, *, seconds: float, defences: int):
    self.late = 0
    self._measure, self._each = measure, seconds / defences
    self._begin, self._longest, self._asked = time.monotonic(), 0.0, 0

  def untrained(self) -> Rate:
    """The accuracy at the parameters that training begins with."""
    return self._measure.untrained()

  def check(self, defence: Defence | None) -> None:
    """Refuses a defence that nothing can be trained under."""
    self._measure.check(defence)

  def __call__(self, defence: Defence | None) -> Rate | None:
    """The accuracy under a defence; None if there is no time for it."""
    self._asked += 1
    if kept := self._measure.kept(defence):
      return kept
    begin = time.monotonic()
    if begin + self._longest > self._begin + self._asked * self._each and defence is not None:
      self.late += 1
      return None
    found = self._measure(defence)
    self._longest = max(self._longest, time.monotonic() - begin)
    return found
