"""The task-learner: adapts, and sends a defended message to the meta-learner."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.defences import (
  AnyDefence,
  Defence,
  as_defence,
  identity,
  learners_of,
  per_example,
  split_at_sum,
)
from mamljax.errors import InputError
from mamljax.maml import Inner, adapt, as_learner, gradient_and_adapted, terms_and_adapted
from mamljax.numerics import is_finite
from mamljax.protocol.adaptation import Perturbation
from mamljax.protocol.messages import WithRates, as_gradient
from mamljax.types import Batch, LossFn, Params, Task


class Sent(NamedTuple):
  """A message that was sent, and diagnostics that stay with the learner.

  Attributes:
    gradient: the message as it was sent, all that the adversary receives: a pytree like the
      parameters, `WithRates`, or that of a learner's own function.
    is_adapted: False if the adapted parameters are not finite. The gradient may be finite all
      the same, for instance behind dead ReLUs.
    is_finite: False if the gradient is not finite.
  """

  gradient: Any
  is_adapted: jax.Array
  is_finite: jax.Array


def send_gradient(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: Inner,
  *,
  defence: AnyDefence | None = None,
  others: Task | None = None,
) -> Any:
  """The meta-gradient that leaves the task-learner: all that the adversary receives.

  Args:
    key: a random key, for the defence's noise.
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    task: the private data.
    inner: the inner loop, or a learner.
    defence: the hooks at the four points of section IV-E, or a mechanism such as `DPGaussian`
      or `DPExamples`; a learner's own by default.
    others: the tasks of the other learners whose messages are summed up with this one, with an
      axis of them in front; for a defence with an `Aggregate`.

  Returns:
    A pytree like `params`, or what else the learner sends: exactly `meta_gradient` if there is
    no defence, or one without hooks.

  Raises:
    InputError: if images are not finite floats, or lack a label each, or a learner with a
      defence of its own is given another, or the terms of single examples are to be clipped
      and the message has none, or the tasks of an `Aggregate` are others than it needs.
  """
  return send(key, loss_fn, params, task, inner, defence=defence, others=others).gradient


def send(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: Inner,
  *,
  defence: AnyDefence | None = None,
  others: Task | None = None,
) -> Sent:
  """The gradient of `send_gradient` with diagnostics, of all learners; same arguments."""
  checks.task(task)
  hooks = resolve_defence(inner, defence)
  _check_others(others, learners_of(hooks.outgoing))
  own, joint = split_at_sum(hooks.outgoing)
  each = functools.partial(_send, hooks=hooks._replace(outgoing=own))
  if joint is None:
    return each(key, loss_fn, params, task, inner)
  tasks = jax.tree.map(lambda leaf: leaf[None], task)
  if others is not None:
    tasks = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), tasks, others)
  key_each, key_joint = jax.random.split(key)
  keys = jax.random.split(key_each, len(tasks.query.labels))
  sent = jax.vmap(lambda key, task: each(key, loss_fn, params, task, inner))(keys, tasks)
  mean = joint(key_joint, sent.gradient)
  return Sent(mean, sent.is_adapted.all(), is_finite(mean))


def _check_others(others: Task | None, learners: int) -> None:
  """Refuses the tasks of other learners than those that a sum is over."""
  count = 0 if others is None else len(others.query.images)
  if count != learners - 1:
    raise InputError(
      f'the message is that of {learners} learner{"s" * (learners > 1)}: others= must hold the '
      f'tasks of {learners - 1} others, not of {count}'
    )


def _send(
  key: jax.Array, loss_fn: LossFn, params: Params, task: Task, inner: Inner, *, hooks: Defence
) -> Sent:
  """The message of one learner."""
  query, outgoing = (hook or identity for hook in (hooks.query, hooks.outgoing))
  key_support, key_inner, key_query, key_outgoing = jax.random.split(key, 4)
  support, perturb = _disturb_adaptation(key_support, key_inner, task.support, hooks)
  noisy = Task(support, task.query._replace(images=query(key_query, task.query.images)))
  whole = per_example(hooks.outgoing) is None
  compute = gradient_and_adapted if whole else terms_and_adapted
  gradient, adapted = compute(loss_fn, params, noisy, inner, perturb=perturb)
  sent = outgoing(key_outgoing, gradient)
  return Sent(sent, is_finite(adapted), is_finite(sent))


def adapt_defended(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  support: Batch,
  inner: Inner,
  *,
  defence: AnyDefence | None = None,
) -> Params:
  """The adapted parameters theta of a learner with a defence, which stay with it.

  Those behind the message that `send_gradient` makes with the same arguments.
  """
  hooks = resolve_defence(inner, defence)
  key_support, key_inner, _, _ = jax.random.split(key, 4)
  noisy, perturb = _disturb_adaptation(key_support, key_inner, support, hooks)
  return adapt(loss_fn, params, noisy, inner, perturb=perturb)


def _disturb_adaptation(
  key_support: jax.Array, key_inner: jax.Array, support: Batch, hooks: Defence
) -> tuple[Batch, Perturbation]:
  """The support set that a defended learner adapts to, and what it does to each gradient."""
  images = (hooks.support or identity)(key_support, support.images)
  return support._replace(images=images), Perturbation(key_inner, hooks.inner or identity)


def read_message(message: Any, inner: Inner) -> tuple[Any, Params | None]:
  """The gradient and that in the rates, or None, of an observation of a message."""
  rates = message.rates if isinstance(message, WithRates) else None
  return as_gradient(as_learner(inner), message), rates


def resolve_defence(inner: Inner, defence: AnyDefence | None) -> Defence:
  """The defence that a learner has of its own or is given; one without hooks if neither.

  Raises:
    InputError: if it has one and is given another, with hooks, or one is no defence.
  """
  own, given = as_defence(as_learner(inner).defence), as_defence(defence)
  if own is not None and given is not None and given.has_hooks:
    raise InputError('the learner has a defence of its own: leave the other out')
  return own or given or Defence()
