"""Ratios of messages that are noisy, clipped or compressed as is published."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax.attacks.gaussian.known_noise import (
  clip_factor,
  read_compressed,
  without_mean,
)
from mamljax.attacks.gaussian.likelihood import Ratio, log_likelihood_ratio
from mamljax.attacks.knowledge import Knowledge
from mamljax.linear_algebra import LowRankPlusDiagonal, low_rank_plus_diagonal
from mamljax.types import Params


class Model(NamedTuple):
  """Covariance of an image's gradient and n times that of the noise.

  Attributes:
    scale: the factor of each number of a gradient, [parameters].
    covariance: of the scaled numbers.
  """

  scale: jax.Array
  covariance: LowRankPlusDiagonal


def weigh_noisy(
  known: Knowledge,
  model: Model,
  received: Params,
  signal: jax.Array,
  mean: jax.Array,
  images: jax.Array,
) -> Ratio:
  """The ratio of a gradient that is received with noise; signal and mean are scaled."""
  sent = without_mean(known, received)
  flat = ravel_pytree(sent)[0] * model.scale
  factor = clip_factor(known, sent, flat, mean, solve=model.covariance.solve)
  residual = flat / factor - mean
  return log_likelihood_ratio(model.covariance, signal, residual, images=images)


# One after another: each has a covariance of its own.
@jax.custom_batching.sequential_vmap
def weigh_compressed(
  known: Knowledge,
  model: Model,
  received: Params,
  signal: jax.Array,
  mean: jax.Array,
  images: jax.Array,
) -> Ratio:
  """The ratio of a gradient that is compressed; signal and mean are scaled."""
  scale, whole = model
  rows = whole.weighed * whole.diagonal
  unscale = jnp.where(scale > 0, 1 / jnp.where(scale > 0, scale, 1), 0)
  flat, unravel = ravel_pytree(received)
  noise_mean = flat - ravel_pytree(without_mean(known, received))[0]

  def solve(vector: jax.Array) -> jax.Array:
    return jnp.where(flat != 0, vector / (jnp.sum(rows**2, axis=0) + whole.diagonal), 0)

  factor = clip_factor(known, received, flat * scale, mean, solve=solve)
  variance = (jnp.sum(rows**2, axis=0) + whole.diagonal) * unscale**2 / images
  read = read_compressed(
    known,
    unravel(flat / factor),
    unravel(mean * unscale + noise_mean),
    unravel(variance),
  )
  told = read.told & (scale > 0)
  diagonal = jnp.where(told, whole.diagonal + images * read.error * scale**2, 0)
  covariance = low_rank_plus_diagonal(jnp.where(told, rows, 0), diagonal)
  return log_likelihood_ratio(covariance, signal, read.residual * scale, images=images)
