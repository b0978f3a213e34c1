"""The one test of the Gaussian family: N(m, C / n) or N(m + d / n, C / n)?

An attack of this family says how the received vector y, or a sketch of it, is distributed
without the candidate, with mean m and covariance C / n, and by how much, d / n, a member moves
the mean, as one of n images of which y is a mean does. Then no test is better than the
log-likelihood ratio (Neyman and Pearson, 1933),

    d' C^-1 (y - m) - d' C^-1 d / (2 n),

which is above 0 where y is more likely with the candidate than without.
"""

from typing import NamedTuple

import jax

from mamljax.linear_algebra import LowRankPlusDiagonal


class Ratio(NamedTuple):
  """A log-likelihood ratio and its two parts.

  Attributes:
    value: the ratio.
    response: d' C^-1 (y - m), the ratio's linear part.
    energy: d' C^-1 d, how much the candidate stands out.
  """

  value: jax.Array
  response: jax.Array
  energy: jax.Array


def log_likelihood_ratio(
  covariance: LowRankPlusDiagonal,
  signal: jax.Array,
  residual: jax.Array,
  *,
  images: int | jax.Array = 1,
) -> Ratio:
  """The log-likelihood ratio of a Gaussian with a shifted mean and the same without.

  Args:
    covariance: C.
    signal: d, [size], or two estimates of it, [2, size], with independent errors, which then
      do not add to its energy.
    residual: y - m, [size].
    images: n.
  """
  solved = covariance.solve(signal)
  if signal.ndim == 1:
    response, energy = solved @ residual, solved @ signal
  else:
    response, energy = (solved[0] + solved[1]) / 2 @ residual, solved[0] @ signal[1]
  return Ratio(response - energy / (2 * images), response, energy)
