"""Declaration of a task-learner: its inner loop, its message and its defence."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax

from mamljax import checks
from mamljax.defences.defence import AnyDefence, as_defence
from mamljax.errors import InputError, unknown
from mamljax.protocol.kinds import SENDS, Custom, Kind
from mamljax.types import Params

Trainable = Callable[[str], bool]


@dataclasses.dataclass(frozen=True)
class Learner:
  """Task-learner: how it adapts, which message it sends, and what protects it.

  A pytree: numbers are leaves, so that a change of a rate does not recompile; lengths, names
  and functions are static. An optimiser of optax is a pair of functions, so another one, with
  another rate, is compiled anew: give one object to all calls.

  Attributes:
    steps: number of steps on the support set; 0 leaves the parameters as they are.
    optimizer: the rate of plain gradient steps, or an `optax.GradientTransformation`, whose
      state begins anew with each task and is differentiated through. (Adam without an
      `eps_root` has no derivative where a gradient is exactly 0, as that of a black pixel's
      weights: such a step is taken for a constant.)
    rates: factors of the step of each parameter, a pytree like the parameters of numbers or
      arrays that broadcast to them; `Learner(1, 1.0, rates)` is Meta-SGD. The gradient in them
      is sent beside that in the parameters, as `WithRates`, where a gradient through the steps
      is sent: with 'maml' and, the steps' gradients taken for constants, with 'fomaml'.
    trainable: `path -> bool`, True for the parameters that adapt; None for all. A path is the
      names that lead to a leaf, joined by '/', such as 'Dense_0/kernel'. (Of the head alone:
      ANIL; of the body alone: BOIL.) The gradient that is sent is in all parameters.
    sends: the message, a name in `SENDS`, an options object such as `ImplicitMAML`, or a
      function as that of `Custom`. 'reptile' and 'delta' leave the query set out.
    defence: the hooks at the four points of section IV-E, or a mechanism such as `DPGaussian`,
      for what is sent; None for no defence.
    remat: recompute steps in a backward pass instead of storing them, as `InnerLoop` does.
  """

  steps: int
  optimizer: float | jax.Array | optax.GradientTransformation
  rates: Params | None = None
  trainable: Trainable | None = None
  sends: str | Kind | Callable[..., Any] = 'maml'
  defence: AnyDefence | None = None
  remat: bool = False

  def __post_init__(self):
    checks.whole('inner steps', self.steps, least=0)
    if not _is_rate(self.optimizer) and not _is_transformation(self.optimizer):
      raise InputError(
        'optimizer must be a rate, such as 0.1, or an optax.GradientTransformation, such as '
        f'optax.adam(0.01), not {named(self.optimizer)}'
      )
    if self.trainable is not None and not callable(self.trainable):
      raise InputError(f'trainable must be a function of a path, not {self.trainable!r}')
    if isinstance(self.sends, str) and self.sends not in SENDS:
      raise unknown('message', self.sends, SENDS)
    if isinstance(self.sends, type) or not (
      isinstance(self.sends, str | Kind) or callable(self.sends)
    ):
      raise InputError(
        f'sends must be a name ({", ".join(SENDS)}), an object such as mamljax.ImplicitMAML() '
        f'or a function, not {named(self.sends)}'
      )
    if not isinstance(self.remat, bool):
      raise InputError(f'remat must be True or False, not {self.remat!r}')
    as_defence(self.defence)

  @property
  def kind(self) -> Kind:
    """The kind of message, with its options."""
    if isinstance(self.sends, str):
      return SENDS[self.sends]
    return self.sends if isinstance(self.sends, Kind) else Custom(self.sends)

  @property
  def rate(self) -> float | jax.Array | None:
    """The rate of plain gradient steps; None with an optimiser of optax."""
    return None if isinstance(self.optimizer, optax.GradientTransformation) else self.optimizer

  @property
  def undefended(self) -> 'Learner':
    """The learner without its defence."""
    return dataclasses.replace(self, defence=None)

  @property
  def sends_rates(self) -> bool:
    """True if the gradient in the rates is sent as well."""
    return self.rates is not None and self.kind.name in ('maml', 'fomaml')

  @property
  def deviation(self) -> str | None:
    """The ways in which the steps are not plain ones of one rate on all parameters, or None."""
    found = [
      'an optimiser of optax' * (self.rate is None),
      'rates of each parameter' * (self.rates is not None),
      'some of the parameters alone' * (self.trainable is not None),
      'a pull towards w' * (self.kind.name == 'imaml'),
    ]
    return ' and '.join(filter(None, found)) or None


def check_target(learner: Learner, target: str) -> None:
  """Refuses to seek the query set in a message that has nothing of it."""
  if target == 'query' and not learner.kind.uses_query:
    raise InputError(
      f'a learner that sends {learner.kind.name!r} does not use its query set, so nothing of '
      f"it can be found: seek the support set, target='support'"
    )


def is_optimizer(value: Any) -> bool:
  """Tests whether a value is an optimiser, or a function that makes one, such as optax.adam."""
  return _is_transformation(value) or callable(value)


def _is_transformation(value: Any) -> bool:
  """Tests whether a value is an optimiser of optax."""
  return isinstance(value, optax.GradientTransformation)


def _is_rate(value: Any) -> bool:
  """Tests whether a value is a number or an array, traced or abstract ones included."""
  is_number = isinstance(value, int | float) and not isinstance(value, bool)
  return is_number or hasattr(value, 'dtype')


def named(value: Any) -> str:
  """A value as a message names it: a function or an optimiser by its name, all else in full."""
  if _is_transformation(value):
    return 'an optimiser of optax'
  if not hasattr(value, '__qualname__'):
    return repr(value)
  return f'the {"class" if isinstance(value, type) else "function"} {value.__qualname__}'


def _is_static(value: Any) -> bool:
  """True for a name, a function, and functions in a pair, of which JAX can trace none."""
  if isinstance(value, str | optax.GradientTransformation):
    return True
  return callable(value) and not isinstance(value, Kind)


Static = tuple[tuple[tuple[str, Any], ...], type]  # fields by name, and the class of `sends`


def _flatten(learner: Learner) -> tuple[list[tuple[Any, Any]], Static]:
  """The fields with numbers by name, and the others.

  To JAX, messages of two classes are equal if their options are; their classes are not.
  """
  numbers, static = [], []
  for field in dataclasses.fields(learner):
    value = getattr(learner, field.name)
    if field.name in ('steps', 'trainable', 'remat') or _is_static(value):
      static.append((field.name, value))
    else:
      numbers.append((jax.tree_util.GetAttrKey(field.name), value))
  return numbers, (tuple(static), type(learner.sends))


def _unflatten(static: Static, numbers: Any) -> Learner:
  """A learner of the fields that `_flatten` took apart, unchecked: JAX fills in anything."""
  learner = object.__new__(Learner)
  given = dict(static[0])
  names = (field.name for field in dataclasses.fields(Learner) if field.name not in given)
  for name, value in (*static[0], *zip(names, numbers, strict=True)):
    object.__setattr__(learner, name, value)
  return learner


jax.tree_util.register_pytree_with_keys(Learner, _flatten, _unflatten)
