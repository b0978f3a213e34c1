"""One task-learner: what it sends to the meta-learner, defended or not."""

from typing import NamedTuple

import jax

from mamljax import checks
from mamljax.defences import Defence, identity
from mamljax.finite import is_finite
from mamljax.maml import InnerLoop, gradient_and_adapted
from mamljax.types import LossFn, Params, Task


class Sent(NamedTuple):
  """A gradient that is sent, and what only its learner can tell.

  Attributes:
    gradient: a pytree like the parameters: all that the adversary receives.
    is_adapted: a boolean; False if the adapted parameters are not finite. The gradient may be
      finite all the same, as where a ReLU stays dead.
    is_finite: a boolean, of the gradient.
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
    inner: how the learner adapts.
    defence: what it does at each of the four points of section IV-E.

  Returns:
    A pytree like `params`: exactly `meta_gradient` if the defence does nothing.

  Raises:
    InputError: if images are no floats in [0, 1] or have not a label each.
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
  """The gradient of `send_gradient`, of the same arguments, and whether anything diverged."""
  checks.task(task, unit=True)
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
