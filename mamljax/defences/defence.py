"""The contract of a defence: four hooks, each the identity unless something is put there."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from mamljax.types import Params


class Hook(Protocol):
  """Changes an array or a gradient before it is used; itself a pytree, so it can be traced."""

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The changed value, a pytree like `value`."""
    ...


@runtime_checkable
class Noise(Protocol):
  """Independent noise on every number, whose strength is published."""

  @property
  def mean(self) -> Any:
    """The mean of the noise."""

  @property
  def scale(self) -> Any:
    """The standard deviation of the noise."""


def identity(key: jax.Array, value: Params, /) -> Params:
  """The hook that protects nothing."""
  del key
  return value


class Defence(NamedTuple):
  """A defence: what a task-learner applies at each of four points; all four compose.

  A hook is None, for the identity, or a pytree that is also a `Hook`, such as `Gaussian`:
  its numbers may be traced, so that a change of noise scale does not recompile.

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
