"""The contract of a defence: four hooks, each the identity by default."""

from typing import Any, NamedTuple, NoReturn, Protocol, runtime_checkable

import jax

from mamljax.errors import InputError
from mamljax.types import Params


class Hook(Protocol):
  """A random change of images or of a gradient; a pytree, so that it can be traced."""

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The changed value, a pytree like `value`."""
    ...


@runtime_checkable
class Noise(Protocol):
  """Independent noise on every number, with published mean and standard deviation."""

  @property
  def mean(self) -> Any:
    """The mean of the noise."""

  @property
  def scale(self) -> Any:
    """The standard deviation of the noise."""


class Guaranteed(Protocol):
  """A clip to a published norm, and the guarantee to what it is put on."""

  @property
  def clip(self) -> Any:
    """The greatest norm that is kept."""

  def epsilon(
    self,
    delta: float,
    *,
    rounds: int = 1,
    sampling: float = 1.0,
    adjacency: str = 'replace_one',
  ) -> float:
    """The epsilon that is guaranteed at a delta."""
    ...


@runtime_checkable
class Mechanism(Noise, Guaranteed, Protocol):
  """Noise on a message that is clipped first: a guarantee for the whole task."""

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The value as it is sent."""
    ...


@runtime_checkable
class PerExample(Guaranteed, Protocol):
  """Mechanism on the terms of a mean, one of each example: a guarantee for one example.

  As a hook it takes these terms, a pytree with an axis of examples in front, in place of their
  mean: what has become a mean can no longer be bounded example by example.
  """

  def __call__(self, key: jax.Array, terms: Params, /) -> Params:
    """The mean of the clipped terms, with noise."""
    ...

  def mean_of(self, terms: Params, /) -> Params:
    """The mean of the clipped terms, without noise."""
    ...

  def noise_of(self, count: int) -> Noise:
    """The noise on a mean of so many terms."""
    ...


@runtime_checkable
class Compression(Protocol):
  """A coarser form of a message, and what who knows that form reads in it.

  It has no guarantee: nothing bounds what it leaves.
  """

  @property
  def makes_zeros(self) -> bool:
    """True if numbers are sent as 0 that are not."""
    ...

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The value as it is sent."""
    ...

  def alike(self, value: Params, message: Params, /) -> Params:
    """A value of one's own in the form of a message, on average, to be compared with it."""
    ...

  def read(self, message: Params, mean: Params, variance: Params, /) -> tuple[Params, Params]:
    """Reads each number of the value off a message, beside what was known of it.

    Args:
      message: what is received.
      mean: of each number before anything is received, a pytree like `message`.
      variance: of each number, likewise.

    Returns:
      The numbers as they are read, less their mean, and the variance of the error of that,
      which is infinite where nothing is told: the Gaussian approximation of the likelihood.
    """
    ...


@runtime_checkable
class Aggregation(Protocol):
  """Sum of several learners' messages, of which the adversary sees nothing else.

  As a hook it takes the messages, a pytree with an axis of learners in front.
  """

  @property
  def learners(self) -> int:
    """The number of learners."""
    ...

  def __call__(self, key: jax.Array, messages: Params, /) -> Params:
    """The mean of the messages."""
    ...


@runtime_checkable
class Composition(Protocol):
  """Several hooks at one point, one after another."""

  @property
  def parts(self) -> tuple[Hook, ...]:
    """The hooks, the first one first; none of them a composition."""
    ...

  def epsilon(self, delta: float, **options: Any) -> float:
    """The epsilon that is guaranteed at a delta."""
    ...


def parts_of(hook: Hook | None) -> tuple[Hook, ...]:
  """The hooks that one is made of, in their order; none for None."""
  if hook is None:
    return ()
  return hook.parts if isinstance(hook, Composition) else (hook,)


def per_example(hook: Hook | None) -> PerExample | None:
  """The hook that comes first, if it takes the terms of single examples; None otherwise."""
  parts = parts_of(hook)
  return parts[0] if parts and isinstance(parts[0], PerExample) else None


def learners_of(hook: Hook | None) -> int:
  """The number of learners whose messages are summed up before they are seen; 1 for no sum."""
  return next((part.learners for part in parts_of(hook) if isinstance(part, Aggregation)), 1)


def identity(key: jax.Array, value: Params, /) -> Params:
  """The hook that changes nothing."""
  del key
  return value


class Defence(NamedTuple):
  """A defence: the hooks that a task-learner applies at four points; all compose.

  A hook is None, for the identity, or a pytree that is a `Hook`, such as `Gaussian`. Its
  numbers may be traced, so that a change of a noise scale does not recompile.

  Attributes:
    support: applied to the support images, before adaptation.
    inner: applied to each gradient of the adaptation; a `PerExample` that comes first to the
      gradients of single support examples.
    query: applied to the query images, before the loss.
    outgoing: applied to the meta-gradient, before it is sent; a `PerExample` that comes first
      to the meta-gradients of single query examples.
  """

  support: Hook | None = None
  inner: Hook | None = None
  query: Hook | None = None
  outgoing: Hook | None = None

  @property
  def has_hooks(self) -> bool:
    """True if there is a hook at any point."""
    return any(hook is not None for hook in self)

  def epsilon(self, delta: float, **options: Any) -> float:
    """The epsilon of (epsilon, delta)-differential privacy of a learner's task.

    Only what is sent can have a guarantee: a hook before it is part of what is protected, and
    takes nothing away.

    Args:
      delta: above 0 and below 1.
      **options: those of `DPGaussian.epsilon`, the neighbouring relation among them.

    Raises:
      InputError: if nothing that is sent has a guarantee, or as `DPGaussian.epsilon` does.
    """
    if isinstance(self.outgoing, Mechanism | Composition):
      return self.outgoing.epsilon(delta, **options)
    raise no_guarantee(self.outgoing)


AnyDefence = Defence | Mechanism | PerExample  # a mechanism is that of what is sent


def no_guarantee(hook: Any) -> InputError:
  """The error for asking the guarantee of a hook that has none."""
  name = type(hook).__name__ if hook is not None else 'an update without noise'
  if (mechanism := per_example(hook)) is not None:
    return InputError(
      f'{type(mechanism).__name__} has no guarantee for a whole task, only for one example of '
      f'the query set: its own epsilon(delta) tells that one'
    )
  return InputError(
    f'{name} has no guarantee: noise on what is sent has one if that is clipped first, as by '
    f'DPGaussian(clip, noise_multiplier)'
  )


class Unguaranteed:
  """Defaults of a hook that has no guarantee."""

  def epsilon(self, delta: float, **options: Any) -> NoReturn:
    """Refuses: nothing bounds what is sent.

    Raises:
      InputError: always.
    """
    del delta, options
    raise no_guarantee(self)


def as_defence(given: Any) -> Defence | None:
  """The defence of a mechanism on what is sent by itself, or the given one.

  Raises:
    InputError: if it is neither, such as a hook that may belong to any of four points.
  """
  if given is None or isinstance(given, Defence):
    return given
  if isinstance(given, Mechanism | PerExample):
    return Defence(outgoing=given)
  raise InputError(
    f'a defence is a mamljax.Defence or a DPGaussian, not {given!r}: a hook needs its point, '
    f'as in Defence(outgoing=...)'
  )
