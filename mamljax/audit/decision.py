"""Decisions from scores: 'member' if the score lies above a threshold.

The threshold is chosen on calibration trials, which are never among the reported ones.
"""

import numpy as np
from numpy.typing import ArrayLike


def choose_threshold(scores: ArrayLike, members: ArrayLike) -> float:
  """The threshold with the highest accuracy on calibration trials.

  Candidates are the midpoints between neighbouring distinct scores, and one just outside each
  end. Of equally accurate candidates the (lower) median in the order of scores is taken: it
  lies in the middle of the range that the trials do not distinguish. Since it depends on the
  order alone, a rising transform of the scores changes no decision on these trials.

  Args:
    scores: [n] finite numbers, n >= 1; higher means 'member'.
    members: [n] booleans, the truth.

  Returns:
    A threshold for `decide`; on these trials it is at least as accurate as always the same
    answer.

  Raises:
    ValueError: if there are no trials, or a score is not finite.

  >>> choose_threshold([0.1, 0.2, 0.6, 0.9], [False, False, True, True])
  0.4
  """
  scores, members = paired(scores, members)
  if not scores.size:
    raise ValueError('a threshold needs at least one calibration trial')
  distinct, index = np.unique(scores, return_inverse=True)
  excess = np.bincount(index, weights=np.where(members, -1, 1))
  # Candidate i lies above the i lowest distinct scores. Up to a constant, its number of right
  # decisions is the number of non-members less the number of members below it.
  correct = np.concatenate([[0], np.cumsum(excess)])
  best = np.flatnonzero(correct == correct.max())
  return float(_candidates(distinct)[best[(len(best) - 1) // 2]])


def decide(scores: ArrayLike, threshold: float) -> np.ndarray:
  """The decisions, of the shape of `scores`: True ('member') where a score exceeds `threshold`.

  Raises:
    ValueError: if a score is not finite, or the threshold is NaN.
  """
  if np.isnan(threshold):
    raise ValueError('the threshold is NaN')
  return finite(scores) > threshold


def finite(scores: ArrayLike) -> np.ndarray:
  """The scores in float64, which is exact for float32.

  Raises:
    ValueError: if a score is not finite; the message counts these.
  """
  scores = np.asarray(scores, dtype=np.float64)
  infinite = np.count_nonzero(~np.isfinite(scores))
  if infinite:
    nan = np.count_nonzero(np.isnan(scores))
    raise ValueError(f'{infinite} of {scores.size} scores are not finite ({nan} NaN)')
  return scores


def paired(scores: ArrayLike, members: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """The scores of trials in float64, and their truths as booleans.

  Raises:
    ValueError: if a score is not finite, or the two are not vectors of equal length.
  """
  scores, members = finite(scores), np.asarray(members, dtype=bool)
  if scores.ndim != 1 or scores.shape != members.shape:
    raise ValueError(f'scores {scores.shape} and members {members.shape} are not [n] and [n]')
  return scores, members


def _candidates(distinct: np.ndarray) -> np.ndarray:
  """The n + 1 thresholds around n rising scores, each equal to or above the score below it."""
  low, high = distinct[:-1], distinct[1:]
  middle = low / 2 + high / 2  # the sum of the scores may overflow
  # Between neighbouring floats there is no other, and rounding may give the upper one.
  middle = np.where(middle < high, middle, low)
  return np.concatenate([[np.nextafter(distinct[0], -np.inf)], middle, distinct[-1:]])
