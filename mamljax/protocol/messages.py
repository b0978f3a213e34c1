"""Messages: the numbers that a task-learner sends, each beside its equation.

Every function here gives the message and the adapted parameters theta, which stay with the
learner. The learner and every attack that simulates one call `compute`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from mamljax.errors import InputError
from mamljax.numerics import like
from mamljax.protocol import kinds
from mamljax.protocol.adaptation import Perturb, adapt, checked_rates
from mamljax.protocol.learner import Learner
from mamljax.protocol.trainable import merge, restriction
from mamljax.types import LossFn, Params, Task


class WithRates(NamedTuple):
  """Message of a learner with rates of each parameter (Meta-SGD).

  Attributes:
    gradient: in the parameters, a pytree like them.
    rates: the gradient in the rates, a pytree like these.
  """

  gradient: Params
  rates: Params


class Problem(NamedTuple):
  """Arguments of a message."""

  loss_fn: LossFn
  params: Params
  task: Task
  learner: Learner
  perturb: Perturb | None

  def adapt(self, params: Params, learner: Learner) -> Params:
    """The adapted parameters theta from a w, perturbed."""
    return adapt(self.loss_fn, params, self.task.support, learner, perturb=self.perturb)


def compute(problem: Problem) -> tuple[Any, Params]:
  """The message of a learner, and theta."""
  return _MESSAGES[type(problem.learner.kind)](problem)


def _meta_gradient(problem: Problem) -> tuple[Any, Params]:
  """Derivative of L(theta(w); D_q) in w, and in the rates, by both orders (equations 4, 7)."""
  loss_fn, params, task, learner, _ = problem

  def loss(variables: tuple[Params, Params | None]) -> tuple[jax.Array, Params]:
    params, rates = variables
    theta = problem.adapt(params, dataclasses.replace(learner, rates=rates))
    return loss_fn(theta, task.query), theta

  variables = params, checked_rates(learner, params)
  (gradient, rates), theta = jax.grad(loss, has_aux=True)(variables)
  return (gradient if rates is None else WithRates(gradient, rates)), theta


def _reptile(problem: Problem) -> tuple[Params, Params]:
  """Message w - theta."""
  theta = problem.adapt(problem.params, problem.learner)
  return jax.tree.map(jnp.subtract, problem.params, theta), theta


def _delta(problem: Problem) -> tuple[Params, Params]:
  """Message theta - w."""
  theta = problem.adapt(problem.params, problem.learner)
  return jax.tree.map(jnp.subtract, theta, problem.params), theta


def _implicit(problem: Problem) -> tuple[Params, Params]:
  """(I + H / strength)^-1 grad L(theta; D_q) in the parameters that adapt.

  Others enter the minimum through the support loss: with v the above and F the mixed second
  derivatives, theirs is grad L(theta; D_q) - F v / strength.
  """
  loss_fn, params, task, learner, _ = problem
  kind = cast(kinds.ImplicitMAML, learner.kind)
  theta, restrict = problem.adapt(params, learner), restriction(learner, params)
  gradient = jax.grad(loss_fn)(theta, task.query)

  def bend(vector: Params) -> Params:
    """H v / strength, of all parameters."""
    whole = merge(vector, jax.tree.map(jnp.zeros_like, theta))
    bent = jax.jvp(lambda t: jax.grad(loss_fn)(t, task.support), (theta,), (whole,))[1]
    return jax.tree.map(lambda h: h / like(h, kind.strength), bent)

  def system(vector: Params) -> Params:
    return jax.tree.map(jnp.add, vector, restrict(bend(vector)))

  right = restrict(gradient)
  rounding = max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(gradient))
  solved, _ = cg(system, right, tol=rounding, maxiter=kind.iterations)
  if learner.trainable is None:
    return solved, theta
  through = jax.tree.map(jnp.subtract, gradient, bend(solved))
  return merge(solved, through), theta


def _custom(problem: Problem) -> tuple[Any, Params]:
  """A message of a user's own function.

  Raises:
    InputError: if it is said to be a gradient, and is no pytree like the parameters.
  """
  loss_fn, params, task, learner, perturb = problem
  kind = cast(kinds.Custom, learner.kind)

  def adapt_on(params: Params, support: Any) -> Params:
    return adapt(loss_fn, params, support, learner, perturb=perturb)

  message = kind.function(loss_fn, params, task, adapt_on)
  found, wanted = (jax.tree.map(jnp.shape, tree) for tree in (message, params))
  if kind.is_gradient and found != wanted:
    raise InputError(
      f'the message must be a gradient like the parameters, {wanted}, not {found}'
    )
  return message, problem.adapt(params, learner)


_MESSAGES: dict[type, Callable[[Problem], tuple[Any, Params]]] = {
  kinds.ExactMAML: _meta_gradient,
  kinds.FirstOrderMAML: _meta_gradient,
  kinds.Reptile: _reptile,
  kinds.Delta: _delta,
  kinds.ImplicitMAML: _implicit,
  kinds.Custom: _custom,
}


def as_gradient(learner: Learner, message: Any) -> Any:
  """A received message as attacks read it: in the direction and on the scale of a gradient.

  'reptile' and 'delta' send w - theta and theta - w, after plain steps of a rate a the sum of a
  times the gradient of each: divided by a, or by its product with the rates of each parameter,
  and by the number of steps this is the mean of the support set's gradients on the way. An
  optimiser of optax leaves the scale open, and theirs is then w - theta. A parameter of rate 0
  tells nothing: 0. Of 'maml' with rates this is the part in the parameters, and any other
  message itself.

  It needs nothing but the protocol, which the adversary knows, and no data.
  """
  if isinstance(message, WithRates):
    return message.gradient
  if not learner.kind.descends:
    return message
  unit = read_over(learner)

  def read(leaf: jax.Array, factor: Any) -> jax.Array:
    scale = like(leaf, unit) * like(leaf, factor)
    return jnp.where(scale == 0, 0, leaf / jnp.where(scale == 0, 1, scale))

  ones = jax.tree.map(lambda leaf: 1.0, message)
  return jax.tree.map(read, message, ones if learner.rates is None else learner.rates)


def read_over(learner: Learner) -> float | jax.Array:
  """The number that steps are divided by to be read as a gradient; 1 of any other message.

  It is negative of 'delta'. Rates of each parameter come on top of it; see `as_gradient`.
  """
  if not learner.kind.descends:
    return 1.0
  sign = -1.0 if isinstance(learner.kind, kinds.Delta) else 1.0
  return sign if learner.rate is None else sign * max(learner.steps, 1) * learner.rate
