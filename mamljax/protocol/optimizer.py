"""One step of an inner loop: by a rate, or by an optimiser of optax with its state.

The square root of Adam and its kin has no derivative at 0, where the gradient of every weight
of a black pixel or a dead unit is: JAX makes NaN of it, of which a meta-gradient then is full.
No change of w moves such a gradient, so the step is a constant there, and is taken for one as
long as the gradient has been exactly 0 in all steps. An `eps_root` of the optimiser's own keeps
the derivative finite, and is then left alone.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mamljax.numerics import like
from mamljax.protocol.learner import Learner
from mamljax.types import Params


class Carry(NamedTuple):
  """State of an inner loop between two steps.

  Attributes:
    theta: the parameters that adapt.
    optimizer: the state of the optimiser, () for plain steps.
    alive: of each parameter, False while its gradient has been exactly 0; None where that does
      not matter.
  """

  theta: Params
  optimizer: Any
  alive: Params | None


def begin(learner: Learner, theta: Params) -> Carry:
  """The state before the first step."""
  if not isinstance(learner.optimizer, optax.GradientTransformation):
    return Carry(theta, (), None)
  alive = None
  if _breaks_at_zero(learner.optimizer, theta):
    alive = jax.tree.map(lambda t: jnp.zeros(jnp.shape(t), bool), theta)
  return Carry(theta, learner.optimizer.init(theta), alive)


def step_down(learner: Learner, carry: Carry, gradient: Params) -> tuple[Params, Carry]:
  """The step that is subtracted from theta, before any `rates`, and the state after it."""
  theta = carry.theta
  gradient = jax.tree.map(like, theta, gradient)
  if not isinstance(learner.optimizer, optax.GradientTransformation):
    # Neither a rate nor a perturbed gradient of another type may promote the parameters.
    step = jax.tree.map(lambda t, g: like(t, learner.optimizer) * g, theta, gradient)
    return step, carry
  update = optax.with_extra_args_support(learner.optimizer).update
  if carry.alive is None:
    upwards, state = update(gradient, carry.optimizer, theta)
    return _down(theta, upwards), carry._replace(optimizer=state)
  alive = jax.tree.map(lambda a, g: a | (g != 0), carry.alive, gradient)
  # A NaN derivative is left behind at either end, whatever is differentiated again.
  moved = jax.tree.map(lambda a, g: jnp.where(a, g, 0), alive, gradient)
  upwards, state = update(moved, carry.optimizer, theta)
  still, _ = update(*jax.lax.stop_gradient((gradient, carry.optimizer)), theta)
  upwards = jax.tree.map(jnp.where, alive, upwards, still)
  return _down(theta, upwards), carry._replace(optimizer=state, alive=alive)


def _down(theta: Params, upwards: Params) -> Params:
  """The negative of an optimiser's update, in the parameters' types."""
  return jax.tree.map(lambda t, u: -like(t, u), theta, upwards)


def _breaks_at_zero(optimizer: optax.GradientTransformation, theta: Params) -> bool:
  """True if a step's derivative is not finite where some of the gradient is 0."""
  leaves, structure = jax.tree.flatten(theta)
  described = tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
  return _breaks(optimizer, structure, described)


@functools.lru_cache(maxsize=256)
def _breaks(optimizer: optax.GradientTransformation, structure: Any, described: Any) -> bool:
  """`_breaks_at_zero`, of parameters of this structure, shapes and types."""
  with jax.ensure_compile_time_eval():
    # 0, 1, 0, 1, ...: a norm of all of it has a derivative.
    leaves = [(jnp.arange(math.prod(s)) % 2).reshape(s).astype(t) for s, t in described]
    at = jax.tree.unflatten(structure, leaves)
    update = optax.with_extra_args_support(optimizer).update
    outputs, back = jax.vjp(lambda gradient: update(gradient, optimizer.init(at), at)[0], at)
    slopes = jax.tree.leaves(back(jax.tree.map(jnp.ones_like, outputs)))
    return not all(bool(jnp.isfinite(slope).all()) for slope in slopes)
