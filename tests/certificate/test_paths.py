"""However it is computed, a meta-gradient is one number: no path may be the odd one out."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mamljax
from mamljax import InnerLoop, per_task_gradients
from tests.certificate.problems import (
  EXACT,
  WAYS,
  Small,
  meta_gradient,
  network_problem,
  noise_task,
  relative_error,
)

TASKS = 4
INNER = InnerLoop(steps=2, learning_rate=0.2)


def by_map(loss_fn, params, tasks, inner, **options):
  """One task after the other, as experiments do to bound their memory."""
  return jax.lax.map(
    lambda task: mamljax.meta_gradient(loss_fn, params, task, inner), tasks, **options
  )


def unrolled(loss_fn, params, tasks, inner):
  """Reverse over reverse through a Python loop: no scan, no package."""

  def loss(params, task):
    for _ in range(inner.steps):
      gradient = jax.grad(loss_fn)(params, task.support)
      params = jax.tree.map(lambda p, g: p - inner.learning_rate * g, params, gradient)
    return loss_fn(params, task.query)

  return jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, tasks)


def one_by_one(loss_fn, params, tasks, inner=INNER):
  """A Python loop over the tasks, whose gradients are stacked."""
  picked = [jax.tree.map(lambda x, i=i: x[i], tasks) for i in range(TASKS)]
  sent = [meta_gradient(loss_fn, params, task, inner) for task in picked]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *sent)


def jitted(path):
  """A path, compiled with the inner loop's rate as a constant."""
  return lambda loss_fn, params, tasks: jax.jit(
    lambda params, tasks: path(loss_fn, params, tasks, INNER)
  )(params, tasks)


PATHS = {
  'checkpointed': functools.partial(one_by_one, inner=dataclasses.replace(INNER, remat=True)),
  'vmapped': jitted(per_task_gradients),
  'mapped': jitted(by_map),
  'mapped in batches': jitted(functools.partial(by_map, batch_size=2)),
  'unrolled': jitted(unrolled),
}


@pytest.mark.parametrize('path', PATHS.values(), ids=PATHS)
def test_paths_agree(path):
  """Else a result would depend on how it was computed."""
  loss_fn, params, _ = network_problem(Small(ways=WAYS))
  tasks = noise_task(np.random.default_rng(2), tasks=(TASKS,))
  expected = one_by_one(loss_fn, params, tasks)
  assert relative_error(path(loss_fn, params, tasks), expected) < EXACT
