"""Adaptation and exact meta-gradients.

A task-learner adapts the meta-knowledge w on its support set by gradient descent,

    theta_0 = w,    theta_{k+1} = theta_k - alpha * grad L(theta_k; D_s),

and sends the gradient of L(theta_K; D_q) with respect to w. (Equations 5 and 6 of "Privacy
Challenges in Meta-Learning" are printed with plus signs and without a step size.) With one
step the gradient is (I - alpha H_s(w)) grad L(theta; D_q); here it is exact for any number
of steps, by differentiation through the loop.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.errors import InputError
from mamljax.numerics import like
from mamljax.slots import check_labels
from mamljax.types import Batch, LossFn, Params, Task

Perturb = Callable[[jax.Array, Params], Params]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class InnerLoop:
  """The inner loop: the gradient descent by which a task-learner adapts.

  Attributes:
    steps: number of gradient steps on the support set; 0 leaves the parameters as they are.
    learning_rate: step size alpha; a pytree leaf, so that a change does not recompile.
    order: 2 differentiates through the steps (MAML, equation 4); 1 takes the derivative of
      the adapted parameters in w for the identity (first-order MAML, equation 7).
    remat: recompute steps in the backward pass instead of storing them (`jax.checkpoint`).
      That needs the memory of about 2 sqrt(`steps`) parameters and of one step, instead of
      that of all steps, and the time of another forward pass; values agree to rounding.
  """

  steps: int = dataclasses.field(metadata={'static': True})
  learning_rate: float | jax.Array
  order: int = dataclasses.field(default=2, metadata={'static': True})
  remat: bool = dataclasses.field(default=False, metadata={'static': True})

  def __post_init__(self):
    checks.whole('inner steps', self.steps, least=0)
    checks.whole('order', self.order, least=0)
    if self.order not in (1, 2):
      raise InputError(f'order must be 1 (first-order MAML) or 2, not {self.order}')
    if not isinstance(self.remat, bool):
      raise InputError(f'remat must be True or False, not {self.remat!r}')


def adapt(
  loss_fn: LossFn,
  params: Params,
  support: Batch,
  inner: InnerLoop,
  *,
  perturb: Perturb | None = None,
) -> Params:
  """The adapted parameters theta after `inner.steps` steps on the support set.

  Args:
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    support: the support set.
    inner: the inner loop.
    perturb: `(step, gradient) -> gradient`, applied to each support gradient before its
      step is taken; a defence adds noise to the adaptation here.

  Returns:
    A pytree like `params`. Its derivative in the support images is exact; that in `params` is
    exact if `inner.order` is 2 and the identity if it is 1.

  Raises:
    InputError: if the support images are not finite floats or lack a label each, or the
      learning rate is an array of several numbers.
  """
  checks.batch('support', support)
  checks.scalar('learning_rate', inner.learning_rate)
  start = params if inner.order == 2 else jax.lax.stop_gradient(params)

  def step(theta: Params, index: jax.Array):
    gradient = jax.grad(loss_fn)(theta, support)
    if perturb is not None:
      gradient = perturb(index, gradient)
    rate = inner.learning_rate
    # Neither a rate nor a perturbed gradient of another type may promote the parameters.
    return jax.tree.map(lambda t, g: t - like(t, rate) * like(t, g), theta, gradient), None

  theta = (_rescan if inner.remat else _scan)(step, start, inner.steps)
  if inner.order == 2:
    return theta
  # The term added is zero, and its derivative in w the identity.
  return jax.tree.map(lambda t, w: t + (w - jax.lax.stop_gradient(w)), theta, params)


Step = Callable[[Params, jax.Array], tuple[Params, None]]


def _scan(step: Step, theta: Params, steps: int) -> Params:
  """The parameters after some steps; a backward pass stores the results of every step."""
  return jax.lax.scan(step, theta, jnp.arange(steps))[0]


def _rescan(step: Step, theta: Params, steps: int) -> Params:
  """`_scan` in segments of about sqrt(steps) steps, recomputed in a backward pass.

  It keeps the parameters before each segment and, one segment at a time, before each step.
  """
  step = jax.checkpoint(step)
  length = max(1, math.isqrt(steps))

  @jax.checkpoint
  def segment(theta: Params, first: jax.Array) -> tuple[Params, None]:
    return jax.lax.scan(step, theta, first + jnp.arange(length))

  theta, _ = jax.lax.scan(segment, theta, length * jnp.arange(steps // length))
  return jax.lax.scan(step, theta, jnp.arange(steps - steps % length, steps))[0]


def task_loss(
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: InnerLoop,
  *,
  perturb: Perturb | None = None,
) -> jax.Array:
  """The query loss after adaptation, L(theta(w); D_q), a scalar; arguments as in `adapt`."""
  checks.task(task)
  theta = adapt(loss_fn, params, task.support, inner, perturb=perturb)
  return loss_fn(theta, task.query)


def meta_gradient(
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: InnerLoop,
  *,
  perturb: Perturb | None = None,
) -> Params:
  """The meta-gradient: the gradient of `task_loss` in `params` (equation 4).

  Exact for any number of inner steps if `inner.order` is 2; the gradient of the query loss at
  the adapted parameters (equation 7) if it is 1. Arguments as in `adapt`, and the whole task.
  """
  return gradient_and_adapted(loss_fn, params, task, inner, perturb=perturb)[0]


def gradient_and_adapted(
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: InnerLoop,
  *,
  perturb: Perturb | None = None,
) -> tuple[Params, Params]:
  """The `meta_gradient`, and the adapted parameters theta, which stay with the learner."""
  checks.task(task)
  check_labels(loss_fn, params, task)

  def loss(params: Params) -> tuple[jax.Array, Params]:
    theta = adapt(loss_fn, params, task.support, inner, perturb=perturb)
    return loss_fn(theta, task.query), theta

  return jax.grad(loss, has_aux=True)(params)


def per_task_gradients(
  loss_fn: LossFn, params: Params, tasks: Task, inner: InnerLoop
) -> Params:
  """The meta-gradients of many tasks: `tasks` and the result have a leading task axis."""
  return jax.vmap(lambda task: meta_gradient(loss_fn, params, task, inner))(tasks)
