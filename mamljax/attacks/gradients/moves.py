"""Operations that only move numbers, on arrays of JAX or of NumPy, and parameters seen by them.

A weight that is reshaped, transposed or sliced before it is used has the gradient of what is
used, moved in the same way: no operation here adds numbers up or scales them.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Move = Callable[[Any], Any]

_IDENTITIES = (
  'convert_element_type',
  'copy',
  'copy_p',
  'optimization_barrier',
  'reduce_precision',
)


def moves_of(name: str, params: Mapping[str, Any]) -> tuple[Move, ...] | None:
  """The moves from the operand of a primitive to its results; None if it is no move."""
  if name in _IDENTITIES:
    return (_stay,)
  return _MOVES[name](params) if name in _MOVES else None


def _stay(x: Any) -> Any:
  return x


def _reshape(params: Mapping[str, Any]) -> tuple[Move, ...] | None:
  if params.get('dimensions') is not None:
    return None
  return (lambda x: x.reshape(params['new_sizes']),)


def _broadcast(params: Mapping[str, Any]) -> tuple[Move, ...]:
  shape, kept = params['shape'], [int(at) for at in params['broadcast_dimensions']]

  def spread(x: Any) -> Any:
    sizes = dict(zip(kept, x.shape, strict=True))
    x = x.reshape([sizes.get(at, 1) for at in range(len(shape))])
    return (np if isinstance(x, np.ndarray) else jnp).broadcast_to(x, shape)

  return (spread,)


def _slice(params: Mapping[str, Any]) -> tuple[Move, ...]:
  strides = params['strides'] or [1] * len(params['start_indices'])
  bounds = zip(params['start_indices'], params['limit_indices'], strides, strict=True)
  window = tuple(slice(int(a), int(b), int(step)) for a, b, step in bounds)
  return (lambda x: x[window],)


def _split(params: Mapping[str, Any]) -> tuple[Move, ...]:
  ends = np.cumsum([0, *params['sizes']])
  before = (slice(None),) * params['axis']
  windows = [(*before, slice(int(a), int(b))) for a, b in itertools.pairwise(ends)]
  return tuple(lambda x, window=window: x[window] for window in windows)


def _reverse(params: Mapping[str, Any]) -> tuple[Move, ...]:
  turned = set(params['dimensions'])

  def turn(x: Any) -> Any:
    return x[tuple(slice(None, None, -1 if at in turned else 1) for at in range(x.ndim))]

  return (turn,)


def _squeeze(params: Mapping[str, Any]) -> tuple[Move, ...]:
  gone = set(params['dimensions'])
  return (lambda x: x.reshape([n for at, n in enumerate(x.shape) if at not in gone]),)


def _transpose(params: Mapping[str, Any]) -> tuple[Move, ...]:
  return (lambda x: x.transpose(params['permutation']),)


_MOVES: dict[str, Callable[[Mapping[str, Any]], tuple[Move, ...] | None]] = {
  'broadcast_in_dim': _broadcast,
  'reshape': _reshape,
  'rev': _reverse,
  'slice': _slice,
  'split': _split,
  'squeeze': _squeeze,
  'transpose': _transpose,
}


class View(NamedTuple):
  """A parameter, or a part of it, as an operation meets it.

  Attributes:
    leaf: its place among the leaves of the parameters.
    moves: what is done to it, in order.
  """

  leaf: int
  moves: tuple[Move, ...] = ()

  def then(self, move: Move) -> 'View':
    """The view after one more move."""
    return View(self.leaf, (*self.moves, move))

  def of(self, leaf: Any) -> Any:
    """Another array of the leaf's shape, such as its gradient, moved in the same way."""
    for move in self.moves:
      leaf = move(leaf)
    return leaf

  def numbers(self, shape: tuple[int, ...]) -> np.ndarray:
    """The place in the flattened leaf of each number of the view."""
    return self.of(np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape))
