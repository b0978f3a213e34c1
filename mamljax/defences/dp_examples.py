"""Gaussian mechanism on single examples: each term of a mean is clipped, then noise is added.

On what is sent, the terms are the meta-gradients of single query examples, exact ones: that of
example i is (I - alpha H_s(w)) grad L(theta; x_i) after one step of second-order MAML, and the
message is their mean. Clipped to C, with noise of deviation z C on their sum, and divided by
their public number n, it is

    (sum_i g_i min(1, C / |g_i|) + N(0, (z C)^2)) / n.

One query example enters one term, so that another in its place moves the sum by at most 2 C,
and its absence by C. That is a guarantee for single examples of the query set, with far less
noise than one for the whole task needs.

It is none for the support set: the adapted parameters and the Hessian are in every term, and
one support image may move them all, by 2 n C together. Of it, and of the whole task, no more
is bounded than by the clip of any message to C, under noise n times smaller than that of a
`DPGaussian`. Compressions after it take nothing away. The number, the labels and the slots are
public.

On the gradients of the adaptation the terms are those of single support examples (as in Abadi
et al., 2016), and each step is a release. Where what is sent depends on the support set through
the adapted parameters alone, as in first-order MAML, it protects single support examples; in
second-order MAML, which differentiates through the raw support set, it protects nothing:
`protocol.guarantees` knows which.
"""

import dataclasses

import jax
import jax.numpy as jnp

from mamljax.defences.clipped_noise import ClippedNoise
from mamljax.defences.gaussian import Gaussian
from mamljax.defences.numbers import register
from mamljax.types import Params


@register
@dataclasses.dataclass(frozen=True)
class DPExamples(ClippedNoise):
  """Gaussian mechanism on query examples: a norm clip of each one's meta-gradient, and noise.

  A pytree of two leaves and a learner's defence, as `DPGaussian` is one. It protects single
  examples of the query set, neither the support set nor the task as a whole. The learner must
  send a gradient of the query loss, one that is a mean over examples which do not see each
  other: of batch normalisation the terms, and so the message, are those of single examples.

  `epsilon` is that of one example of the query set: `rounds` counts the messages whose query
  set holds it, and 'add_or_remove_one' leaves its term out of the sum, the number that divides
  being the same. Tasks of a fixed number of shots are not drawn as `sampling` takes it: a value
  below 1 is for a learner of one's own that draws each example independently of all others and
  of the number that divides, and tells nobody which.

  Attributes:
    clip: the greatest norm, over all numbers, that the term of one example keeps; above 0.
    noise_multiplier: the standard deviation of the noise on the sum of the terms, in clips; 0
      clips alone, without any guarantee.

  Raises:
    InputError: if a number is not as above.
  """

  def __call__(self, key: jax.Array, terms: Params, /) -> Params:
    """The mean of the clipped terms, with noise; terms have an axis of examples in front."""
    count = len(jax.tree.leaves(terms)[0])
    return self.noise_of(count)(key, self.mean_of(terms))

  def mean_of(self, terms: Params, /) -> Params:
    """The mean of the clipped terms, without noise; NaN as a whole if a term is not finite."""
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), jax.vmap(self.clipped)(terms))

  def noise_of(self, count: int) -> Gaussian:
    """The noise on a mean of so many terms, of deviation z C / n."""
    return Gaussian(self.noise_multiplier * self.clip / count)
