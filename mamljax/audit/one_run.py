"""Lower bounds of epsilon from one message with many canaries.

The audit in one run (Steinke, Nasr and Jagielski, 2023): each of m canaries, such as the query
examples of one task, is one of two by a fair coin of its own. Whoever sees what is sent guesses
the coins of r canaries and leaves out the others. If a single canary is protected by
(epsilon, delta)-differential privacy, guesses are right no more often than coins that fall
right with p = exp(epsilon) / (1 + exp(epsilon)), but for delta: v or more are right with a
probability of at most

    P[B >= v] + 2 m delta max_i P[v - i <= B < v] / i,    B ~ Binomial(r, p),  i = 1, ..., v.

The greatest epsilon at which that is less than a risk is refuted. One message is enough, where
`certainty.empirical_epsilon` needs as many as it has trials; and r right guesses of r show no
more than p = risk^(1 / r): 3.47 of a hundred, at 95 %.
"""

from typing import cast

import numpy as np
import scipy
from numpy.typing import ArrayLike

from mamljax.audit.certainty import CONFIDENCE
from mamljax.audit.decision import paired
from mamljax.errors import InputError

_GREATEST = 50.0  # epsilon beyond which p is 1 in double precision


def one_run_epsilon(
  scores: ArrayLike,
  members: ArrayLike,
  *,
  guesses: int,
  delta: float = 0.0,
  confidence: float = CONFIDENCE,
) -> float:
  """The lower bound of epsilon that guesses about the canaries of one message show.

  Half of the guesses, 'member', are on the highest scores, half, 'no member', on the lowest.

  Args:
    scores: [m], of each canary; higher means member.
    members: [m] booleans, the coins: fair, and thrown for each canary by itself.
    guesses: r, an even number, chosen before the scores were seen.
    delta: 0 or more, and below 1.
    confidence: probability that the bound holds, at least.

  Returns:
    The bound, 0 where nothing is shown.

  Raises:
    InputError: if there are not so many canaries, the number of guesses is odd or none, or
      delta is not as above.
  """
  scores, members = paired(scores, members)
  if guesses < 2 or guesses % 2 or guesses > len(scores):
    raise InputError(
      f'guesses must be an even number from 2 to the {len(scores)} canaries, not {guesses!r}'
    )
  if not 0 <= delta < 1:
    raise InputError(f'delta must be 0 or more and below 1, such as 1e-5, not {delta!r}')
  order, half = np.argsort(scores, kind='stable'), guesses // 2
  right = int(np.sum(members[order[-half:]]) + np.sum(~members[order[:half]]))

  def excess(epsilon: float) -> float:
    return _probability(right, guesses, len(scores), epsilon, delta) - (1 - confidence)

  if excess(0.0) >= 0:
    return 0.0
  if excess(_GREATEST) <= 0:
    return _GREATEST
  return cast(float, scipy.optimize.brentq(excess, 0.0, _GREATEST))


def _probability(
  right: int, guesses: int, canaries: int, epsilon: float, delta: float
) -> float:
  """The most probable that so many right guesses, or more, are under privacy."""
  p = 1 / (1 + np.exp(-epsilon))
  whole = scipy.stats.binom.sf(right - 1, guesses, p)
  if not right or not delta:
    return float(whole)
  below = np.cumsum(scipy.stats.binom.pmf(right - np.arange(1, right + 1), guesses, p))
  steepest = np.max(below / np.arange(1, right + 1))
  return float(min(1.0, whole + 2 * canaries * delta * steepest))
