"""The contract of a defence: four hooks, each the identity by default."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

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
    inner: applied to each gradient of the adaptation.
    query: applied to the query images, before the loss.
    outgoing: applied to the meta-gradient, before it is sent.
  """

  support: Hook | None = None
  inner: Hook | None = None
  query: Hook | None = None
  outgoing: Hook | None = None
