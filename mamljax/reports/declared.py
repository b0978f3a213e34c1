"""Learners of an audit, an `InnerLoop` or a `Learner`: checked, and put in words."""

from typing import Any, cast

import jax.numpy as jnp
import optax

from mamljax.defences import Compression, Defence, PerExample, parts_of
from mamljax.errors import InputError
from mamljax.maml import Inner, as_learner
from mamljax.protocol.guarantees import PROTECTED, guarantees
from mamljax.protocol.learner import Learner
from mamljax.reports import optimizers

_DELTA = 1e-5  # of a guarantee in words
_SENT = {
  'maml': 'the exact meta-gradient (MAML)',
  'fomaml': 'the first-order meta-gradient (FOMAML)',
  'reptile': 'the step from the adapted weights back to w (Reptile)',
  'delta': 'the change of its weights',
  'imaml': 'the implicit meta-gradient (iMAML)',
}


def check(learner: Any) -> None:
  """Refuses what is neither an `InnerLoop` nor a `Learner`."""
  if isinstance(learner, type) or not hasattr(learner, 'steps'):
    raise InputError(
      f'learner must be a mamljax.Learner or a mamljax.InnerLoop, not {learner!r}: for example '
      f'mamljax.InnerLoop(1, 0.1)'
    )


def is_plain(inner: Inner) -> bool:
  """Tests whether a learner descends at one rate and sends a gradient.

  That is the least that every attack assumes.
  """
  learner = as_learner(inner)
  return learner.deviation is None and learner.kind.name in ('maml', 'fomaml')


def describe(inner: Inner) -> str:
  """A learner in words, such as '1 step of gradient descent at rate 0.1, ...'."""
  learner = as_learner(inner)
  steps, rate = f'{learner.steps} step{"s" * (learner.steps != 1)}', learner.rate
  by = _optimizer(learner) if rate is None else f'gradient descent at rate {_number(rate)}'
  apart = f' ({learner.deviation})' if learner.deviation and rate is not None else ''
  message = _SENT.get(learner.kind.name, 'a message of its own')
  return f'{steps} of {by}{apart}; it sends {message}'


def _optimizer(learner: Learner) -> str:
  """The optimiser of a learner in words."""
  return optimizers.describe(cast(optax.GradientTransformation, learner.optimizer))


def describe_defence(defence: Defence, inner: Inner) -> str:
  """A defence in words: its hook at each point and what they guarantee to a learner."""
  hooks = describe_hooks(defence)
  return f'{hooks} ({_guarantee(defence, as_learner(inner))})' if hooks else 'none'


def describe_hooks(defence: Defence) -> str:
  """The hook of a defence at each point, in words; '' without any."""
  hooks: dict[str, Any] = defence._asdict()
  return ' and '.join(
    f'{_hook(hook)} on {_POINTS[name]}' for name, hook in hooks.items() if hook
  )


def _guarantee(defence: Defence, learner: Learner) -> str:
  """The guarantees of a defence in words."""
  found = guarantees(defence, learner, delta=_DELTA)
  if not found:
    return 'no guarantee'
  alone = '' if 'task' in found else ' and of nothing else'
  each = [
    f'of {PROTECTED[name]}, epsilon {epsilon:.3g} where a {name} is replaced by another'
    for name, epsilon in found.items()
  ]
  return (
    f'which guarantees differential privacy, for one update at delta {_DELTA:g}, '
    f'{", and ".join(each)}{alone}'
  )


_POINTS = {
  'support': 'the support images',
  'inner': 'the gradients of the adaptation',
  'query': 'the query images',
  'outgoing': 'what is sent',
}


def _hook(hook: Any) -> str:
  """A hook in words."""
  return ', then '.join(map(_part, parts_of(hook)))


def _part(hook: Any) -> str:
  """A hook that is no composition, in words."""
  if isinstance(hook, Compression):
    return type(hook).__name__ + f' of {_numbers(hook)}' * bool(vars(hook))
  if isinstance(hook, PerExample):
    return f'{type(hook).__name__} of {_numbers(hook)}, on the term of each example,'
  scale, clip = (getattr(hook, name, None) for name in ('scale', 'clip'))
  clipped = '' if clip is None else f', after a clip to norm {_number(clip)},'
  noise = '' if scale is None else f' noise of scale {_number(scale)}'
  return type(hook).__name__ + noise + clipped


def _numbers(hook: Any) -> str:
  """The numbers of a hook by name."""
  return ' and '.join(
    f'{name.replace("_", " ")} {_number(value)}' for name, value in vars(hook).items()
  )


def _number(value: Any) -> str:
  """A number to four digits."""
  return f'{float(jnp.asarray(value)):.4g}' if jnp.ndim(value) == 0 else 'that is an array'
