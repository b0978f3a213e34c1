"""Learners of an audit, an `InnerLoop` or a `Learner`: checked, and put in words."""

from typing import Any

import jax.numpy as jnp

from mamljax.defences import Defence
from mamljax.errors import InputError
from mamljax.maml import Inner, as_learner

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
  by = 'an optimiser of optax' if rate is None else f'gradient descent at rate {_number(rate)}'
  apart = f' ({learner.deviation})' if learner.deviation and rate is not None else ''
  message = _SENT.get(learner.kind.name, 'a message of its own')
  return f'{steps} of {by}{apart}; it sends {message}'


def describe_defence(defence: Defence) -> str:
  """A defence in words: its hook at each point, or none."""
  hooks: dict[str, Any] = defence._asdict()
  points = [f'{_hook(hook)} on {_POINTS[name]}' for name, hook in hooks.items() if hook]
  return ' and '.join(points) or 'none'


_POINTS = {
  'support': 'the support images',
  'inner': 'the gradients of the adaptation',
  'query': 'the query images',
  'outgoing': 'what is sent',
}


def _hook(hook: Any) -> str:
  """A hook in words."""
  scale = getattr(hook, 'scale', None)
  return type(hook).__name__ + (
    f' noise of scale {_number(scale)}' if scale is not None else ''
  )


def _number(value: Any) -> str:
  """A number to four digits."""
  return f'{float(jnp.asarray(value)):.4g}' if jnp.ndim(value) == 0 else 'that is an array'
