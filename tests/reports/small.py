"""A small world to audit: noise images of four classes, and one layer that tells them apart."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mamljax.types import Batch, Params, Pool

SHAPE, CLASSES, WAYS = (8, 8, 1), 4, 3
EACH = {'references': 30, 'calibration': 12, 'victims': 12}


class World(NamedTuple):
  """Pools as `from_arrays` gives them."""

  references: Pool
  calibration: Pool
  victims: Pool


def pool(seed: int, each: int) -> Pool:
  """Noise about the mean of each class, `each` images of it."""
  means = np.random.default_rng(0).uniform(80, 170, (CLASSES, 1, *SHAPE))
  noise = np.random.default_rng([1, seed]).normal(0, 40, (CLASSES, each, *SHAPE))
  images = np.clip(means + noise, 0, 255).astype(np.uint8).reshape(-1, *SHAPE)
  starts = np.arange(CLASSES) * each
  return Pool(*map(jnp.asarray, (images, starts, np.full(CLASSES, each))))


@functools.cache
def world() -> World:
  """Disjoint pools of one source."""
  return World(*(pool(seed, each) for seed, each in enumerate(EACH.values())))


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """Softmax regression."""
  logits = batch.images.reshape(len(batch.labels), -1) @ params['weights'] + params['bias']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def params() -> Params:
  """Small random weights."""
  weights = np.random.default_rng(2).normal(0, 0.3, (int(np.prod(SHAPE)), WAYS))
  return {'weights': jnp.asarray(weights, jnp.float32), 'bias': jnp.zeros(WAYS)}
