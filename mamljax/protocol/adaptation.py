"""Adaptation on a support set, theta_{k+1} = theta_k - step_k, for any learner."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.defences.defence import Hook, per_example
from mamljax.errors import InputError
from mamljax.numerics import like
from mamljax.protocol import optimizer
from mamljax.protocol.kinds import ImplicitMAML
from mamljax.protocol.learner import Learner
from mamljax.protocol.trainable import Restrict, merge, restriction
from mamljax.types import Batch, LossFn, Params

Perturb = Callable[[jax.Array, Params], Params]


@dataclasses.dataclass(frozen=True, eq=False)
class Perturbation:
  """Hook of a defence on the gradients of an adaptation, as a function of the step.

  Attributes:
    key: a random key, from which each step has its own.
    hook: applied to each gradient or, of a `PerExample`, to its terms of single examples.
  """

  key: jax.Array
  hook: Hook

  @property
  def takes_terms(self) -> bool:
    """True if the terms of single support examples are given, not their mean."""
    return per_example(self.hook) is not None

  def __call__(self, step: int | jax.Array, gradient: Params) -> Params:
    """The gradient of a step as it is followed."""
    return self.hook(jax.random.fold_in(self.key, step), gradient)


class Carry(NamedTuple):
  """State of an adaptation between two steps.

  Attributes:
    steps: the parameters that adapt, and the state of the optimiser.
    moved: the sum of all steps before `rates`: minus the derivative of theta in these, the
      gradients being constants. None where it is not needed.
  """

  steps: optimizer.Carry
  moved: Params | None


def adapt(
  loss_fn: LossFn,
  params: Params,
  support: Batch,
  learner: Learner,
  *,
  perturb: Perturb | None = None,
) -> Params:
  """The adapted parameters theta; see `mamljax.adapt`, which checks the arguments."""
  is_linear = learner.kind.is_first_order
  restrict, rates = restriction(learner, params), checked_rates(learner, params)
  start, constant = (params, rates) if not is_linear else jax.lax.stop_gradient((params, rates))
  step = _Step(loss_fn, start, constant, support, learner, restrict, perturb)
  carry = (_rescan if learner.remat else _scan)(step, step.begin(), learner.steps)
  theta = merge(carry.steps.theta, start)
  if not is_linear:
    return theta
  # Each term added is zero, the derivative in w the identity, and that in the rates linear.
  theta = jax.tree.map(lambda t, w: t + (w - jax.lax.stop_gradient(w)), theta, params)
  if carry.moved is None:
    return theta
  along = jax.tree.map(
    lambda moved, rate: moved * like(moved, rate - jax.lax.stop_gradient(rate)),
    carry.moved,
    restrict(rates),
  )
  return merge(jax.tree.map(jnp.subtract, restrict(theta), along), theta)


@dataclasses.dataclass(frozen=True, eq=False)
class _Step:
  """One step of an adaptation, by the parts that all steps share."""

  loss_fn: LossFn
  start: Params
  rates: Params | None
  support: Batch
  learner: Learner
  restrict: Restrict
  perturb: Perturb | None

  def begin(self) -> Carry:
    """The state before the first step."""
    theta = self.restrict(self.start)
    is_linear = self.rates is not None and self.learner.kind.is_first_order
    moved = jax.tree.map(jnp.zeros_like, theta) if is_linear else None
    return Carry(optimizer.begin(self.learner, theta), moved)

  def gradient(self, theta: Params, index: jax.Array) -> Params:
    """The perturbed gradient of the support loss, and that of a pull towards w."""
    whole = merge if self.learner.trainable is not None else lambda part, _: part

    def of_batch(batch: Batch) -> Params:
      return jax.grad(lambda part: self.loss_fn(whole(part, self.start), batch))(theta)

    if getattr(self.perturb, 'takes_terms', False):
      gradient = jax.vmap(lambda *one: of_batch(Batch(*(x[None] for x in one))))(*self.support)
    else:
      gradient = of_batch(self.support)
    if self.perturb is not None:
      gradient = self.perturb(index, gradient)
    kind = self.learner.kind
    if not isinstance(kind, ImplicitMAML):
      return gradient
    return jax.tree.map(
      lambda g, t, w: like(t, g) + like(t, kind.strength) * (t - w),
      gradient,
      theta,
      self.restrict(self.start),
    )

  def __call__(self, carry: Carry, index: jax.Array) -> tuple[Carry, None]:
    theta = carry.steps.theta
    gradient = self.gradient(theta, index)
    step, steps = optimizer.step_down(self.learner, carry.steps, gradient)
    moved = carry.moved
    if moved is not None:
      moved = jax.tree.map(jnp.add, moved, step)
    if self.rates is not None:
      step = jax.tree.map(lambda s, r: like(s, r) * s, step, self.restrict(self.rates))
    theta = jax.tree.map(jnp.subtract, theta, step)
    return Carry(steps._replace(theta=theta), moved), None


def checked_rates(learner: Learner, params: Params) -> Params | None:
  """The rates of each parameter.

  Raises:
    InputError: if they are no pytree like the parameters, or do not broadcast to them.
  """
  rates = learner.rates
  if rates is None:
    return None
  wanted, given = jax.tree.structure(params), jax.tree.structure(rates)
  if wanted != given:
    raise InputError(f'rates must be a pytree like the parameters, {wanted}, not {given}')
  for leaf, rate in zip(jax.tree.leaves(params), jax.tree.leaves(rates), strict=True):
    shape, to = jnp.shape(rate), jnp.shape(leaf)
    aligned = zip(shape[::-1], to[::-1], strict=False)
    if len(shape) > len(to) or any(own not in (1, of) for own, of in aligned):
      raise InputError(
        f'rates of shape {list(shape)} do not broadcast to parameters {list(to)}'
      )
  return jax.tree.map(like, params, rates)


def _scan(step: _Step, carry: Carry, steps: int) -> Carry:
  """The state after some steps; a backward pass stores the results of every step."""
  return jax.lax.scan(step, carry, jnp.arange(steps))[0]


def _rescan(step: _Step, carry: Carry, steps: int) -> Carry:
  """`_scan` in segments of about sqrt(steps) steps, recomputed in a backward pass.

  It keeps the state before each segment and, one segment at a time, before each step.
  """
  checkpointed = jax.checkpoint(step)
  length = max(1, math.isqrt(steps))

  @jax.checkpoint
  def segment(carry: Carry, first: jax.Array) -> tuple[Carry, None]:
    return jax.lax.scan(checkpointed, carry, first + jnp.arange(length))

  carry, _ = jax.lax.scan(segment, carry, length * jnp.arange(steps // length))
  return jax.lax.scan(checkpointed, carry, jnp.arange(steps - steps % length, steps))[0]
