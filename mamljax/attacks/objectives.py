"""What a reconstruction minimises: how far a guess's gradient points from the received one."""

import chex
import jax
import jax.numpy as jnp
import optax

from mamljax.images import total_variation
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.types import Batch, LossFn, Params, Task


def cosine_similarity(a: Params, b: Params) -> jax.Array:
  """<a, b> / (|a| |b|) over whole pytrees; 0 where either is zero."""
  overlap, squares = optax.tree.vdot(a, b), optax.tree.vdot(a, a) * optax.tree.vdot(b, b)
  # The guard keeps the derivative finite as well: a dead network sends a zero gradient.
  return jnp.asarray(overlap) / jnp.sqrt(jnp.maximum(squares, 1e-30))


def query_objective(
  loss_fn: LossFn,
  params: Params,
  gradient: Params,
  query: Batch,
  *,
  tv_weight: float | jax.Array,
) -> jax.Array:
  """Equation 9: 1 - cos(grad_w L(w; x), g) + a TV(x), a scalar.

  The adversary does not know the adapted parameters theta and puts w in their place.

  Args:
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    gradient: the received meta-gradient g.
    query: the guess x with its slot labels.
    tv_weight: a, the weight of the mean anisotropic total variation.
  """
  chex.assert_trees_all_equal_shapes(params, gradient)
  guessed = jax.grad(loss_fn)(params, query)
  return 1 - cosine_similarity(guessed, gradient) + tv_weight * total_variation(query.images)


def support_objective(
  loss_fn: LossFn,
  params: Params,
  gradient: Params,
  task: Task,
  inner: InnerLoop,
  *,
  tv_weight: float | jax.Array,
) -> jax.Array:
  """Equation 10: 1 - cos(grad_w L(theta(x); D_q), g) + a TV(x), a scalar.

  The adversary knows the query set, and adapts on the guess as the task-learner would.

  Args:
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    gradient: the received meta-gradient g.
    task: the guess x with its slot labels as support set, and the known query set.
    inner: the inner loop that the adversary takes the task-learner to run.
    tv_weight: a, the weight of the mean anisotropic total variation.
  """
  chex.assert_trees_all_equal_shapes(params, gradient)
  guessed = meta_gradient(loss_fn, params, task, inner)
  smoothness = total_variation(task.support.images)
  return 1 - cosine_similarity(guessed, gradient) + tv_weight * smoothness
