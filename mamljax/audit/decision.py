"""Decisions from scores: 'member' if the score lies above a threshold.

The threshold is chosen on calibration trials, which are never the trials reported.
"""

import numpy as np
from numpy.typing import ArrayLike


def choose_threshold(scores: ArrayLike, members: ArrayLike) -> float:
  """The threshold that decides most calibration trials rightly.

  Candidates are the midpoints between neighbouring distinct scores and one just outside
  either end. Among equally accurate candidates the (lower) median in score order is
  taken: it lies amid the range that the trials cannot tell apart, and does not depend on
  the scale of the scores, so a rising transform of them leaves every decision on the
  calibration trials as it was.

  Args:
    scores: [n] finite numbers, n >= 1; higher means 'member'.
    members: [n] booleans, the truth.

  Returns:
    A threshold for `decide`; on these trials its accuracy is at least that of the better
    constant answer.

  Raises:
    ValueError: if there are no trials, or scores that are not finite.

  >>> choose_threshold([0.1, 0.2, 0.6, 0.9], [False, False, True, True])
  0.4
  """
  scores, members = paired(scores, members)
  if not scores.size:
    raise ValueError('a threshold needs at least one calibration trial')
  distinct, index = np.unique(scores, return_inverse=True)
  truths = np.bincount(index, weights=np.where(members, -1, 1))
  # Candidate i lies above the i lowest distinct scores: up to a constant, what it gets
  # right is the number of non-members less the number of members below it.
  right = np.concatenate([[0], np.cumsum(truths)])
  best = np.flatnonzero(right == right.max())
  return float(_candidates(distinct)[best[(len(best) - 1) // 2]])


def decide(scores: ArrayLike, threshold: float) -> np.ndarray:
  """Booleans shaped like `scores`: True ('member') where the score exceeds `threshold`.

  Raises:
    ValueError: if a score is not finite or the threshold is NaN; neither is a decision.
  """
  if np.isnan(threshold):
    raise ValueError('the threshold is NaN')
  return finite(scores) > threshold


def finite(scores: ArrayLike) -> np.ndarray:
  """The scores in float64 (exact for float32), or a ValueError that counts the bad ones."""
  scores = np.asarray(scores, dtype=np.float64)
  bad = np.count_nonzero(~np.isfinite(scores))
  if bad:
    nan = np.count_nonzero(np.isnan(scores))
    raise ValueError(f'{bad} of {scores.size} scores are not finite ({nan} NaN)')
  return scores


def paired(scores: ArrayLike, members: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """`finite` scores and boolean truths, or a ValueError if they are not two equal vectors."""
  scores, members = finite(scores), np.asarray(members, dtype=bool)
  if scores.ndim != 1 or scores.shape != members.shape:
    raise ValueError(f'scores {scores.shape} and members {members.shape} are not [n] and [n]')
  return scores, members


def _candidates(distinct: np.ndarray) -> np.ndarray:
  """The thresholds around n rising scores: n + 1, each at or above the score below it."""
  low, high = distinct[:-1], distinct[1:]
  middle = low / 2 + high / 2  # halved first: the sum may overflow
  middle = np.where(middle < high, middle, low)  # neighbouring floats have no middle
  return np.concatenate([[np.nextafter(distinct[0], -np.inf)], middle, distinct[-1:]])
