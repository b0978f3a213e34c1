"""The timed work of a mamljax contestant: attacks, training, a matrix product."""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.benchmarking import problems
from experiments.benchmarking.flops import count_flops
from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from experiments.engine import models, resumable
from experiments.engine.precision import gradient_error
from experiments.engine.setting import make_setting
from experiments.process.compilation import compile_once
from mamljax import training
from mamljax.audit import trials
from mamljax.audit.blocks import CHUNKS_PER_BLOCK, prepare_block
from mamljax.audit.placement import trials_mesh
from mamljax.audit.trials import Setting

SIDE = 1024  # of the matrices whose product measures the peak of the machine
PRODUCTS = 10  # of matrices in a run, one after the other


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
  """The work of one contestant.

  Attributes:
    kind: kind of work, a key of `KINDS`.
    cell: the attack, or the model to be trained.
    units: number of candidates, or of rounds of training, in a run.
    remat: whether the inner loop is computed again in the backward pass instead of stored.
    problem: file to which the draws are written for peers with the same work; '' for none.
  """

  kind: str
  cell: Cell
  units: int
  remat: bool = False
  problem: str = ''


class Loaded(NamedTuple):
  """A compiled program with its arguments, and facts known before it runs.

  Attributes:
    program: the program, a `jax.stages.Compiled`.
    arguments: arguments of a call.
    traced: the program before compilation.
    compile_seconds: time of compilation.
    in_flight: number of units that are computed together.
    gradient_error: relative error of a gradient, from `precision.gradient_error`.
    run: function to be timed instead of a call of the program; None for the latter.
  """

  program: Any
  arguments: tuple[Any, ...]
  traced: Any
  compile_seconds: float
  in_flight: int
  gradient_error: float = 0.0
  run: Callable[[], Any] | None = None


def prepare(work: Work) -> tuple[Callable[[], Any], dict[str, Any]]:
  """Loads the work: a function to be timed and facts about it, for `serving.serve`."""
  loaded = KINDS[work.kind](work)
  memory = loaded.program.memory_analysis()
  flops = count_flops(loaded.traced.jaxpr)
  facts = {
    'units': PRODUCTS if work.kind == 'product' else work.units,
    'in_flight': loaded.in_flight,
    'flops': flops.products,
    'whiles': flops.whiles,
    'conds': flops.conds,
    'compile_seconds': loaded.compile_seconds,
    'gradient_error': loaded.gradient_error,
    'compiled_bytes': getattr(memory, 'temp_size_in_bytes', None),
    'version': jax.__version__,
    'device_kind': jax.devices()[0].device_kind,
  }
  run = loaded.run or functools.partial(loaded.program, *loaded.arguments)
  return lambda: jax.block_until_ready(run()), facts


def _attack(work: Work) -> Loaded:
  """Loads whole reconstructions, from the starting images to the score."""
  cell = work.cell
  splits = models.splits_of(cell, None)
  mesh, params = trials_mesh(), models.initial_state(cell.recipe, splits).params
  setting, _ = make_setting(cell, params, splits.references)
  setting = _rematerialize(setting) if work.remat else setting
  pool, setting = jax.device_put((splits.victims, setting), NamedSharding(mesh, P()))
  key = stream_key(cell.seed, Stream.REPORTED)
  indices = jnp.arange(work.units)
  ready = prepare_block(key, pool, setting, indices, mesh, compiled=compile_once)
  if work.problem:
    problems.write_attack(Path(work.problem), cell, ready)
  traced = trials.attack.trace(*ready.arguments, **ready.static)
  in_flight = min(work.units, cell.execution.chunk * mesh.size)
  error = gradient_error(cell.recipe, params, splits.victims)
  return Loaded(ready.attack, ready.arguments, traced, ready.attack_seconds, in_flight, error)


def _play(work: Work) -> Loaded:
  """Loads trials as a sweep plays them, block after block: draw, observation, attack."""
  loaded = _attack(
    dataclasses.replace(work, units=work.cell.execution.chunk * CHUNKS_PER_BLOCK)
  )
  splits = models.splits_of(work.cell, None)
  params = models.initial_state(work.cell.recipe, splits).params
  setting, _ = make_setting(work.cell, params, splits.references)

  def play() -> None:
    options = {'stream': Stream.REPORTED, 'count': work.units, 'advance': lambda _: None}
    resumable.play(work.cell, setting, splits.victims, **options)

  play()  # compiles the draw of the trials, too
  return loaded._replace(run=play)


def _rematerialize(setting: Setting) -> Setting:
  """The setting with inner loops that are computed again in the backward pass."""
  inner = dataclasses.replace(setting.inner, remat=True)
  knowledge = dataclasses.replace(setting.knowledge, inner=inner)
  return dataclasses.replace(setting, knowledge=knowledge, prepared=knowledge)


def _training(work: Work) -> Loaded:
  """Loads rounds of meta-training, with the draw of their tasks."""
  cell, key = work.cell, stream_key(work.cell.seed, Stream.TRAINING)
  splits, described = models.splits_of(cell, None), models.describe_training(cell)
  state = models.initial_state(cell.recipe, splits)
  arguments = (key, state, jax.device_put(splits.training), described)
  if work.problem:
    problems.write_training(Path(work.problem), cell, state.params, splits.training)
  train = jax.jit(training.train, static_argnames='rounds')
  return _load(train.trace(*arguments, rounds=work.units), arguments, in_flight=1)


def _product(work: Work) -> Loaded:
  """Loads matrix products, one after the other, which run at the peak of the machine."""
  del work
  matrix = jax.random.normal(jax.random.key(0), (SIDE, SIDE)) / SIDE**0.5

  def step(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
    return jnp.dot(carry, matrix), None

  multiply = jax.jit(functools.partial(jax.lax.scan, step, length=PRODUCTS))
  return _load(multiply.trace(matrix), (matrix,), in_flight=1)


def _load(traced: Any, arguments: tuple[Any, ...], *, in_flight: int) -> Loaded:
  """Compiles a traced function."""
  start = time.perf_counter()
  program = traced.lower().compile()
  seconds = time.perf_counter() - start
  return Loaded(program, arguments, traced, seconds, in_flight)


KINDS: dict[str, Callable[[Work], Loaded]] = {
  'attack': _attack,
  'play': _play,
  'training': _training,
  'product': _product,
}
