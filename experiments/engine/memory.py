"""The least memory of a cell, counted before anything is compiled.

XLA needs more: what is counted are arrays that must be there at the same time, so that a cell
that is refused could not have been computed. How much it takes,
`experiments.sweeping.cost` guesses.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from experiments.config.attacks import attacks_of
from experiments.config.cell import Cell, Recipe
from experiments.config.sections import Model, Task
from experiments.config.workload import with_chunk
from experiments.engine import models
from experiments.process.compilation import device_memory
from mamljax.audit.blocks import CHUNKS_PER_BLOCK
from mamljax.data import Splits, main_memory
from mamljax.errors import InputError
from mamljax.networks import init_params

_NUMBER = 4  # bytes of a float32


def check(cell: Cell, splits: Splits) -> None:
  """Refuses a cell that the machine cannot hold.

  A CPU's devices share its memory, and what they ask for beyond it ends the process. An
  accelerator says so, and smaller chunks are tried: there one trial at a time decides.

  Raises:
    InputError: if its arrays are larger than the memory.
  """
  if jax.default_backend() != 'cpu':
    cell = with_chunk(cell, 1)
  numbers = max(least_numbers(part, splits) for part in cell.alone)
  require(f'{cell.attack_name} on {cell.model.network_name}', _devices() * numbers)
  if max(cell.game.epoch, cell.game.learning_epoch) > 0:
    check_training(cell, splits)


def check_training(recipe: Recipe, splits: Splits) -> None:
  """Refuses a training whose gradients of a round the machine cannot hold.

  Raises:
    InputError: as `check` does.
  """
  model = recipe.model
  require(f'training {model.network_name}', model.tasks_per_round * _network(recipe, splits)[0])


def require(told: str, numbers: int) -> None:
  """Refuses what keeps more float32 numbers at once than fit the memory."""
  least, known = _NUMBER * numbers, _memory()
  if known is not None and least > known:
    raise InputError(
      f'{told} needs {least / 2**30:,.1f} GiB at the least, and there are '
      f'{known / 2**30:,.1f}: give smaller numbers, such as --chunk, --image_size, --trials, '
      f'--tasks_per_round, or of filters, sketch, shadows or restarts'
    )


def sent_numbers(recipe: Recipe, splits: Splits) -> int:
  """The numbers of a task's images and of the gradient that its learner sends."""
  pixels = math.prod(splits.victims.images.shape[1:])
  return 2 * recipe.task.ways * recipe.task.shots * pixels + _network(recipe, splits)[0]


def least_numbers(cell: Cell, splits: Splits) -> int:
  """The numbers that a device holds at once of a cell of one attack on one gradient."""
  pixels = math.prod(splits.victims.images.shape[1:])
  parameters, layers = _network(cell, splits)
  learners = cell.execution.chunk * models.learners_of(cell)
  block = CHUNKS_PER_BLOCK * learners * sent_numbers(cell, splits)
  images = learners * cell.task.ways * cell.task.shots
  for attack in attacks_of(cell.attack):
    block += attack.sets_at_once * images * (pixels + layers) + attack.held(parameters)
  return block


def _network(recipe: Recipe, splits: Splits) -> tuple[int, int]:
  """The number of parameters of a network, and of activations for one image."""
  return _count(_plain(recipe), splits.victims.images.shape[1:])


def _plain(recipe: Recipe) -> Recipe:
  """The recipe reduced to the values that determine the size of its network."""
  model = Model(network=recipe.model.network, normalization=recipe.model.normalization)
  return Recipe(model=model, task=Task(ways=recipe.task.ways))


@functools.lru_cache(maxsize=256)
def _count(recipe: Recipe, shape: tuple[int, int, int]) -> tuple[int, int]:
  network: Any = models.describe_network(recipe)
  params = jax.eval_shape(lambda: init_params(jax.random.key(0), network, shape))

  def apply(params: Any, images: jax.Array) -> Any:
    return network.apply({'params': params}, images, capture_intermediates=True)[1]

  image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
  return _size(params), _size(jax.eval_shape(apply, params, image))


def _size(tree: Any) -> int:
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _memory() -> float | None:
  """The available bytes, if they are known."""
  return device_memory() or main_memory.memory_bytes()


def _devices() -> int:
  """The number of devices that share the memory."""
  return jax.local_device_count() if jax.default_backend() == 'cpu' else 1
