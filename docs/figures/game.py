"""Trials of the game for the pictures: their images, scores and diagnostics."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mamljax import CrossEntropy, Defence, InnerLoop, Knowledge, init_params, make_network
from mamljax.audit.game import Trial, draw_trial, observe
from mamljax.audit.playing import prepare_attack
from mamljax.data import load_dataset, split_dataset
from mamljax.types import Params, Pool

WAYS, SHOTS = 3, 1
INNER = InnerLoop(1, 0.1)
MEMBER, OTHER, NEUTRAL = '#0b6e99', '#c8553d', '#888888'
EVERYTHING = frozenset({'query_set', 'classes'})


class Played(NamedTuple):
  """Trials with their scores.

  Attributes:
    trials: with the truth, each leaf with a leading axis [trials].
    scores: [trials].
    info: the attack's diagnostics, with the same leading axis.
  """

  trials: Trial
  scores: np.ndarray
  info: Any


def pools() -> tuple[Pool, Pool, Pool]:
  """Images for training, public ones and victims: 60, 80 and 60 of each class of MNIST."""
  parts = split_dataset(load_dataset('mnist_sample'), seed=0, fractions=(0.3, 0.4, 0.0, 0.3))
  return jax.device_put((parts.training, parts.references, parts.victims))


def loss_of(network: str) -> CrossEntropy:
  """The loss of a network of the package, with PyTorch's initialisation."""
  return CrossEntropy(make_network(network, ways=WAYS, initialization='pytorch'))


def knowledge(
  network: str = 'conv4', *, target: str = 'query', params: Params | None = None, **known: Any
) -> Knowledge:
  """The adversary's knowledge of a 3-way 1-shot protocol with one inner step of 0.1."""
  loss = loss_of(network)
  if params is None:
    params = init_params(jax.random.key(1), loss.network, (28, 28, 1))
  return Knowledge(
    loss,
    params,
    INNER,
    references=pools()[1],
    target=target,
    ways=WAYS,
    shots=SHOTS,
    **known,
  )


def play(attack: Any, known: Knowledge, *, count: int, at_once: int = 4) -> Played:
  """Plays trials of an attack, every other one with a member."""
  victims, defence = pools()[2], known.defence or Defence()
  prepared = prepare_attack(jax.random.key(2), attack, known, kind=type(attack))

  def one(index: jax.Array) -> Any:
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), index), 3)
    trial = draw_trial(
      keys[0], victims, index % 2 == 0, ways=WAYS, shots=SHOTS, target=known.target
    )
    task = jax.tree.map(lambda leaf: leaf[0], trial.tasks)
    seen = observe(
      keys[1],
      known.loss_fn,
      known.params,
      task,
      INNER,
      defence=defence,
      classes=trial.classes[0],
      requires=EVERYTHING,
    )
    candidate = jax.tree.map(lambda leaf: leaf[0], trial.candidates)
    return trial, *attack.score(keys[2], prepared, seen, candidate)

  run = jax.jit(lambda: jax.lax.map(one, jnp.arange(count), batch_size=at_once))
  trials, scores, info = run()
  return Played(trials, np.asarray(scores), info)


def panels(count: int, *, width: float = 3.4, height: float = 2.4) -> tuple[Figure, list[Axes]]:
  """A figure with so many panels side by side."""
  figure = Figure(figsize=(width * count, height), layout='constrained')
  return figure, list(np.atleast_1d(np.asarray(figure.subplots(1, count))))


def members_and_others(axes: Axes, values: np.ndarray, members: Any, *, bins: int = 30) -> None:
  """Histograms of the values of members and of others; the farthest 4 % stand at the ends."""
  low, high = np.percentile(values, [2, 98])
  edges, values = np.linspace(low, high, bins + 1), np.clip(values, low, high)
  is_member = np.asarray(members)
  axes.hist(values[~is_member], edges, color=OTHER, alpha=0.7, label='other image of the class')
  axes.hist(values[is_member], edges, color=MEMBER, alpha=0.7, label='member')
  axes.set_ylabel('trials')
  axes.xaxis.set_major_locator(MaxNLocator(4))
  legend(axes)


def legend(axes: Axes) -> None:
  """A legend above the panel, where it hides nothing."""
  axes.legend(fontsize=8, loc='lower center', bbox_to_anchor=(0.5, 1), ncols=3)


def show(axes: Axes, image: Any, title: str = '') -> None:
  """One image, without axes."""
  axes.imshow(np.asarray(image)[..., 0], cmap='gray', vmin=0, vmax=1)
  axes.set_title(title, fontsize=8)
  axes.axis('off')
