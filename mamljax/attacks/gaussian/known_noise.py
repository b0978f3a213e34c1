"""Published noise and clip of a defence, as an adversary allows for them.

A clip takes one number from a gradient g: s g is sent, s = min(1, C / |g|). Where what is sent
reaches the clip, s is estimated by generalised least squares against the mean that public
images lead to expect, which has far more numbers than one.

A compression, such as pruning, is read as it publishes: each number with the variance of its
error, those of which nothing is told being left out. It must come last: of noise on a pruned
message nobody sees where it was pruned.

Noise and clip are published for the message. Steps of an adaptation are read as a gradient,
over their rate and number, and so are the noise on them and their clip, where the learner is
known.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax.attacks.knowledge import Knowledge, known_defence
from mamljax.defences.defence import (
  Aggregation,
  Compression,
  Defence,
  Hook,
  Mechanism,
  Noise,
  identity,
  parts_of,
  per_example,
)
from mamljax.maml import as_learner
from mamljax.numerics import clip_norm, like, norm
from mamljax.protocol.messages import read_over
from mamljax.types import Params

DRAWS = 64  # of the noise on a candidate, whose effect is a mean over them
_AT_ONCE = 16  # of them, computed together
_LEAST = 1e-3  # of the greatest factor of a clip; less is noise
_ROUNDING = 1e-3  # of a clip's square
_SURE = 3.0  # standard deviations by which what is shorter than the clip must fall short


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
  """sigma^2 of the noise on each number of a gradient as it is read; 0 if there is none.

  Raises:
    TypeError: if the strength of that noise is not published.
  """
  noise = _noise_of(knowledge)
  if noise is None:
    return jnp.zeros(())
  return (jnp.asarray(noise.scale, jnp.float32) / _unit(knowledge)) ** 2


def without_mean(knowledge: Knowledge, gradient: Params) -> Params:
  """A received gradient less what the noise on it adds on average."""
  noise = _noise_of(knowledge)
  if noise is None:
    return gradient
  mean = noise.mean / _unit(knowledge)
  return jax.tree.map(lambda g: g - like(g, mean), gradient)


def clip_of(knowledge: Knowledge) -> float | jax.Array | None:
  """The norm that what is sent is clipped to, as it is read, or None."""
  mechanism = _noise_of(knowledge)
  if not isinstance(mechanism, Mechanism):
    return None
  return mechanism.clip / abs(_unit(knowledge))


def clip_factor(
  knowledge: Knowledge,
  sent: Params,
  received: jax.Array,
  mean: jax.Array,
  *,
  solve: Callable[[jax.Array], jax.Array],
  most: float | jax.Array = 1.0,
) -> float | jax.Array:
  """The factor s by which a clip has shrunk a gradient; 1 if it has not, or there is none.

  Args:
    knowledge: that of the adversary, the defence included.
    sent: what is received, less the mean of the noise.
    received: the same as a vector, in any coordinates.
    mean: the mean of the gradient before the clip, in those coordinates.
    solve: their covariance's inverse, applied to a vector.
    most: the greatest factor.
  """
  clip = clip_of(knowledge)
  if clip is None:
    return 1.0
  solved = solve(mean)
  found = (solved @ received) / (solved @ mean)
  possible = jnp.clip(found, _LEAST * most, most)
  if compression_of(known_defence(knowledge)) is not None:  # which makes it longer or shorter
    return possible
  return jnp.where(_reaches(jnp.float32(clip), variance_sent(knowledge), sent), possible, 1.0)


def _reaches(clip: jax.Array, variance: jax.Array, sent: Params) -> jax.Array:
  """True unless what is sent is shorter than a clipped gradient with that noise would be."""
  size = sum(leaf.size for leaf in jax.tree.leaves(sent))
  deviation = jnp.sqrt(4 * variance * clip**2 + 2 * size * variance**2)
  shortest = (1 - _ROUNDING) * clip**2 + size * variance - _SURE * deviation
  return norm(sent) ** 2 >= shortest


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


def compression_of(defence: Defence | None) -> Compression | None:
  """The compression of what is sent, if that is what comes last."""
  parts = parts_of(getattr(defence, 'outgoing', None))
  return parts[-1] if parts and isinstance(parts[-1], Compression) else None


def _before_compression(defence: Defence | None) -> tuple[Hook, ...]:
  """The hooks on what is sent, without a compression that comes last."""
  parts = parts_of(getattr(defence, 'outgoing', None))
  return parts[: len(parts) - (compression_of(defence) is not None)]


def is_readable(defence: Defence) -> bool:
  """Tests whether what a defence does to a message is one noise, a compression, or both so."""
  before = _before_compression(defence)
  return len(before) <= 1 and all(isinstance(part, Noise) for part in before)


def is_readable_mean(defence: Defence) -> bool:
  """Tests whether a message is readable, or becomes so with its terms clipped one by one."""
  terms = per_example(defence.outgoing) is not None and len(parts_of(defence.outgoing)) == 1
  return terms or is_readable(defence)


def is_readable_sum(defence: Defence) -> bool:
  """Tests whether a message is readable, or is a sum over learners with one noise at the most.

  The noise has no clip: one number of each learner's message would be lost.
  """
  parts = parts_of(defence.outgoing)
  rest = [part for part in parts if not isinstance(part, Aggregation)]
  plain = all(isinstance(part, Noise) and not isinstance(part, Mechanism) for part in rest)
  return (len(rest) < len(parts) and len(rest) <= 1 and plain) or is_readable_mean(defence)


class _Published(NamedTuple):
  """Noise of published size, of which nothing else is looked at."""

  mean: Any
  scale: Any


def on_mean(knowledge: Knowledge, count: int) -> Knowledge:
  """The knowledge of what is done to the parts of a mean, in the form of noise on the mean.

  Of a mean over m learners the noise has m times its own mean, that on their sum.

  Args:
    knowledge: that of the adversary, the defence included.
    count: terms, those of single examples, of the message of a learner.
  """
  defence = known_defence(knowledge)
  if defence is None or is_readable(defence) or not is_readable_sum(defence):
    return knowledge
  mechanism = per_example(defence.outgoing)
  noise: Any = mechanism.noise_of(count) if mechanism else _on_sum(parts_of(defence.outgoing))
  return dataclasses.replace(knowledge, defence=defence._replace(outgoing=noise))


def _on_sum(parts: tuple[Hook, ...]) -> _Published | None:
  """The noise on a mean over learners, that of each or of all together; None without any."""
  learners = next(part.learners for part in parts if isinstance(part, Aggregation))
  noise = next((part for part in parts if isinstance(part, Noise)), None)
  if noise is None:
    return None
  shrunk = learners**0.5 if noise is parts[0] else 1.0  # what each adds, averages out
  return _Published(learners * noise.mean, noise.scale / shrunk)


def term_sent(knowledge: Knowledge, gradient: Params) -> Params:
  """The gradient of one example as it enters the mean: clipped, where its term is."""
  mechanism = per_example(getattr(known_defence(knowledge), 'outgoing', None))
  return gradient if mechanism is None else clip_norm(gradient, mechanism.clip)


def keeps_zeros(defence: Defence) -> bool:
  """Tests whether numbers that are 0 before noise can be told from those that are not.

  So they can after a compression if it alone is there, and makes no zeros.
  """
  compression = compression_of(defence)
  if compression is None:
    return is_readable_sum(defence)
  return len(parts_of(defence.outgoing)) == 1 and not compression.makes_zeros


def as_sent(knowledge: Knowledge, value: Params, message: Params) -> Params:
  """A value of one's own in the form in which messages are compressed."""
  compression = compression_of(known_defence(knowledge))
  return value if compression is None else compression.alike(value, message)


