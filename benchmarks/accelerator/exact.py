"""References in float64, on the CPU: a meta-gradient, and the scores of cases on record.

The scores are in a file, so that a rented machine need not compute them:
`python -m benchmarks.accelerator.exact` writes it anew. What is random is drawn in float32 and
converted, since JAX's generator draws other numbers for float64.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.flatten_util import ravel_pytree

from experiments.config.attacks import targets_of
from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from experiments.engine import models
from experiments.engine.setting import make_setting
from experiments.process import cli
from mamljax import atomic
from mamljax.attacks import ATTACKS
from mamljax.audit import trials
from mamljax.audit.game import Trial
from mamljax.audit.placement import trials_mesh
from mamljax.data import Splits
from mamljax.maml import meta_gradient
from mamljax.tasks import sample_task
from mamljax.types import Params, Task
from tests.golden import cases

FILE = Path(__file__).with_name('exact.json')
LABELS = tuple(f'{name} {target}' for name in ATTACKS for target in targets_of(name))


def send(cell: Cell) -> jax.Array:
  """The exact meta-gradient of the first task of an untrained model, in one vector."""
  return _send(cell, *_sent_of(cell))


@functools.cache
def send_exactly(cell: Cell) -> np.ndarray:
  """The exact meta-gradient in float64, on the CPU, whatever the form and precision are."""
  plain = dataclasses.replace(cell.model, convolution='patches', matmul_precision='highest')
  if plain != cell.model:
    return send_exactly(dataclasses.replace(cell, model=plain))
  told = jax.device_get(_sent_of(cell))
  with _exactly():
    return np.asarray(_send(cell, *_double(told)))


def _sent_of(cell: Cell) -> tuple[Params, Task]:
  """The parameters and the first task that the seed of a cell draws."""
  splits = models.splits_of(cell, None)
  key, pool = stream_key(cell.seed, Stream.GRADIENT_ERROR), jax.device_put(splits.victims)
  task = sample_task(key, pool, ways=cell.task.ways, shots=cell.task.shots)
  return models.initial_state(cell.recipe, splits).params, task


def _send(cell: Cell, params: Params, task: Task) -> jax.Array:
  described = models.describe_training(cell)
  gradient = jax.jit(functools.partial(meta_gradient, described.loss_fn))
  return ravel_pytree(gradient(params, task, described.inner))[0]


def at_precision(cell: Cell, precision: str) -> Cell:
  """The cell with matrix products of a precision."""
  return dataclasses.replace(
    cell, model=dataclasses.replace(cell.model, matmul_precision=precision)
  )


def score(cell: Cell) -> np.ndarray:
  """The scores of the trials of a cell, in its chunks."""
  splits, params, played = _drawn(cell)
  setting, _ = make_setting(cell, params, splits.references)
  return _score(*played, setting)


def score_exactly(cell: Cell) -> np.ndarray:
  """The scores of the same trials in float64, on the CPU."""
  splits, params, (keys, drawn) = _drawn(cell)
  with _exactly():
    setting, _ = make_setting(cell, _double(params), splits.references)
    return _score(keys, _double(drawn), setting)


def _drawn(cell: Cell) -> tuple[Splits, Params, tuple[jax.Array, Trial]]:
  """The pools, the untrained model and the trials of a cell."""
  splits = models.splits_of(cell, None)
  key, indices = stream_key(cell.seed, Stream.REPORTED), jnp.arange(cell.game.trials)
  played = trials.draw(key, jax.device_put(splits.victims), indices, rules=cell.rules)
  return splits, models.initial_state(cell.recipe, splits).params, played


def _score(keys: jax.Array, drawn: Trial, setting: trials.Setting) -> np.ndarray:
  mesh = trials_mesh(devices=1)
  seen, _ = trials.observe(keys, drawn, setting, mesh=mesh)
  return np.asarray(trials.attack(keys, drawn, seen, setting, mesh=mesh).scores)


class Recorded(NamedTuple):
  """The scores in the file.

  Attributes:
    scores: of each case, in float64 [trials].
    float32: the deviation of the CPU's float32 from them.
  """

  scores: dict[str, np.ndarray]
  float32: dict[str, float]


@functools.cache
def recorded() -> Recorded:
  """The scores in the file, by case."""
  content = json.loads(FILE.read_bytes())
  found = {name: [*map(float.fromhex, row)] for name, row in content['scores'].items()}
  return Recorded({name: np.array(row) for name, row in found.items()}, content['float32'])


def deviation(found: Any, wanted: Any) -> float:
  """The largest deviation, relative to the largest number that is wanted."""
  found, wanted = (np.asarray(numbers, np.float64) for numbers in (found, wanted))
  return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@contextlib.contextmanager
def _exactly() -> Iterator[None]:
  """Context of float64 on the CPU, with what is random drawn in float32."""
  drawn: dict[str, Any] = {
    name: functools.partial(_convert, getattr(jax.random, name)) for name in _DRAWS
  }
  drawn['rademacher'] = _signs
  cpu = jax.local_devices(backend='cpu')[0]
  with (
    mock.patch.multiple(jax.random, **drawn),
    jax.enable_x64(True),
    jax.default_device(cpu),
  ):
    yield


_DRAWS = ('normal', 'uniform')
_bernoulli = jax.random.bernoulli


def _convert(draw: Any, key: jax.Array, shape: Any = (), dtype: Any = None, **more: Any) -> Any:
  """Draws in float32, converted to the type that was asked for."""
  return draw(key, shape, jnp.float32, **more).astype(dtype or jnp.float64)


def _signs(key: jax.Array, shape: Any = (), dtype: Any = int) -> jax.Array:
  """The signs that are drawn where float64 is off."""
  return (2 * _bernoulli(key, jnp.float32(0.5), shape).astype(jnp.int32) - 1).astype(dtype)


def _double(tree: Any) -> Any:
  """The real arrays of a pytree in float64."""

  def convert(leaf: Any) -> Any:
    return jnp.asarray(leaf, jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

  return jax.tree.map(convert, tree)


def main() -> None:
  """Writes the scores of every case in float64, beside their distance from float32's."""
  cli.cache_compilations()
  found: dict[str, Any] = {'jax': jax.__version__, 'scores': {}, 'float32': {}}
  for label in tqdm.tqdm(LABELS):
    cell = cases.make_cell(label)
    exact = score_exactly(cell)
    found['scores'][label] = [float(score).hex() for score in exact]
    found['float32'][label] = deviation(score(cell), exact)
  atomic.write_text(FILE, json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
  main()
