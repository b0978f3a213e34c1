"""The task-learner: adapts, and sends a defended meta-gradient to the meta-learner."""

from typing import NamedTuple

import jax

from mamljax import checks
from mamljax.defences import Defence, identity
from mamljax.maml import InnerLoop, gradient_and_adapted
from mamljax.numerics import is_finite
from mamljax.types import LossFn, Params, Task


class Sent(NamedTuple):
  """A gradient that was sent, and diagnostics that stay with the learner.

  Attributes:
    gradient: a pytree like the parameters: all that the adversary receives.
    is_adapted: False if the adapted parameters are not finite. The gradient may be finite all
      the same, for instance behind dead ReLUs.
    is_finite: False if the gradient is not finite.
  """

  gradient: Params
  is_adapted: jax.Array
  is_finite: jax.Array


def send_gradient(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: InnerLoop,
  *,
  defence: Defence,
) -> Params:
  """The meta-gradient that leaves the task-learner: all that the adversary receives.

  Args:
    key: a random key, for the defence's noise.
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    task: the private data.
    inner: the inner loop.
    defence: the hooks at the four points of section IV-E.

  Returns:
    A pytree like `params`: exactly `meta_gradient` if the defence has no hooks.

  Raises:
    InputError: if images are not finite floats, or lack a label each.
  """
  return send(key, loss_fn, params, task, inner, defence=defence).gradient


def send(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: InnerLoop,
  *,
  defence: Defence,
) -> Sent:
  """The gradient of `send_gradient` with diagnostics; same arguments."""
  checks.task(task)
  support, inner_gradient, query, outgoing = (hook or identity for hook in defence)
  key_support, key_inner, key_query, key_outgoing = jax.random.split(key, 4)
  noisy = Task(
    task.support._replace(images=support(key_support, task.support.images)),
    task.query._replace(images=query(key_query, task.query.images)),
  )
  gradient, adapted = gradient_and_adapted(
    loss_fn,
    params,
    noisy,
    inner,
    perturb=lambda step, g: inner_gradient(jax.random.fold_in(key_inner, step), g),
  )
  sent = outgoing(key_outgoing, gradient)
  return Sent(sent, is_finite(adapted), is_finite(sent))
