"""Conformal p-values of candidates against non-members, and decisions on many at once.

Were a candidate no member, its score would be as likely to have any rank among the scores of
public images that are none either (Vovk et al., 2005). So the share of ranks as high as its own
is a p-value: exact for any attack and any distribution, if the candidate and the public images
are alike in all but membership.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from mamljax.audit.decision import finite


def p_value(score: float, nulls: ArrayLike) -> float:
  """The p-value of one score against those of non-members: (1 + #{null >= score}) / (1 + m).

  >>> p_value(3.0, [1.0, 2.0, 4.0])
  0.5
  """
  nulls = finite(nulls)
  return float((1 + np.sum(nulls >= score)) / (1 + nulls.size))


def smallest_p(count: int) -> float:
  """The smallest p-value that so many non-members allow."""
  return 1 / (1 + count)


def combined(rounds: ArrayLike) -> np.ndarray:
  """One score of each image from those of several rounds: the sum of their normal scores.

  Ranks within a round become quantiles of a Gaussian, so that rounds of different scales count
  alike. All images are treated alike, which keeps p-values exact.

  Args:
    rounds: scores [rounds, images], the candidate's among them.
  """
  rounds = finite(rounds)
  ranks = scipy.stats.rankdata(rounds, axis=1)
  return scipy.special.ndtri((ranks - 0.5) / rounds.shape[1]).sum(axis=0)


def benjamini_hochberg(p_values: ArrayLike, level: float) -> np.ndarray:
  """The candidates to call, by the procedure of Benjamini and Hochberg (1995): booleans [n].

  The k lowest p-values are called, k the greatest number for which the k-th is at most
  level * k / n. Against common non-members p-values are positively dependent, so that the
  expected share of non-members among those called is at most `level` (Bates et al., 2023). No
  candidate is called whose own p-value is above `level`: a non-member is called with at most
  that probability.

  >>> benjamini_hochberg([0.01, 0.04, 0.9], 0.05)
  array([ True, False, False])
  """
  p_values = finite(p_values)
  order = np.sort(p_values)
  passing = np.flatnonzero(order <= level * np.arange(1, order.size + 1) / order.size)
  if not passing.size:
    return np.zeros(p_values.size, bool)
  return p_values <= order[passing[-1]]


def fewest_callable(smallest: float, level: float, count: int) -> int | None:
  """The least number of candidates, all at the smallest p-value, that can be called together.

  Args:
    smallest: that p-value.
    level: that of `benjamini_hochberg`.
    count: the number of candidates.

  Returns:
    The number, or None where not even all of them can be.
  """
  numbers = np.arange(1, count + 1)
  enough = numbers[smallest <= level * numbers / count]
  return int(enough[0]) if enough.size else None
