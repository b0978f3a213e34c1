"""Parameters from files of other programs, PyTorch's layouts converted to JAX's."""

import logging
import math
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.errors import InputError, unknown
from mamljax.file_kinds import kind_of
from mamljax.io.files import load_arrays
from mamljax.io.matching import (
  Leaf,
  Shape,
  essential,
  leaves_of,
  match_names,
  match_shapes,
  natural,
)
from mamljax.numerics import path_name
from mamljax.types import Params

LAYOUTS = ('torch', 'jax')
Flatten = tuple[int, int, int] | Mapping[str, tuple[int, int, int]] | Literal['same']
_logger = logging.getLogger(__name__)


class Pair(NamedTuple):
  """A parameter, and the array in the file that fills it.

  Attributes:
    leaf: the parameter's name.
    name: the array's name.
    turned: PyTorch's axes [out, in, ...] become [..., in, out].
    flattened: the channels, height and width that PyTorch flattened into the inputs, or None.
  """

  leaf: str
  name: str
  turned: bool
  flattened: tuple[int, int, int] | None

  @property
  def change(self) -> str:
    """The conversion in words, '' for none."""
    if self.flattened:
      return ' (inputs from channels first to channels last, transposed)'
    return ' (transposed)' if self.turned else ''


class Plan(NamedTuple):
  """The way in which a file fills a pytree; `print` shows it.

  Attributes:
    pairs: a pair for each parameter, in the order of the pytree.
    unused: names of arrays in the file that are not parameters.
  """

  pairs: tuple[Pair, ...]
  unused: tuple[str, ...]

  def __str__(self) -> str:
    """A line for each parameter."""
    width = max((len(pair.leaf) for pair in self.pairs), default=0)
    lines = [f'{pair.leaf:<{width}} <- {pair.name}{pair.change}' for pair in self.pairs]
    return '\n'.join([*lines, *(f'{"":<{width}} not used: {name}' for name in self.unused)])


def load(
  path: str | os.PathLike[str],
  *,
  like: Params,
  layout: str | None = None,
  flatten: Flatten | None = None,
  names: Mapping[str, str] | None = None,
) -> Params:
  """The parameters, or the gradient, in a file of another program.

  Arrays are matched by name where names agree, else by shape and, among several of one shape,
  by order, if names that differ in numbers alone, or the order of the file, tell it. The map is
  logged, and `plan` returns it. Nothing is unpickled.

  Args:
    path: an .npz, .safetensors or .pt file, see `load_arrays`.
    like: a pytree with the expected structure, shapes and types; `jax.eval_shape` of an
      initialiser serves. Leaves that are no arrays are kept.
    layout: 'torch' for weights [out, in, height, width] and [out, in], which are converted to
      [height, width, in, out] and [in, out] unless `like` has PyTorch's shapes, as Equinox;
      'jax' to convert nothing. It may be left out of a .pt file, and where all names agree.
    flatten: (channels, height, width) of what PyTorch flattens before its first dense layer,
      whose inputs are then put in the order of JAX, (height, width, channels); several by the
      name of the weight; 'same' if the JAX model flattens channels first, or only averages.
    names: name in the file by name of the leaf, such as {'Dense_0/kernel': 'head.weight'}.

  Returns:
    A pytree like `like`, of JAX arrays.

  Raises:
    InputError: if the file cannot be read or does not fit, or if more than one match fits.
  """
  arrays = load_arrays(path)
  options: dict[str, Any] = {'layout': layout, 'flatten': flatten, 'names': names}
  found = _plan(path, arrays, like, **options)
  _logger.info('%s:\n%s', path, found)
  filled = {pair.leaf: _converted(arrays[pair.name], pair) for pair in found.pairs}

  def fill(at: Any, leaf: Any) -> Any:
    if not hasattr(leaf, 'shape'):
      return leaf
    return _fitted(path_name(at), filled[path_name(at)], leaf)

  return jax.tree_util.tree_map_with_path(fill, like)


def plan(
  path: str | os.PathLike[str],
  *,
  like: Params,
  layout: str | None = None,
  flatten: Flatten | None = None,
  names: Mapping[str, str] | None = None,
) -> Plan:
  """The map by which `load` would fill `like`; same arguments and errors."""
  options: dict[str, Any] = {'layout': layout, 'flatten': flatten, 'names': names}
  return _plan(path, load_arrays(path), like, **options)


