"""Counting the arithmetic of a function: the matrix products and convolutions of its jaxpr."""

import math
from typing import Any, NamedTuple

from jax.extend import core
from jax.interpreters import partial_eval


class Flops(NamedTuple):
  """The arithmetic of a call.

  Attributes:
    products: floating-point operations in matrix products and convolutions, two for each
      multiplication and addition. Sums, activations and the like are not counted: they are
      few, and the machine's peak, measured on a matrix product, has none of them.
    whiles: `while` loops met. How often one turns is not written down, so its body counts
      once: with any, `products` is a lower bound.
    conds: `cond` branchings met; the dearest branch counts.
  """

  products: int = 0
  whiles: int = 0
  conds: int = 0


def count_flops(closed: core.ClosedJaxpr) -> Flops:
  """The arithmetic that is left of a jaxpr when code whose results nobody uses is gone.

  A `scan` counts its body as often as it turns, a `shard_map` for each device.

  Args:
    closed: of `jax.make_jaxpr`, or the `jaxpr` of a traced function.
  """
  live, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
  return _count(live)


def _count(jaxpr: core.Jaxpr) -> Flops:
  """Of one body."""
  return _add(*map(_count_equation, jaxpr.eqns))


def _count_equation(equation: core.JaxprEqn) -> Flops:
  """Of one equation, with all that it calls."""
  name, params = equation.primitive.name, equation.params
  if name in _PRODUCTS:
    return Flops(2 * _PRODUCTS[name](equation))
  if name == 'cond':
    branches = [_count(_open(branch)) for branch in params['branches']]
    dearest = max(branches)
    return _add(dearest, Flops(conds=1))
  bodies = _add(*(_count(_open(body)) for body in core.jaxprs_in_params(params)))
  if name == 'while':
    return _add(bodies, Flops(whiles=1))
  times = params['length'] if name == 'scan' else _shards(params) if name == 'shard_map' else 1
  return bodies._replace(products=times * bodies.products)


def _dot_general(equation: core.JaxprEqn) -> int:
  """Multiplications of a matrix product: each output sums over what is contracted."""
  (contracted, _), _ = equation.params['dimension_numbers']
  left = _shape(equation.invars[0])
  return math.prod(left[axis] for axis in contracted) * math.prod(_shape(equation.outvars[0]))


def _convolution(equation: core.JaxprEqn) -> int:
  """Multiplications of a convolution, those with padding or with a dilation's zeros too."""
  kernel = _shape(equation.invars[1])
  features = kernel[equation.params['dimension_numbers'].rhs_spec[0]]
  return math.prod(kernel) // features * math.prod(_shape(equation.outvars[0]))


def _shape(variable: Any) -> tuple[int, ...]:
  """Of an array in a jaxpr."""
  return variable.aval.shape


def _shards(params: dict) -> int:
  """How many devices run the body of a `shard_map`."""
  return math.prod(params['mesh'].shape[axis] for axis in params['newly_manual_axes'])


def _open(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> core.Jaxpr:
  """Without its constants."""
  return jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr


def _add(*parts: Flops) -> Flops:
  """The sum."""
  return Flops(*map(sum, zip(Flops(), *parts, strict=True)))


_PRODUCTS = {'dot_general': _dot_general, 'conv_general_dilated': _convolution}
