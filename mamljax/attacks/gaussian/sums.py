"""Sum over learners: the others' messages as noise on that of the learner that is asked about.

The mean of m messages is received, m g = g_0 + sum_j g_j. The gradient of one of the others is,
to first order, a mean over n public images of classes that are not known: about the mean over
all classes it varies by C / n, as that of any set, and by B, the variance of a set's mean over
the classes in its slots. So m g is Gaussian about the mean of g_0 and m - 1 times that of any
learner, with covariance (m C + (m - 1) n B + m^2 n sigma^2) / n under noise of deviation sigma
on the mean.
"""

import jax
import jax.numpy as jnp

from mamljax.attacks.knowledge import Knowledge, known_defence
from mamljax.defences.defence import learners_of
from mamljax.linear_algebra import LowRankPlusDiagonal, low_rank_plus_diagonal


def learners_known(knowledge: Knowledge) -> int:
  """The number of learners in the sum that is known to be received; 1 for no sum."""
  return learners_of(getattr(known_defence(knowledge), 'outgoing', None))


def of_sum(
  rows: jax.Array, rest: jax.Array, means: jax.Array, *, learners: int, images: int
) -> LowRankPlusDiagonal:
  """The covariance of n times a sum of messages over n.

  Args:
    rows: A, of which A'A and a diagonal are the covariance of one image's gradient and the
      noise on it, [rows, size].
    rest: the diagonal, [size].
    means: of each class in each slot, [classes, ways, size].
    learners: m.
    images: n, of a learner.
  """
  if learners == 1:
    return low_rank_plus_diagonal(rows, rest)
  classes, ways, size = means.shape
  weight = ((learners - 1) * images / classes) ** 0.5 / ways
  between = (weight * (means - means.mean(axis=0))).reshape(-1, size)
  whole = jnp.concatenate([learners**0.5 * rows, between])
  return low_rank_plus_diagonal(whole, learners * rest)