def _plan(
  path: str | os.PathLike[str],
  arrays: Mapping[str, np.ndarray],
  like: Params,
  *,
  layout: str | None,
  flatten: Flatten | None,
  names: Mapping[str, str] | None,
) -> Plan:
  """The map by which arrays fill a pytree."""
  leaves, kind = leaves_of(like), kind_of(path).name
  shapes = {name: tuple(array.shape) for name, array in arrays.items()}
  known = match_names(leaves, shapes, names or {})
  layout = _layout(path, layout, kind, is_named=len(known) == len(leaves))
  transposes = layout == 'torch' and _is_transposed(leaves, shapes)
  turned = {name: turn(shape) if transposes else shape for name, shape in shapes.items()}
  left = [leaf for leaf in leaves if leaf.name not in known]
  rest = {name: shape for name, shape in turned.items() if name not in known.values()}
  ordered = kind != 'safetensors'  # which is sorted by name
  matched = known | (match_shapes(left, rest, ordered=ordered) if left else {})
  flat = _flattened(shapes, flatten, ordered=ordered) if transposes else {}
  for leaf in leaves:
    name = matched[leaf.name]
    if essential(turned[name]) != essential(leaf.shape):
      raise InputError(
        f'{path}: {name} is {list(shapes[name])}, and does not fit {leaf.name} '
        f'{list(leaf.shape)} in the layout {layout!r}'
      )
  names_of = [(leaf.name, matched[leaf.name]) for leaf in leaves]
  pairs = (Pair(*x, transposes and len(shapes[x[1]]) > 1, flat.get(x[1])) for x in names_of)
  return Plan(tuple(pairs), tuple(name for name in shapes if name not in matched.values()))


def _layout(path: Any, layout: str | None, kind: str, *, is_named: bool) -> str:
  """The layout of a file, as given or as certain."""
  if layout is not None:
    if layout not in LAYOUTS:
      raise unknown('layout', layout, LAYOUTS)
    return layout
  if kind == 'torch':
    return 'torch'
  if not is_named:
    raise InputError(
      f"{path}: give layout='torch' if PyTorch's weights are in it, or layout='jax': their "
      f'names are not those of the parameters'
    )
  return 'jax'


def turn(shape: Shape) -> Shape:
  """The shape of PyTorch's [out, in, ...] as JAX has it, [..., in, out]."""
  return (*shape[2:], shape[1], shape[0]) if len(shape) > 1 else shape


def _is_transposed(leaves: list[Leaf], shapes: Mapping[str, Shape]) -> bool:
  """Tests whether parameters have JAX's layout, as in Flax and Haiku, and not PyTorch's.

  Shapes tell, unless all weights are square: then a weight by PyTorch's name is as there.
  """
  wanted = Counter(essential(leaf.shape) for leaf in leaves)
  turned = not wanted - Counter(essential(turn(shape)) for shape in shapes.values())
  kept = not wanted - Counter(shapes.values())
  if turned != kept:
    return turned
  weights = [leaf.name for leaf in leaves if len(essential(leaf.shape)) > 1]
  return not all(name.endswith('weight') for name in weights)


def _flattened(
  shapes: Mapping[str, Shape], flatten: Flatten | None, *, ordered: bool
) -> dict[str, tuple[int, int, int]]:
  """Sides of the images flattened before each dense layer, by the name of its weight."""
  if flatten == 'same':
    return {}
  dense = {name: shape[1] for name, shape in shapes.items() if len(shape) == 2}
  if flatten is None:
    _check_flatten(shapes, dense, ordered=ordered)
    return {}
  if isinstance(flatten, Mapping):
    given = dict(flatten)
  else:
    size = math.prod(flatten)
    fitting = [name for name, inputs in dense.items() if inputs == size]
    if len(fitting) != 1:
      found = ' and '.join(fitting) or 'no dense layer'
      raise InputError(
        f'flatten={flatten} makes {size} inputs, and {found} has so many'
        + (f': give flatten={{{fitting[0]!r}: {flatten}}}' if fitting else f', only {dense}')
      )
    given = {fitting[0]: flatten}
  for name, sides in given.items():
    if len(sides) != 3 or dense.get(name) != math.prod(sides):
      raise InputError(f'flatten={sides} does not make the {dense.get(name)} inputs of {name}')
  return {name: (sides[0], sides[1], sides[2]) for name, sides in given.items()}


def _check_flatten(
  shapes: Mapping[str, Shape], dense: Mapping[str, int], *, ordered: bool
) -> None:
  """Refuses a dense layer on flattened images of which the order is not given."""
  channels = [shape[0] for shape in shapes.values() if len(shape) > 2]
  asked = list(dense)[:1] if ordered else sorted(dense, key=natural)
  for name in asked:
    if channels and dense[name] not in channels:
      raise InputError(
        f'{name} takes {dense[name]} inputs, which PyTorch flattens channels first and JAX '
        f'last: give flatten=(channels, height, width) of what is flattened, such as '
        f"({channels[-1]}, ...), or flatten='same' if nothing has to change"
      )


def _converted(array: np.ndarray, pair: Pair) -> np.ndarray:
  """An array of the file in the layout of the parameter."""
  if pair.flattened:
    array = array.reshape(len(array), *pair.flattened)
    return array.transpose(2, 3, 1, 0).reshape(-1, len(array))
  return array.transpose(*range(2, array.ndim), 1, 0) if pair.turned else array


def _fitted(name: str, array: np.ndarray, leaf: Any) -> jax.Array:
  """An array in the shape and type of a parameter."""
  if array.dtype.kind == 'f' and not jnp.issubdtype(leaf.dtype, jnp.floating):
    raise InputError(f'{name} is {leaf.dtype}, and the file has {array.dtype}')
  return jnp.asarray(array.reshape(leaf.shape), leaf.dtype)
