"""Many trials of the game on real images and a small smooth network, compiled once."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mamljax.attacks import Candidate, Info, Knowledge, Observation, Reconstruction
from mamljax.audit.game import observe
from mamljax.defences import Defence
from mamljax.maml import InnerLoop
from mamljax.types import Batch, Params, Task
from tests.attacks.digits import PIXELS, digits

WAYS, HIDDEN, TRIALS = 2, 64, 64
MEMBERS = np.arange(TRIALS) % 2 == 0
ATTACK = Reconstruction(iterations=60, tv_weight=1e-3)


class Play(NamedTuple):
  """A trial of the local game, without the axis of its one learner."""

  task: Task
  candidate: Candidate
  member: jax.Array


traced: list[str] = []  # the target of each compilation of `attack`


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """One hidden layer of rounded ReLUs: small enough to compile in seconds."""
  flat = batch.images.reshape(len(batch.labels), -1)
  logits = jax.nn.softplus(5 * flat @ params['first']) / 5 @ params['second']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


@functools.cache
def knowledge(target: str = 'query') -> Knowledge:
  """A network with He's initial weights, and one inner step."""
  first, second = jax.random.split(jax.random.key(0))
  params = {
    'first': jax.random.normal(first, (PIXELS, HIDDEN)) * (2 / PIXELS) ** 0.5,
    'second': jax.random.normal(second, (HIDDEN, WAYS)) * (2 / HIDDEN) ** 0.5,
  }
  return Knowledge(loss_fn, params, InnerLoop(1, 0.1), target=target, ways=WAYS)


def draw(seed: int, members: np.ndarray, *, target: str) -> Play:
  """A trial for each truth in `members`, on real images of digits, drawn by NumPy."""
  random = np.random.default_rng(seed)
  count, slots = len(members), np.tile(np.arange(WAYS), (len(members), 1))
  classes = random.permuted(np.tile(np.arange(10), (count, 1)), axis=1)[:, :WAYS]
  rows = random.permuted(np.tile(np.arange(200), (count, WAYS, 1)), axis=2)[..., :3]
  # Of each class [support, query, another]; the samples hold 200 images of each.
  images = jnp.asarray(digits()[classes[..., None], rows] / 255, jnp.float32)
  labels, label = jnp.asarray(slots), jnp.asarray(random.integers(WAYS, size=count))
  task = Task(Batch(images[:, :, 0], labels), Batch(images[:, :, 1], labels))
  place = np.where(members, ['support', 'query'].index(target), 2)
  candidate = Candidate(images[np.arange(count), label, place], label)
  return Play(task, candidate, jnp.asarray(members))


@jax.jit
def observed(trials: Play, known: Knowledge) -> Observation:
  """The adversary's observation of each trial."""

  def one(trial: Play) -> Observation:
    assert known.inner is not None
    return observe(
      jax.random.key(0),
      known.loss_fn,
      known.params,
      trial.task,
      known.inner,
      defence=Defence(),
      requires=ATTACK.requires[known.target],
    )

  return jax.vmap(one)(trials)


@jax.jit
def attack(
  key: jax.Array,
  known: Knowledge,
  observations: Observation,
  candidates: Candidate,
  chosen: Reconstruction,
) -> tuple[jax.Array, Info]:
  """The score of every trial, and what the attack saw on its way."""
  traced.append(known.target)
  prepared = chosen.prepare(key, known)

  def one(trial: tuple[jax.Array, Observation, Candidate]):
    return chosen.score(trial[0], prepared, *trial[1:])

  keys = jax.random.split(key, len(candidates.label))
  return jax.lax.map(one, (keys, observations, candidates), batch_size=8)


@functools.cache
def played(target: str) -> tuple[Play, Observation]:
  """`TRIALS` trials, every other one with a member, and what was seen of them."""
  trials = draw(8, MEMBERS, target=target)
  return trials, observed(trials, knowledge(target))
