"""A loss as a list of equations, one after the other: the form in which its layers are found.

`jax.make_jaxpr` gives equations with calls in them, by `jit`, `checkpoint`, custom derivatives
or scans. Calls that a parameter enters are put in place, so that its way to the images can be
followed; all others stay as they are, with their derivatives.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp

from mamljax.attacks.gradients.moves import Move, moves_of
from mamljax.types import Batch, LossFn, Params

# Calls of one jaxpr on all of their operands, by the name of the primitive.
_CALLS = {
  'jit': 'jaxpr',
  'pjit': 'jaxpr',
  'closed_call': 'call_jaxpr',
  'core_call': 'call_jaxpr',
  'checkpoint': 'jaxpr',
  'remat': 'jaxpr',
  'remat2': 'jaxpr',
  'custom_jvp_call': 'call_jaxpr',
  'custom_vjp_call': 'call_jaxpr',
  'custom_vjp_call_jaxpr': 'fun_jaxpr',
  'custom_vmap_call': 'call',
}
_LONGEST_SCAN = 128  # steps that are written out


class Equation(NamedTuple):
  """An operation on values, which are known by their numbers.

  Attributes:
    name: of its primitive.
    params: of its primitive.
    run: from the values of its inputs to those of its outputs.
    move: from its one input to its one output, if it only moves numbers.
    inputs: numbers of values.
    outputs: numbers of values.
  """

  name: str
  params: Mapping[str, Any]
  run: Callable[..., Sequence[Any]]
  move: Move | None
  inputs: tuple[int, ...]
  outputs: tuple[int, ...]


class Program(NamedTuple):
  """The equations of a loss.

  Attributes:
    equations: in order, those that the loss depends on.
    avals: shape and type of each value.
    constants: the values that are known beforehand.
    leaves: the numbers of the parameters' leaves.
    images: the number of the batch's images.
    labels: the number of the batch's labels.
    loss: the number of the loss.
    custom: True if a parameter enters a function with derivatives of its own: they are lost,
      and only values may be computed.
  """

  equations: tuple[Equation, ...]
  avals: Sequence[Any]
  constants: Mapping[int, Any]
  leaves: tuple[int, ...]
  images: int
  labels: int
  loss: int
  custom: bool

  def behind(self, values: Sequence[int]) -> tuple[Equation, ...]:
    """The equations that some values depend on."""
    return _needed(self.equations, values)

  def run(
    self,
    params: Params,
    batch: Batch,
    values: Sequence[int],
    *,
    shifts: Mapping[int, jax.Array] = types.MappingProxyType({}),
  ) -> list[Any]:
    """Computes some values, and no more than they need.

    Args:
      params: parameters like those of the trace.
      batch: a batch of the shapes of the trace.
      values: the numbers of what is computed.
      shifts: added to the values of these numbers as soon as they are there.
    """
    known = dict(self.constants)
    known |= dict(zip(self.leaves, jax.tree.leaves(params), strict=True))
    known |= {self.images: batch.images, self.labels: batch.labels}
    for equation in self.behind(values):
      found = equation.run(*(known[at] for at in equation.inputs))
      known |= dict(zip(equation.outputs, found, strict=True))
      known |= {at: known[at] + shifts[at] for at in equation.outputs if at in shifts}
    return [known[at] for at in values]


def trace(loss_fn: LossFn, params: Params, batch: Batch) -> Program:
  """The program of a loss for parameters and a batch of these shapes; nothing is computed."""
  closed = jax.make_jaxpr(loss_fn)(params, batch)
  writing = _Writing()
  given = [writing.value(var.aval) for var in closed.jaxpr.invars]
  *leaves, images, labels = given
  writing.parameters.update(leaves)
  (loss,) = writing.write(closed.jaxpr, closed.consts, given)
  return Program(
    equations=_needed(writing.equations, [loss]),
    avals=writing.avals,
    constants=writing.constants,
    leaves=tuple(leaves),
    images=images,
    labels=labels,
    loss=loss,
    custom=writing.custom,
  )


def _needed(equations: Sequence[Equation], values: Sequence[int]) -> tuple[Equation, ...]:
  """The equations that some values depend on, in order."""
  sought, kept = set(values), []
  for equation in reversed(equations):
    if sought.intersection(equation.outputs):
      sought.update(equation.inputs)
      kept.append(equation)
  return tuple(reversed(kept))


class _Writing:
  """A program that is being written."""

  def __init__(self):
    self.equations: list[Equation] = []
    self.avals: list[Any] = []
    self.constants: dict[int, Any] = {}
    self.parameters: set[int] = set()  # values that are a parameter, moved or not
    self.custom = False

  def value(self, aval: Any) -> int:
    """The number of a new value."""
    self.avals.append(aval)
    return len(self.avals) - 1

  def constant(self, number: Any, aval: Any) -> int:
    """The number of a value that is known."""
    at = self.value(aval)
    self.constants[at] = number
    return at

  def write(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[int]) -> list[int]:
    """Writes the equations of a jaxpr; the numbers of its outputs."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))
    for var, number in zip(jaxpr.constvars, consts, strict=True):
      known[var] = self.constant(number, var.aval)
    for eqn in jaxpr.eqns:
      outputs = self._write_one(jaxpr, eqn, self._read(eqn.invars, known))
      known |= dict(zip(eqn.outvars, outputs, strict=True))
    return self._read(jaxpr.outvars, known)

  def _read(self, atoms: Sequence[Any], known: Mapping[Any, int]) -> list[int]:
    """The numbers of variables, which are known, and of literals, which are constants."""
    return [
      self.constant(a.val, a.aval) if isinstance(a, jex.Literal) else known[a] for a in atoms
    ]

  def add(
    self,
    name: str,
    run: Callable[..., Sequence[Any]],
    inputs: Sequence[int],
    avals: Sequence[Any],
    *,
    move: Move | None = None,
    params: Mapping[str, Any] | None = None,
  ) -> list[int]:
    """Writes one equation; the numbers of its outputs, whose shapes and types are `avals`."""
    outputs = [self.value(aval) for aval in avals]
    if move and inputs[0] in self.parameters:
      self.parameters.update(outputs)
    self.equations.append(
      Equation(name, params or {}, run, move, tuple(inputs), tuple(outputs))
    )
    return outputs

  def _write_one(self, jaxpr: Any, eqn: Any, inputs: list[int]) -> list[int]:
    name, enters = eqn.primitive.name, bool(self.parameters.intersection(inputs))
    if name in _CALLS:
      inner, consts = _open(eqn.params[_CALLS[name]])
      if enters or _only_moves(inner):
        self.custom |= name.startswith('custom') and enters
        return self.write(inner, consts, inputs)
    if name == 'scan' and enters and _is_short(eqn, inputs, self.parameters):
      return self._write_scan(eqn, inputs)
    avals, moves = [var.aval for var in eqn.outvars], moves_of(name, eqn.params)
    if moves and name == 'optimization_barrier':
      pairs = zip(inputs, avals, strict=True)
      return [self.add(name, _hold, [at], [aval], move=moves[0])[0] for at, aval in pairs]
    if moves is None or len(moves) == 1:
      move = moves[0] if moves else None
      return self.add(name, _alone(jaxpr, eqn), inputs, avals, move=move, params=eqn.params)
    return [self._write_move(name, m, inputs[0], a) for m, a in zip(moves, avals, strict=True)]

  def _write_move(self, name: str, move: Move, value: int, aval: Any) -> int:
    return self.add(name, lambda x: [move(x)], [value], [aval], move=move)[0]

  def _write_scan(self, eqn: Any, inputs: list[int]) -> list[int]:
    """Writes the steps of a scan one after the other; the numbers of its outputs."""
    params = eqn.params
    inner, inner_consts = _open(params['jaxpr'])
    consts = inputs[: params['num_consts']]
    carry = inputs[len(consts) : len(consts) + params['num_carry']]
    stacked, rows = inputs[len(consts) + len(carry) :], []
    avals = [var.aval for var in inner.invars[len(consts) + len(carry) :]]
    steps = range(params['length'])
    for step in reversed(steps) if params['reverse'] else steps:
      pairs = zip(stacked, avals, strict=True)
      slices = [self._write_move(f'[{step}]', _At(step), *pair) for pair in pairs]
      found = self.write(inner, inner_consts, [*consts, *carry, *slices])
      carry = found[: len(carry)]
      rows.append(found[len(carry) :])
    rows = rows[::-1] if params['reverse'] else rows
    avals = [var.aval for var in eqn.outvars[len(carry) :]]
    columns = zip(zip(*rows, strict=True), avals, strict=True)
    return [*carry, *(self.add('stack', _stack, list(c), [a])[0] for c, a in columns)]


