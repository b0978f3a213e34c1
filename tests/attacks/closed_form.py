"""Trials of the attacks that do not iterate: real digits and a small network with biases."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks import (
  Attack,
  Candidate,
  CurvatureFilter,
  Knowledge,
  MatchedFilter,
  NoiseFilter,
  Observation,
)
from mamljax.attacks.base import name_of
from mamljax.audit.game import observe
from mamljax.defences import Defence
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, Network, init_params
from mamljax.types import Batch, Params, Pool, Task
from tests.attacks.digits import PIXELS, SHAPE, digits
from tests.attacks.plays import HIDDEN, WAYS, Play, loss_fn

SHOTS, TRIALS, REFERENCES = 1, 64, 160
MEMBERS = np.arange(TRIALS) % 2 == 0
DEFENCE = Defence()


@functools.cache
def params() -> Params:
  """Initial weights of a network like that of `plays`, all but sure of no class."""
  first, second = jax.random.split(jax.random.key(0))
  return {
    'first': jax.random.normal(first, (PIXELS, HIDDEN)) * (2 / PIXELS) ** 0.5,
    'second': jax.random.normal(second, (HIDDEN, WAYS)) * 0.1 * (2 / HIDDEN) ** 0.5,
  }


@functools.cache
def references() -> Pool:
  """The first 160 samples of each digit, which no task holds."""
  images = jnp.asarray(digits()[:, :REFERENCES])
  starts = jnp.arange(10) * REFERENCES
  return Pool(images.reshape(-1, *SHAPE), starts, jnp.full(10, REFERENCES))


def game_on(target: str) -> dict[str, Any]:
  """The fields of a `Knowledge` that say what is sought."""
  return {'target': target, 'ways': WAYS, 'shots': SHOTS}


def knowledge(target: str = 'query', *, order: int = 2, steps: int = 1) -> Knowledge:
  """Of all attacks together; each looks at what it requires."""
  inner, game = InnerLoop(steps, 0.1, order), game_on(target)
  return Knowledge(loss_fn, params(), inner, references(), **game)


class TwoConvolutions(Network):
  """A network with half of the layers of `conv4`, which compiles in half of the time."""

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """The logits [n, ways] of images [n, height, width, channels]."""
    x = self.finish(self.convolve(images, 8, 3, stride=3))
    x = self.finish(self.convolve(x, 8, 3, stride=3))
    return self.dense(x.reshape(x.shape[0], -1), self.ways)


@functools.cache
def convolutional(target: str = 'query') -> Knowledge:
  """The same of a small convolutional network: fewer parameters than images."""
  network = TwoConvolutions(ways=WAYS, initialization='pytorch')
  weights = init_params(jax.random.key(0), network, SHAPE)
  inner, game = InnerLoop(1, 0.1), game_on(target)
  return Knowledge(CrossEntropy(network), weights, inner, references(), **game)


@functools.cache
def trials(target: str) -> tuple[Play, jax.Array]:
  """Every other trial has a member; and the classes of the slots [trials, ways]."""
  random = np.random.default_rng(5)
  classes = random.permuted(np.tile(np.arange(10), (TRIALS, 1)), axis=1)[:, :WAYS]
  others = np.arange(REFERENCES, 200)
  rows = random.permuted(np.tile(others, (TRIALS, WAYS, 1)), axis=2)[..., : 2 * SHOTS + 1]
  images = jnp.asarray(digits()[classes[..., None], rows] / 255, jnp.float32)
  labels = jnp.tile(jnp.repeat(jnp.arange(WAYS), SHOTS), (TRIALS, 1))
  support, query = (
    Batch(part.reshape(TRIALS, WAYS * SHOTS, *SHAPE), labels)
    for part in (images[:, :, :SHOTS], images[:, :, SHOTS : 2 * SHOTS])
  )
  label = random.integers(WAYS, size=TRIALS)
  place = np.where(MEMBERS, {'support': 0, 'query': SHOTS}[target], 2 * SHOTS)
  candidate = Candidate(images[np.arange(TRIALS), label, place], jnp.asarray(label))
  return Play(Task(support, query), candidate, jnp.asarray(MEMBERS)), jnp.asarray(classes)


@jax.jit
def seen(played: Play, classes: jax.Array, known: Knowledge) -> Observation:
  """The adversary's observation of each trial, with the classes of the slots."""

  def one(task: Task, classes: jax.Array) -> Observation:
    assert known.inner is not None
    return observe(
      jax.random.key(0),
      known.loss_fn,
      known.params,
      task,
      known.inner,
      defence=DEFENCE,
      classes=classes,
      requires=frozenset({'classes', 'query_set'}),
    )

  return jax.vmap(one)(played.task, classes)