class Reading(NamedTuple):
  """Numbers of a message as they are read, one by one.

  Attributes:
    residual: of each number less its mean; 0 where nothing is told, [size].
    error: the variance of its error; 0 where nothing is told, [size].
    told: False where nothing is told, [size].
  """

  residual: jax.Array
  error: jax.Array
  told: jax.Array


def read_compressed(
  knowledge: Knowledge, message: Params, mean: Params, variance: Params
) -> Reading:
  """The numbers of a message that is known to be compressed; see `Compression.read`.

  Raises:
    ValueError: if it is not.
  """
  compression = compression_of(known_defence(knowledge))
  if compression is None:
    raise ValueError('a message that is not compressed needs no reading')
  residual, error = (ravel_pytree(x)[0] for x in compression.read(message, mean, variance))
  told = jnp.isfinite(error)
  return Reading(jnp.where(told, residual, 0), jnp.where(told, error, 0), told)


def _unit(knowledge: Knowledge) -> float | jax.Array:
  """The number over which a message is read, not 0; 1 if the learner is not known."""
  if knowledge.inner is None:
    return 1.0
  unit = read_over(as_learner(knowledge.inner))
  return unit if isinstance(unit, float) and unit else jnp.where(unit == 0, 1, unit)


def unread(defence: Defence | None) -> str | None:
  """The reason why the noise on what is sent is not known, before it is compressed, or None."""
  parts = _before_compression(defence)
  for part in parts:
    if isinstance(part, Compression):
      return f'what {type(part).__name__} leaves is not known after another hook'
    if not isinstance(part, Noise):
      return f'the strength of {type(part).__name__} noise is not known'
  return f'{len(parts)} noises on what is sent are not known as one' if len(parts) > 1 else None


def _noise_of(knowledge: Knowledge) -> Noise | None:
  """The noise on what is sent, before it is compressed.

  Raises:
    TypeError: if something else is done to it.
  """
  defence = known_defence(knowledge)
  if (reason := unread(defence)) is not None:
    raise TypeError(reason)
  parts = _before_compression(defence)
  return cast(Noise, parts[0]) if parts else None
