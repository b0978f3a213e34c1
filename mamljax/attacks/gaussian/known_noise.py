"""Published noise of a defence, as an adversary allows for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks.knowledge import Knowledge, known_defence
from mamljax.defences.defence import Hook, Noise, identity
from mamljax.numerics import like
from mamljax.types import Params

DRAWS = 64  # of the noise on a candidate, whose effect is a mean over them
_AT_ONCE = 16  # of them, computed together


class Hooks(NamedTuple):
  """Hooks of a learner at each of the four points; see `Defence`."""

  support: Hook = identity
  inner: Hook = identity
  query: Hook = identity
  outgoing: Hook = identity


def hooks(knowledge: Knowledge) -> Hooks:
  """The hooks of a published defence, the identity where it does nothing."""
  return Hooks(*(hook or identity for hook in known_defence(knowledge) or ()))


def variance_sent(knowledge: Knowledge) -> jax.Array:
  """sigma^2 of the noise on each number of a gradient that is sent; 0 if there is none.

  Raises:
    TypeError: if the strength of that noise is not published.
  """
  noise = _sent(knowledge)
  return jnp.zeros(()) if noise is None else jnp.asarray(noise.scale, jnp.float32) ** 2


def without_mean(knowledge: Knowledge, gradient: Params) -> Params:
  """A received gradient less what the noise on it adds on average."""
  noise = _sent(knowledge)
  if noise is None:
    return gradient
  return jax.tree.map(lambda g: g - like(g, noise.mean), gradient)


def draws(knowledge: Knowledge, point: str) -> int:
  """Number of draws of the noise at a point that a mean is over; 1 if there is no noise."""
  there = getattr(known_defence(knowledge), point, None) is not None
  return DRAWS if there else 1


def over_draws(
  key: jax.Array,
  knowledge: Knowledge,
  point: str,
  function: Callable[[Any], jax.Array],
  image: jax.Array,
) -> jax.Array:
  """A function of an image under each draw of the noise at a point, [draws, ...]."""
  noise: Hook = getattr(hooks(knowledge), point)
  keys = jax.random.split(key, draws(knowledge, point))
  return jax.lax.map(lambda key: function(noise(key, image)), keys, batch_size=_AT_ONCE)


def _sent(knowledge: Knowledge) -> Noise | None:
  """The noise on what is sent."""
  noise = getattr(known_defence(knowledge), 'outgoing', None)
  if noise is not None and not isinstance(noise, Noise):
    raise TypeError(f'the strength of {type(noise).__name__} noise is not known')
  return noise
