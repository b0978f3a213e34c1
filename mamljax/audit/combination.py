"""Combination of the scores of several attacks by a logistic regression on calibration trials.

Murakonda and Shokri (2020) combine membership signals in this way. Likelihood ratios have
heavy tails, so that each score is first centred on its median, divided by its interquartile
range and transformed by asinh: a rising function, which leaves the decisions of a single score
as they are.
"""

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from mamljax.audit.decision import finite
from mamljax.audit.metrics import auc


class Combination(NamedTuple):
  """Weights that combine the scores of several attacks into one.

  Attributes:
    centre: the median of each attack's scores on the calibration trials, [parts].
    spread: the interquartile range of these scores, [parts]; 1 where it would be 0.
    weights: the weight of each attack's transformed score, [parts].
  """

  centre: np.ndarray
  spread: np.ndarray
  weights: np.ndarray

  def __call__(self, scores: ArrayLike, /) -> np.ndarray:
    """The combined scores [n] of trials, from scores [n, parts]; higher means 'member'."""
    return _transform(self.centre, self.spread, scores) @ self.weights


def combine(scores: ArrayLike, members: ArrayLike) -> Combination:
  """The combination of scores with the highest AUC on calibration trials.

  That is the regression or, where one attack alone has a higher AUC on these trials, that
  attack alone.

  Args:
    scores: [n, parts] finite scores of calibration trials.
    members: [n] booleans, the truth, with both values.

  Raises:
    ValueError: if a score is not finite, or the trials lack members or non-members.
  """
  scores, members = finite(scores), np.asarray(members, bool)
  if scores.ndim != 2 or len(scores) != len(members):
    raise ValueError(f'scores {scores.shape} of {len(members)} trials are not [n, parts]')
  if not members.any() or members.all():
    raise ValueError('scores cannot be combined without members or without non-members')
  low, centre, high = np.quantile(scores, [0.25, 0.5, 0.75], axis=0)
  spread = np.where(high > low, high - low, 1.0)
  transformed = _transform(centre, spread, scores)
  candidates = [_regress(transformed, members), *np.eye(scores.shape[1])]
  best = max(candidates, key=lambda weights: auc(transformed @ weights, members) or 0)
  return Combination(centre, spread, best)


def _transform(centre: np.ndarray, spread: np.ndarray, scores: ArrayLike) -> np.ndarray:
  """Scores in interquartile ranges from the median, their tails compressed by asinh."""
  return np.arcsinh((np.asarray(scores, float) - centre) / spread)


def _regress(features: np.ndarray, members: np.ndarray) -> np.ndarray:
  """The weights of a logistic regression with a unit Gaussian prior, without its intercept."""
  signs = np.where(members, 1.0, -1.0)
  design = np.column_stack([features, np.ones(len(features))])

  def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
    margins = signs * (design @ weights)
    penalised = np.append(weights[:-1], 0)  # the intercept has no prior
    gradient = penalised - design.T @ (signs * scipy.special.expit(-margins))
    return float(np.logaddexp(0, -margins).sum() + penalised @ penalised / 2), gradient

  start = np.zeros(design.shape[1])
  return scipy.optimize.minimize(loss, start, jac=True, method='L-BFGS-B').x[:-1]
