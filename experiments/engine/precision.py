"""Error of a gradient by matrix products of less than float32's precision, on this device."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from experiments.config.cell import Recipe
from experiments.config.streams import Stream, stream_key
from experiments.engine import models
from mamljax.errors import Diverged
from mamljax.maml import meta_gradient
from mamljax.numerics import all_finite
from mamljax.tasks import sample_task
from mamljax.types import Params, Pool


def gradient_error(recipe: Recipe, params: Params, pool: Pool) -> float:
  """Distance of a task's meta-gradient from that of float32 products, relative to its norm.

  Zero where the model's precision is 'highest', and on a CPU, which knows no other.

  Raises:
    Diverged: if one of them is not finite.
  """
  if recipe.model.matmul_precision == 'highest':
    return 0.0
  highest = dataclasses.replace(recipe.model, matmul_precision='highest')
  exact = dataclasses.replace(recipe, model=highest)
  found, wanted = (_gradient(which, params, pool) for which in (recipe, exact))
  if not all_finite((found, wanted)):
    raise Diverged('a gradient is not finite, so that the cost of a lower precision is unknown')
  return float(jnp.linalg.norm(found - wanted) / jnp.linalg.norm(wanted))


def _gradient(recipe: Recipe, params: Params, pool: Pool) -> jax.Array:
  """The meta-gradient of the first task that the model's seed draws, in one vector."""
  described = models.describe_training(recipe)
  draw = functools.partial(sample_task, ways=recipe.task.ways, shots=recipe.task.shots)

  @jax.jit
  def send(pool: Pool, params: Params) -> jax.Array:
    task = draw(stream_key(recipe.seed, Stream.GRADIENT_ERROR), pool)
    return ravel_pytree(meta_gradient(described.loss_fn, params, task, described.inner))[0]

  return send(jax.device_put(pool), params)
