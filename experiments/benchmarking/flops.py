"""Count of a function's arithmetic: the matrix products and convolutions of its jaxpr."""

import math
from typing import Any, NamedTuple

from jax.extend import core
from jax.interpreters import partial_eval


class Flops(NamedTuple):
  """The arithmetic of a call.

  Attributes:
    products: number of floating-point operations in matrix products and convolutions, two for
      each multiplication and addition. Sums, activations and the like are not counted: they
      are few, and the peak of the machine, measured on a matrix product, has none of them.
    whiles: number of `while` loops. A jaxpr does not say how often a loop runs, so its body
      counts once, and `products` is a lower bound if there is a loop.
    conds: number of `cond` branchings, of which the most expensive branch counts.
  """

  products: int = 0
  whiles: int = 0
  conds: int = 0


def count_flops(closed: core.ClosedJaxpr) -> Flops:
  """The arithmetic of a jaxpr without dead code.

  The body of a `scan` counts for each of its steps, that of a `shard_map` for each device.

  Args:
    closed: the result of `jax.make_jaxpr`, or the `jaxpr` of a traced function.
  """
  live, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
  return _count(live)


def _count(jaxpr: core.Jaxpr) -> Flops:
  """The arithmetic of one body."""
  return _add(*map(_count_equation, jaxpr.eqns))


def _count_equation(equation: core.JaxprEqn) -> Flops:
  """The arithmetic of one equation, with all that it calls."""
  name, params = equation.primitive.name, equation.params
  if name in _PRODUCTS:
    return Flops(2 * _PRODUCTS[name](equation))
  if name == 'cond':
    branches = [_count(_open(branch)) for branch in params['branches']]
    return _add(max(branches), Flops(conds=1))
  bodies = _add(*(_count(_open(body)) for body in core.jaxprs_in_params(params)))
  if name == 'while':
    return _add(bodies, Flops(whiles=1))
  times = params['length'] if name == 'scan' else _shards(params) if name == 'shard_map' else 1
  return bodies._replace(products=times * bodies.products)


def _dot_general(equation: core.JaxprEqn) -> int:
  """Multiplications of a matrix product: each output sums over the contracted axes."""
  (contracted, _), _ = equation.params['dimension_numbers']
  left = _shape(equation.invars[0])
  return math.prod(left[axis] for axis in contracted) * math.prod(_shape(equation.outvars[0]))


def _convolution(equation: core.JaxprEqn) -> int:
  """Multiplications of a convolution, with those by zeros of padding or dilation."""
  kernel = _shape(equation.invars[1])
  features = kernel[equation.params['dimension_numbers'].rhs_spec[0]]
  return math.prod(kernel) // features * math.prod(_shape(equation.outvars[0]))


def _shape(variable: Any) -> tuple[int, ...]:
  """The shape of an array in a jaxpr."""
  return variable.aval.shape


def _shards(params: dict) -> int:
  """The number of devices that run the body of a `shard_map`."""
  return math.prod(params['mesh'].shape[axis] for axis in params['newly_manual_axes'])


def _open(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> core.Jaxpr:
  """The jaxpr without its constants."""
  return jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr


def _add(*parts: Flops) -> Flops:
  """The sum of parts."""
  return Flops(*map(sum, zip(Flops(), *parts, strict=True)))


_PRODUCTS = {'dot_general': _dot_general, 'conv_general_dilated': _convolution}
