"""Layers found in the computation of a loss, whatever library wrote the network.

The equations of the loss are gone through once. A parameter is followed as long as it is only
moved: reshaped, transposed, sliced. Where it meets what depends on the images in a product,
there is a layer; where it is added to what leaves one, its bias. So neither names, nesting and
order of the parameters matter, nor how weights are stored.
"""

import collections
import itertools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import GetAttrKey

from mamljax.attacks.gradients.contractions import Contraction, contraction_of
from mamljax.attacks.gradients.layers import Bias, Layer, Layers
from mamljax.attacks.gradients.moves import View
from mamljax.attacks.gradients.program import Equation, Program, trace
from mamljax.numerics import path_name
from mamljax.types import Batch, LossFn, Params

_ADDITIONS = ('add', 'add_any')


def find_layers(loss_fn: LossFn, params: Params, image: Any) -> Layers:
  """The layers of a network, as one image passes them.

  Args:
    loss_fn: any loss.
    params: its parameters, any pytree; arrays, or `jax.ShapeDtypeStruct`s.
    image: an image, of which only shape and type matter.
  """
  images: Any = jax.ShapeDtypeStruct((1, *image.shape), image.dtype)
  labels: Any = jax.ShapeDtypeStruct((1,), np.int32)
  return layers_of(loss_fn, params, Batch(images, labels))


def layers_of(loss_fn: LossFn, params: Params, batch: Batch) -> Layers:
  """The layers of a network, as a batch passes them: places are those of all its images."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  names = tuple(_name(path) for path, _ in leaves)
  shapes = tuple(np.shape(leaf) for _, leaf in leaves)
  program = trace(loss_fn, params, batch)
  search = _Search(program)
  for equation in program.equations:
    search.look_at(equation)
  return _judge(Layers(program, names, shapes, (), ()), search)


class _Use(NamedTuple):
  """A use of a parameter: in the weights or the bias of a layer, or another one.

  Attributes:
    view: the parameter as it is used.
    layer: number of the layer, -1 if it is another use.
    role: 'weights', 'bias', or the primitive that it enters.
  """

  view: View
  layer: int
  role: str


class _Made(NamedTuple):
  """A product of parameters with what depends on the images."""

  view: View
  product: Contraction
  entering: int
  leaving: int
  reach: frozenset[int]


class _Search:
  """A walk along a program.

  Attributes:
    made: the products that were met, in order.
    orders: of biases by the number of the product.
    uses: of parameters.
  """

  def __init__(self, program: Program):
    self.made: list[_Made] = []
    self.biases: dict[int, Bias] = {}
    self.uses: list[_Use] = []
    self._avals = program.avals
    self._views: dict[int, View] = {at: View(leaf) for leaf, at in enumerate(program.leaves)}
    self._spread: set[int] = set()  # views that hold a number more than once
    self._shapes = [program.avals[at].shape for at in program.leaves]
    # Of a product, the number of it and the feature of each number.
    self._marks: dict[int, tuple[int, np.ndarray]] = {}
    self._reach = {at: frozenset([leaf]) for leaf, at in enumerate(program.leaves)}
    self._of_images = {program.images}
    self._readers = collections.Counter(
      at for equation in program.equations for at in set(equation.inputs)
    )

  def look_at(self, equation: Equation) -> None:
    """Takes the next equation into account."""
    taken = frozenset().union(*(self._reach.get(at, frozenset()) for at in equation.inputs))
    self._reach |= dict.fromkeys(equation.outputs, taken)
    if self._of_images.intersection(equation.inputs):
      self._of_images.update(equation.outputs)
    if equation.move and self._move(equation):
      return
    met = [at for at in equation.inputs if at in self._views]
    if met and not (self._multiply(equation, met) or self._add(equation, met)):
      others = met if equation.name != 'stop_gradient' else []
      self.uses += [_Use(self._views[at], -1, equation.name) for at in others]

  def _move(self, equation: Equation) -> bool:
    """Follows a parameter, or what leaves a layer, through a move."""
    assert equation.move
    (source,), (target,) = equation.inputs, equation.outputs
    if source in self._views:
      self._views[target] = self._views[source].then(equation.move)
      before, after = (math.prod(self._avals[at].shape) for at in (source, target))
      if source in self._spread or after > before:
        self._spread.add(target)
    elif source in self._marks:
      layer, marks = self._marks[source]
      self._mark(target, layer, equation.move(marks))
    return source in self._views or source in self._marks

  def _mark(self, value: int, layer: int, marks: np.ndarray) -> None:
    """Notes features, if the value is read once: else biases miss a part of the slopes."""
    if self._readers[value] == 1:
      self._marks[value] = layer, marks

  def _multiply(self, equation: Equation, met: list[int]) -> bool:
    """Notes a product of a parameter with what depends on the images; False if it is none."""
    if len(met) != 1 or len(equation.inputs) != 2 or met[0] in self._spread:
      return False
    first = equation.inputs[0] == met[0]
    entering = equation.inputs[1 if first else 0]
    if entering not in self._of_images:
      return False
    left, right = (tuple(self._avals[at].shape) for at in equation.inputs)
    (leaving,) = equation.outputs
    shape = tuple(self._avals[leaving].shape)
    product = contraction_of(
      equation.name, equation.params, (left, right), shape, weights_first=first
    )
    if product is None:
      return False
    view, reach = self._views[met[0]], self._reach.get(entering, frozenset())
    self.uses.append(_Use(view, len(self.made), 'weights'))
    self._mark(leaving, len(self.made), product.marks())
    self.made.append(_Made(view, product, entering, leaving, reach))
    return True

  def _add(self, equation: Equation, met: list[int]) -> bool:
    """Notes a parameter that is the bias of a layer; False if it is none."""
    if equation.name not in _ADDITIONS or len(met) != 1:
      return False
    sums = [at for at in equation.inputs if at in self._marks]
    if not sums:
      return False
    view, (layer, marks) = self._views[met[0]], self._marks[sums[0]]
    order = _order(view.numbers(self._shapes[view.leaf]), marks, self.made[layer].product)
    if order is None or layer in self.biases:
      return False
    self.uses.append(_Use(view, layer, 'bias'))
    self.biases[layer] = Bias(view.leaf, order)
    return True


def _order(numbers: np.ndarray, marks: np.ndarray, product: Contraction) -> np.ndarray | None:
  """The place of each feature's bias in its leaf; None if there is not one for each."""
  pairs = itertools.zip_longest(numbers.shape, marks.shape, fillvalue=0)
  fits = all(size in (1, whole) for size, whole in pairs)
  if not fits or marks.size != product.places * product.features:
    return None
  numbers = np.broadcast_to(numbers, marks.shape)  # axes of length 1 are spread by the addition
  order = np.zeros(product.features, np.int64)
  order[marks.reshape(-1)] = numbers.reshape(-1)
  one_each = np.array_equal(order[marks], numbers) and np.unique(order).size == order.size
  return order if one_each else None


