"""One score from those of several attacks, weighed on calibration trials.

A logistic regression (Murakonda and Shokri, 2020, combine membership signals so). Likelihood
ratios have heavy tails, so each score is first measured from its median in its quartiles'
distance, and its tails are drawn in by asinh: a rising transform, which leaves the decisions
of a score by itself as they are.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from mamljax.audit.decision import finite
from mamljax.audit.metrics import auc


class Combination(NamedTuple):
  """Weights that combine the scores of several attacks into one.

  Attributes:
    centre, spread: of each part's scores on the calibration trials [parts].
    weights: of each part's transformed score [parts].
  """

  centre: np.ndarray
  spread: np.ndarray
  weights: np.ndarray

  def __call__(self, scores: ArrayLike, /) -> np.ndarray:
    """The scores [n] of trials, from those of the parts [n, parts]; higher means 'member'."""
    return _transform(self.centre, self.spread, scores) @ self.weights


def combine(scores: ArrayLike, members: ArrayLike) -> Combination:
  """The combination that tells calibration trials apart, no worse than its best part.

  Where the regression has a lower AUC on these trials than one of the parts, it is that part
  alone.

  Args:
    scores: [n, parts] finite numbers, those of calibration trials.
    members: [n] booleans, the truth; some of each.

  Raises:
    ValueError: if a score is not finite, or the trials have no members or nothing else.
  """
  scores, members = finite(scores), np.asarray(members, bool)
  if scores.ndim != 2 or len(scores) != len(members):
    raise ValueError(f'scores {scores.shape} of {len(members)} trials are not [n, parts]')
  if not members.any() or members.all():
    raise ValueError('scores cannot be weighed without members or without others')
  low, centre, high = np.quantile(scores, [0.25, 0.5, 0.75], axis=0)
  spread = np.where(high > low, high - low, 1.0)
  transformed = _transform(centre, spread, scores)
  choices = [_regress(transformed, members), *np.eye(scores.shape[1])]
  best = max(choices, key=lambda weights: auc(transformed @ weights, members) or 0)
  return Combination(centre, spread, best)


def _transform(centre: np.ndarray, spread: np.ndarray, scores: ArrayLike) -> np.ndarray:
  """Scores whose tails are drawn in."""
  return np.arcsinh((np.asarray(scores, float) - centre) / spread)


def _regress(features: np.ndarray, members: np.ndarray) -> np.ndarray:
  """The weights of a logistic regression with a unit Gaussian prior, its constant left out."""
  signs = np.where(members, 1.0, -1.0)
  design = np.column_stack([features, np.ones(len(features))])

  def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
    margins = signs * (design @ weights)
    prior = np.append(weights[:-1], 0)
    slope = prior - design.T @ (signs * special.expit(-margins))
    return float(np.logaddexp(0, -margins).sum() + prior @ prior / 2), slope

  start = np.zeros(design.shape[1])
  return optimize.minimize(loss, start, jac=True, method='L-BFGS-B').x[:-1]
