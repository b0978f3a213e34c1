"""Looks at an attack while it is played, which ends where its interval is narrow enough.

An interval of 95 % holds after a number of trials that was fixed beforehand. Whoever looks
after many, and stops when something seems to be shown, is misled more often than one time in
twenty. So looks are few here, and taken after numbers of trials that are known before the
first: each of K looks has a share 1 / K of the risk. With 95 % the statements of all looks then
hold together, and among them those of the look at which play ends, for whatever reason it does.
That goes for all that is computed at `shared` confidence: not for the interval of the accuracy
alone, but for true-positive rates, bounds of epsilon, the best of several attacks and tests of
ranks as well.

A confidence sequence, such as the beta-binomial mixture of Robbins (1970), allows for a look
after every trial, but of a count alone, not of a true-positive rate, and is wider for it: with
an interval of 5 % to either side it ends after 1,264 trials at an accuracy of 50 %, after 160
at 100 %. The looks here end after 648 and 104: the first is at the fewest trials that can be
enough, those of an attack that never errs, the last where any accuracy has an interval so
narrow, and those between are a factor of two apart, or less.

Members and non-members take turns: after an even number there are as many of each.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from mamljax.audit.certainty import CONFIDENCE, best_rate, lower_bound, upper_bound
from mamljax.audit.metrics import Rate
from mamljax.errors import InputError

_STEP = 8  # looks are at multiples of it: trials are played so many at a time
_APART = 2.0  # from one look to the next, at most
_MANY = 10**9  # trials, more than any interval that is asked for needs
_TRIED = 201  # counts about the half, of which one has the widest interval


class Looks(NamedTuple):
  """Numbers of trials at which an attack may end.

  Attributes:
    sizes: rising; the last ends every attack.
    most: the trials that were asked for at most: the last, unless fewer are always enough.
    interval: the half-width that is narrow enough; None to play all trials.
  """

  sizes: tuple[int, ...]
  most: int
  interval: float | None = None

  @property
  def number(self) -> int:
    """The number of looks."""
    return len(self.sizes)

  def rate(self, right: int, total: int) -> Rate:
    """The accuracy after so many trials, with an interval that allows for all looks."""
    return best_rate([right], total, confidence=shared(CONFIDENCE, self.number))

  def end(self, right: np.ndarray) -> int | None:
    """The number of trials at which an attack ends; None if that is not known yet.

    Args:
      right: of the trials that were played so far whether each was decided rightly, [n].
    """
    for size in self.sizes:
      if size > len(right):
        return None
      if size == self.sizes[-1] or self._is_narrow(int(right[:size].sum()), size):
        return size
    return None

  def _is_narrow(self, right: int, total: int) -> bool:
    """Tests whether the interval reaches no further than was asked to either side."""
    return self.interval is not None and half_width(self.rate(right, total)) <= self.interval


def half_width(rate: Rate) -> float:
  """The distance from an estimate to the further end of its interval."""
  return max(rate.value - rate.low, rate.high - rate.value)


def shared(confidence: float, looks: int) -> float:
  """The confidence of each of several looks at which all hold together with a given one.

  >>> '{:.4f} {:.2f}'.format(shared(0.95, 4), shared(0.95, 1))
  '0.9875 0.95'
  """
  return confidence + (1 - confidence) * (1 - 1 / looks)


def plan_looks(most: int, interval: Any) -> Looks:
  """The looks at attacks of up to `most` trials, known before any is played.

  Args:
    most: the most trials.
    interval: the half-width that is narrow enough, above 0 and below 1/2; None to play all.

  Raises:
    InputError: if the interval is none of these.

  >>> plan_looks(2000, 0.05).sizes, plan_looks(600, 0.05).sizes, plan_looks(600, None).sizes
  ((104, 192, 360, 648), (104, 192, 336, 600), (600,))
  """
  if interval is None:
    return Looks((most,), most)
  _check(interval)
  count = 1
  while True:
    risk = (1 - shared(CONFIDENCE, count)) / 2
    first = _rounded(math.log(risk) / math.log1p(-interval))
    last = _enough(interval, risk, most)
    if last <= first * _APART ** (count - 1):
      return Looks(_between(min(first, last), last, count), most, float(interval))
    count += 1


def always_enough(interval: float) -> int:
  """The trials after which any accuracy has an interval so narrow."""
  return plan_looks(_MANY, interval).sizes[-1]


def _enough(interval: float, risk: float, most: int) -> int:
  """The trials at which any accuracy has an interval so narrow, or the most that there are."""
  low, high = 0, most // _STEP + 1
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (low, middle) if _widest(_STEP * middle, risk) <= interval else (middle, high)
  return min(_STEP * high, most)


def _widest(total: int, risk: float) -> float:
  """The greatest half-width after so many trials: that of an accuracy of about 1/2."""
  reach = min(math.ceil(2 * math.sqrt(total)), total // 2)
  right = np.unique(np.linspace(total // 2 - reach, total // 2 + reach, _TRIED).astype(int))
  low, high = lower_bound(right, total, risk), upper_bound(right, total, risk)
  return float(np.maximum(right / total - low, high - right / total).max())


def _between(first: int, last: int, count: int) -> tuple[int, ...]:
  """Numbers from the first to the last, each about as many times that before it."""
  inner = map(_rounded, np.geomspace(first, last, count)[1:-1])
  return tuple(sorted({first, *(size for size in inner if size < last), last}))


def _rounded(size: float) -> int:
  """The next number at which a look may be."""
  return _STEP * math.ceil(size / _STEP)


def _check(interval: Any) -> None:
  """Refuses what no interval can be as narrow as, and what every one is."""
  is_number = isinstance(interval, int | float | np.number) and not isinstance(interval, bool)
  if not is_number or not 0 < interval < 0.5:
    raise InputError(
      f'interval must be a half-width above 0 and below 0.5, such as 0.05, not {interval!r}'
    )
