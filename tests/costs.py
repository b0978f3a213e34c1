"""Costs of tiny programs, in numbers that do not depend on the machine's load.

`python -m tests.costs` writes them anew to tests/costs.json, to be committed with the change
that moved them.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmarking.flops import count_flops
from mamljax import training
from mamljax.attacks import Candidate, Knowledge, Observation, Reconstruction
from mamljax.defences import make_defence
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, Pool
from tests import compiled

PATH = Path(__file__).with_name('costs.json')
WAYS, SIDE, CANDIDATES, ITERATIONS = 2, 12, 3, 4
KEY = jax.random.key(0)


class Program(NamedTuple):
  """A function, its arguments, and others that differ from them in numbers only."""

  function: Callable[..., Any]
  arguments: tuple[Any, ...]
  sweep: list[tuple[Any, ...]]


def versions() -> dict[str, str]:
  """The versions that the numbers hold for: another JAX counts and compiles otherwise."""
  return {'jax': jax.__version__, 'backend': jax.default_backend()}


def measure(name: str) -> dict[str, int]:
  """The costs of one of `PROGRAMS`.

  Returns:
    flops: in matrix products and convolutions, dead code left out. compiled_bytes: the
    memory that the compiled program needs beside its arguments and results.
    compilations: how often it compiles over its sweep.
  """
  program, traces = PROGRAMS[name](), []

  def counted(*arguments: Any) -> Any:
    traces.append(name)
    return program.function(*arguments)

  compiled = jax.jit(counted)
  traced = compiled.trace(*program.arguments)
  for arguments in program.sweep:
    compiled.trace(*arguments)  # a program that was traced before is compiled already
  memory = traced.lower().compile().memory_analysis()
  return {
    'flops': count_flops(traced.jaxpr).products,
    'compiled_bytes': memory.temp_size_in_bytes,
    'compilations': len(traces),
  }


def _attack(target: str, network: str) -> Program:
  """A chunk of candidates; the sweep is over every rate, weight and noise of the attack."""
  options = {'filters': 4} if network == 'conv4' else {}
  built = make_network(network, ways=WAYS, **options)
  params = init_params(KEY, built, (SIDE, SIDE, 1))
  knowledge = Knowledge(CrossEntropy(built), params, InnerLoop(1, 0.1), target=target)
  labels = jnp.arange(WAYS)
  images = jax.random.uniform(KEY, (CANDIDATES, WAYS, SIDE, SIDE, 1))

  def score(knowledge: Knowledge, images: jax.Array, attack: Reconstruction) -> Any:
    def one(image_set: jax.Array) -> Any:
      query = Batch(image_set, labels)
      gradient = jax.tree.map(jnp.ones_like, params)
      seen = Observation(gradient, labels, labels, query_set=query)
      candidate = Candidate(image_set[0], labels[0])
      return attack.score(KEY, knowledge, seen, candidate)[0]

    return jax.vmap(one)(images)

  attack = Reconstruction(iterations=ITERATIONS)
  names = ('learning_rate', 'decay', 'tv_weight', 'start_mean', 'start_scale')
  changed = [dataclasses.replace(attack, **{name: 0.2}) for name in names]
  faster = dataclasses.replace(knowledge, inner=InnerLoop(1, 0.2))
  sweep = [(knowledge, images, other) for other in changed]
  return Program(score, (knowledge, images, attack), [*sweep, (faster, images, attack)])


def _training() -> Program:
  """Rounds of meta-training; the sweep is over its rates and the noise of a defence."""
  network = make_network('conv4', ways=WAYS, filters=4)
  state = training.init(init_params(KEY, network, (SIDE, SIDE, 1)))
  pool = Pool(jnp.ones((12, SIDE, SIDE, 1), jnp.uint8), jnp.arange(0, 12, 4), jnp.full(3, 4))

  def described(rate: float, inner_rate: float, scale: float) -> training.Training:
    return training.Training(
      loss_fn=CrossEntropy(network),
      inner=InnerLoop(2, inner_rate),
      defence=make_defence('query_noise', scale=scale, mean=0.0, clip_images=False),
      learning_rate=rate,
      ways=WAYS,
      shots=1,
      tasks_per_round=2,
    )

  train = functools.partial(training.train, rounds=2)
  numbers = [(0.01, 0.1, 0.1), (0.02, 0.1, 0.1), (0.01, 0.2, 0.1), (0.01, 0.1, 0.2)]
  first, *others = ((KEY, state, pool, described(*number)) for number in numbers)
  return Program(train, first, others)


PROGRAMS: dict[str, Callable[[], Program]] = {
  'conv4 query attack': functools.partial(_attack, 'query', 'conv4'),
  'conv4 support attack': functools.partial(_attack, 'support', 'conv4'),
  'mlp query attack': functools.partial(_attack, 'query', 'mlp'),
  'conv4 meta-training': _training,
}


def changes(
  before: dict[str, int], now: dict[str, int], *, tolerance: dict[str, float]
) -> Iterator[str]:
  """Numbers that moved by more than they may, and by how much; one that is not there is 0."""
  for name in before | now:
    was, is_now = before.get(name, 0), now.get(name, 0)
    if abs(is_now - was) > tolerance.get(name, 0) * was:
      share = f' ({is_now / was - 1:+.1%})' if was else ''
      yield f'{name} was {was:,} and is {is_now:,}{share}'


if __name__ == '__main__':
  measured = {name: measure(name) for name in PROGRAMS}
  costs = versions() | {'programs': measured, 'compiled': compiled.count()}
  PATH.write_text(json.dumps(costs, indent=1) + '\n')
