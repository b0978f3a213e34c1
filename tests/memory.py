"""The memory that an exact meta-gradient needs beside parameters and images, by inner steps.

`python -m tests.memory` prints the table of BUILD.md: 5-way 5-shot tasks of 28 x 28 images, as
XLA plans the compiled program on this machine. It takes two minutes.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from mamljax.maml import InnerLoop, meta_gradient
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, LossFn, Params, Task

NETWORKS, STEPS = ('mlp', 'conv4'), (1, 5, 20, 50, 100, 200)
WAYS, SHOTS, SHAPE = 5, 5, (28, 28, 1)


def temporary_bytes(
  loss_fn: LossFn, params: Params, batch: Batch, *, steps: int, remat: bool
) -> int:
  """The bytes of temporary arrays of a compiled meta-gradient; arguments may be shapes."""
  inner = InnerLoop(steps, _shape((), jnp.float32), remat=remat)
  compiled = jax.jit(functools.partial(meta_gradient, loss_fn))
  lowered = compiled.lower(params, Task(batch, batch), inner)
  return lowered.compile().memory_analysis().temp_size_in_bytes


def _shape(shape: tuple[int, ...], kind: Any) -> Any:
  """What stands for an array where only its shape matters."""
  return jax.ShapeDtypeStruct(shape, kind)


def _row(name: str, steps: int) -> str:
  """A row of the table, in MiB."""
  network, n = make_network(name, ways=WAYS), WAYS * SHOTS
  params = jax.eval_shape(lambda key: init_params(key, network, SHAPE), jax.random.key(0))
  batch = Batch(_shape((n, *SHAPE), jnp.float32), _shape((n,), jnp.int32))
  measured = (
    temporary_bytes(CrossEntropy(network), params, batch, steps=steps, remat=remat) / 2**20
    for remat in (False, True)
  )
  return ' | '.join([f'| {name}', str(steps), *(f'{mib:.1f}' for mib in measured)]) + ' |'


if __name__ == '__main__':
  print('| network | steps | stored, MiB | `remat`, MiB |', '|---|---|---|---|', sep='\n')
  for name in NETWORKS:
    print(*(_row(name, steps) for steps in STEPS), sep='\n', flush=True)
