"""Learner of an audit: returned by the model's function, or described by flags."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import optax
from absl import flags

from experiments.auditing.model import Model
from experiments.process import bounds, cli
from mamljax import InnerLoop, Learner
from mamljax.defences import MECHANISMS, NOISES, Defence, make_defence, parse_defence
from mamljax.errors import InputError, unknown

STEPS = bounds.Bounds(0, 10_000, 'steps')
OPTIMIZERS: dict[str, Callable[[float], Any]] = {
  'sgd': float,  # a rate alone is plain gradient descent
  'momentum': functools.partial(optax.sgd, momentum=0.9),
  'adam': optax.adam,
}
NUMBERS = ('noise_scale', 'clip', 'noise_multiplier')  # of a defence
PROTOCOL = ('steps', 'optimizer', 'rate', 'sends')
NAMES = (*PROTOCOL, 'defence', *NUMBERS)


def define(*, defended: bool = True) -> None:
  """Defines the flags of a learner, or only those of one without a defence."""
  title = 'learner, where the function of --model returns none'
  group: dict[str, Any] = {'module_name': cli.group(title)}
  steps = 'number of gradient steps that a learner takes on its support set'
  bounds.integer('steps', 1, STEPS, steps, group=cli.group(title))
  optimizer = 'optimizer of the learner: sgd, momentum (of 0.9) or adam'
  flags.DEFINE_string('optimizer', 'sgd', optimizer, **group)
  rate = 'step size of the learner'
  bounds.real('rate', 0.1, bounds.POSITIVE, rate, group=cli.group(title))
  sends = 'message of a learner: maml, fomaml, reptile, imaml or delta'
  flags.DEFINE_string('sends', 'maml', sends, **group)
  if defended:
    _define_defence(group, title)


def _define_defence(group: dict[str, Any], title: str) -> None:
  """Defines the flags of a learner's defence."""
  defence = (
    'noise that the learner adds: none, or one or several of support_noise, '
    'inner_gradient_noise, query_noise and outgoing_gradient_noise, dp_gaussian, dp_examples '
    'or dp_steps, joined by +, with compressions of what is sent, 0.1*top_k, sign or '
    '2*quantised, or with 8*aggregate, the sum of eight learners'
  )
  flags.DEFINE_string('defence', 'none', defence, **group)
  scale = 'standard deviation of the noise of --defence'
  bounds.real('noise_scale', 0.0, bounds.POSITIVE, scale, group=cli.group(title))
  clip = (
    'norm that dp_gaussian clips what is sent to, or dp_examples and dp_steps the term of each '
    'example'
  )
  bounds.real('clip', 0.0, bounds.POSITIVE, clip, group=cli.group(title))
  multiplier = 'standard deviation of the noise of these mechanisms, in units of --clip'
  bounds.real('noise_multiplier', 0.0, bounds.POSITIVE, multiplier, group=cli.group(title))


def of(model: Model, *, defended: bool = True) -> Learner | InnerLoop:
  """The learner that comes with a model, else the one that the flags describe.

  Args:
    model: the model.
    defended: as of `define`.

  Raises:
    InputError: if both are given, or as `described` does.
  """
  named = [flags.FLAGS[name] for name in (NAMES if defended else PROTOCOL)]
  if model.learner is None:
    values: dict[str, Any] = {flag.name: flag.value for flag in named}
    return described(**values)
  return undisputed(model.learner, [flag.name for flag in named if flag.present])


def undisputed(learner: Learner | InnerLoop, given: Sequence[str]) -> Learner | InnerLoop:
  """The learner that comes with a model, unless flags of these names describe another."""
  if given:
    raise InputError(
      f'{", ".join(f"--{name}" for name in given)}: the function of --model returns a learner '
      f'already, a {type(learner).__name__} of {learner.steps} step'
      f'{"s" * (learner.steps != 1)}: give its options there, or return (loss_fn, params)'
    )
  return learner


def described(
  *,
  steps: int,
  optimizer: str,
  rate: float,
  sends: str,
  defence: str = 'none',
  **numbers: float,
) -> Learner:
  """The learner of the values of the flags.

  Raises:
    InputError: if a value is none of those above, or a defence has no noise or no clip.
  """
  if optimizer not in OPTIMIZERS:
    raise unknown('optimizer', optimizer, OPTIMIZERS)
  hooks = _protected(defence, **numbers) if defence != 'none' or any(numbers.values()) else None
  return Learner(steps, OPTIMIZERS[optimizer](rate), sends=sends, defence=hooks)


def _protected(
  defence: str, *, noise_scale: float = 0.0, clip: float = 0.0, noise_multiplier: float = 0.0
) -> Defence:
  """The defence of a name, which has the numbers that it needs and no others."""
  named = {*parse_defence(defence)}
  needed = {'noise_scale': bool(named & {*NOISES}), 'clip': bool(named & {*MECHANISMS})}
  for name, given in (('noise_scale', noise_scale), ('clip', clip)):
    if needed[name] != (given > 0):
      raise InputError(f'--defence={defence} and --{name}={given:g} do not go together')
  if noise_multiplier and not clip:
    raise InputError(f'--noise_multiplier={noise_multiplier:g} needs a --clip')
  return make_defence(defence, scale=noise_scale, clip=clip, noise_multiplier=noise_multiplier)