def _judge(layers: Layers, search: _Search) -> Layers:
  """The layers, with the reason of each parameter that is not used as one layer's alone."""
  uses: dict[int, list[_Use]] = collections.defaultdict(list)
  for use in search.uses:
    uses[use.view.leaf].append(use)
  faults = {leaf: _fault(layers, leaf, of_leaf) for leaf, of_leaf in uses.items()}
  found = []
  for number, made in enumerate(search.made):
    leaf, bias = made.view.leaf, search.biases.get(number)
    found.append(
      Layer(
        name=layers.names[leaf],
        weights=made.view,
        bias=None if bias is None or faults[bias.leaf] else bias,
        product=made.product,
        entering=made.entering,
        leaving=made.leaving,
        reach=made.reach,
        fault=faults[leaf],
      )
    )
  inside = {made.view.leaf for made in search.made}
  others = [
    f'{layers.names[leaf]!r} enters {_listed(use.role for use in of_leaf)}, no layer'
    for leaf, of_leaf in uses.items()
    if leaf not in inside and len(layers.shapes[leaf]) > 1 and of_leaf[0].layer < 0
  ]
  return layers._replace(found=tuple(found), others=tuple(others))


def _fault(layers: Layers, leaf: int, uses: list[_Use]) -> str | None:
  """The reason why a parameter's gradient is not that of one layer; None if it is."""
  name, others = layers.names[leaf], [use.role for use in uses if use.layer < 0]
  if others:
    return f'the weights {name!r} also enter {_listed(others)}'
  if len(uses) == 1:
    return None
  numbers = [use.view.numbers(layers.shapes[leaf]).reshape(-1) for use in uses]
  if np.unique(np.concatenate(numbers)).size == sum(map(len, numbers)):
    return None  # parts of an array that have no number in common
  return f'the weights {name!r} are used {_times(len(uses))}: their gradient is a sum of both'


def _times(count: int) -> str:
  return 'twice' if count == 2 else f'{count} times'


def _listed(names: Iterable[str]) -> str:
  """Names of primitives, each once."""
  return ', '.join(repr(name) for name in dict.fromkeys(names))


def _name(path: tuple[Any, ...]) -> str:
  """A path, as 'encoder/0/kernel'; that of an `nnx.Variable` without its 'value'."""
  is_variable = len(path) > 1 and path[-1] == GetAttrKey('value')
  return path_name(path[:-1] if is_variable else path)