class _At(NamedTuple):
  """The move to one row of stacked arrays."""

  step: int

  def __call__(self, stacked: Any) -> Any:
    return stacked[self.step]


def _hold(x: Any) -> list[Any]:
  return [jax.lax.optimization_barrier(x)]


def _stack(*rows: Any) -> list[jax.Array]:
  return [jnp.stack(rows)]


def _open(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
  """A jaxpr and its constants, be it closed or open."""
  if isinstance(jaxpr, jex.ClosedJaxpr):
    return jaxpr.jaxpr, jaxpr.consts
  return jaxpr, ()


def _only_moves(jaxpr: Any) -> bool:
  """True if a jaxpr does nothing but to move numbers."""
  return all(moves_of(eqn.primitive.name, eqn.params) is not None for eqn in jaxpr.eqns)


def _is_short(eqn: Any, inputs: Sequence[int], parameters: set[int]) -> bool:
  """True for a scan over stacked parameters, or one that is no loop; False for a long one."""
  first = eqn.params['num_consts'] + eqn.params['num_carry']
  over = bool(parameters.intersection(inputs[first:]))
  return eqn.params['length'] <= (_LONGEST_SCAN if over else 1)


def _alone(jaxpr: Any, eqn: Any) -> Callable[..., Sequence[Any]]:
  """A function of the operands of one equation, those that are literals included."""
  variables = [at for at, atom in enumerate(eqn.invars) if not isinstance(atom, jex.Literal)]
  given = [eqn.invars[at] for at in variables]
  alone = jaxpr.replace(constvars=[], invars=given, outvars=eqn.outvars, eqns=[eqn])
  call = jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, []))
  return lambda *operands: call(*(operands[at] for at in variables))