def seen_defended(defence: Defence, *, target: str, requires: frozenset[str]) -> Observation:
  """Observations of `convolutional` learners that defend themselves, each in its noise."""
  played, classes = trials(target)
  keys = jax.random.split(jax.random.key(4), TRIALS)
  return _defended(keys, played.task, classes, convolutional(), defence, requires=requires)


@functools.partial(jax.jit, static_argnames='requires')
def _defended(
  keys: jax.Array,
  tasks: Task,
  classes: jax.Array,
  known: Knowledge,
  defence: Defence,
  *,
  requires: frozenset[str],
) -> Observation:
  def one(key: jax.Array, task: Task, classes: jax.Array) -> Observation:
    assert known.inner is not None
    return observe(
      key,
      known.loss_fn,
      known.params,
      task,
      known.inner,
      defence=defence,
      classes=classes,
      requires=requires,
    )

  return jax.vmap(one)(keys, tasks, classes)


@functools.cache
def told(target: str, order: int = 2, steps: int = 1) -> Observation:
  """Observations of the played trials."""
  return seen(*trials(target), knowledge(order=order, steps=steps))


def told_by(kind: type[Attack], target: str) -> Observation:
  """Observations of the network that an attack is tried on."""
  return seen(*trials(target), known_to(kind, 'query'))  # whatever is asked of it


def known_to(
  kind: type[Attack], target: str, withheld: frozenset[str] = frozenset()
) -> Knowledge:
  """Filters whiten, for which they need more references than they keep numbers."""
  whitens = kind in (MatchedFilter, NoiseFilter, CurvatureFilter)
  known = convolutional(target) if whitens else knowledge(target)
  return dataclasses.replace(known, withheld=withheld)


def scores(
  attack: Attack, known: Knowledge, observations: Observation, candidates: Candidate
) -> Any:
  """Scores and Info of all trials."""
  return _scores(attack, known, observations, candidates, kind=type(attack))


@functools.partial(jax.jit, static_argnames='kind')
def _scores(
  attack: Attack,
  known: Knowledge,
  observations: Observation,
  candidates: Candidate,
  *,
  kind: type[Attack],
) -> Any:
  """The same; to JAX, attacks of two classes without fields are equal."""
  del kind
  traced.append(name_of(attack))
  prepared = attack.prepare(jax.random.key(1), known)

  def one(observation: Observation, candidate: Candidate) -> Any:
    return attack.score(jax.random.key(2), prepared, observation, candidate)

  return jax.vmap(one)(observations, candidates)


def alone(attack: Attack, known: Knowledge, seen: Observation, candidate: Candidate) -> Any:
  """Score and Info of a single trial, not compiled."""
  prepared = attack.prepare(jax.random.key(1), known)
  return attack.score(jax.random.key(2), prepared, seen, candidate)


traced: list[str] = []  # the attack of each compilation of `scores`


def small(kind: type[Attack], **chosen: Any) -> Any:
  """An attack with options small enough for a test, of those that it has."""
  least = {'directions': 64, 'sketch': 512, 'ridge': 0.01, 'shadows': 60, 'swaps': 20} | chosen
  build: Any = kind
  has = {field.name for field in dataclasses.fields(build)}
  return build(**{name: value for name, value in least.items() if name in has})


@functools.cache
def as_told(kind: type[Attack], target: str) -> Any:
  """Scores and Info of the played trials as they are, which several tests look at."""
  return played(kind, target, told_by(kind, target))


def played(
  kind: type[Attack],
  target: str,
  observation: Any = None,
  withheld: frozenset[str] = frozenset(),
  **chosen: Any,
) -> Any:
  """Scores and Info of the played trials, in NumPy."""
  if observation is None and not chosen and not withheld:
    return as_told(kind, target)
  candidates = trials(target)[0].candidate
  observation = told_by(kind, target) if observation is None else observation
  known = known_to(kind, target, withheld)
  found = scores(small(kind, **chosen), known, observation, candidates)
  return jax.tree.map(np.asarray, found)
