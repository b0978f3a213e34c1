"""Pictures of the filters, each of the test of two Gaussians."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

from docs.figures.game import (
  INNER,
  MEMBER,
  NEUTRAL,
  OTHER,
  SHOTS,
  WAYS,
  knowledge,
  legend,
  loss_of,
  members_and_others,
  panels,
  play,
  pools,
)
from mamljax import Defence, Gaussian, Knowledge, adapt, meta_gradient, sample_task
from mamljax.attacks import CurvatureFilter, MatchedFilter, NoiseFilter, ResidualFilter
from mamljax.attacks.shadow_matched_filter import shrunk
from mamljax.networks import predict
from mamljax.training import Training, init, train
from mamljax.types import Batch, Params, Task

SIGMA = 1e-3


def matched_filter() -> Figure:
  """The coefficient of the candidate's own gradient, in units of 1/n."""
  played = play(MatchedFilter(), knowledge(), count=200)
  figure, (axes,) = panels(1, width=4.6)
  shares = np.asarray(played.info.coefficient) * WAYS * SHOTS
  members_and_others(axes, shares, played.trials.member)
  axes.axvline(0.5, color='black', linewidth=0.8, linestyle='--')
  axes.set(xlabel='n times the coefficient; the threshold is 1/2')
  return figure


def noise_filter() -> Figure:
  """The scores of the filter that does not know of the noise, and of that which does."""
  figure, axes = panels(2)
  known = knowledge(defence=Defence(outgoing=Gaussian(SIGMA)))
  attacks = MatchedFilter(), NoiseFilter()
  for at, attack, name in zip(axes, attacks, ('matched', 'noise'), strict=True):
    played = play(attack, known, count=200)
    members_and_others(at, played.scores, played.trials.member)
    at.axvline(0, color='black', linewidth=0.8, linestyle='--')
    at.set(xlabel=f'log-likelihood ratio of the {name} filter')
  return figure


def curvature_filter() -> Figure:
  """Scores of the curvature filter."""
  attack = CurvatureFilter(shadows=60, sketch=2048)
  played = play(attack, knowledge(target='support'), count=100, at_once=1)
  figure, (axes,) = panels(1, width=4.6)
  members_and_others(axes, played.scores, played.trials.member)
  axes.axvline(0, color='black', linewidth=0.8, linestyle='--')
  axes.set(xlabel='log-likelihood ratio')
  return figure


def shadow_filter() -> Figure:
  """Exact gradients of shadows along the filter, and the received one."""
  known, (_, references, victims) = knowledge(target='support'), pools()
  task = sample_task(jax.random.key(5), victims, ways=WAYS, shots=SHOTS)
  slot = 0
  drawn = _shadow_sets(jax.random.key(6), task, references)
  gradients = jax.jit(lambda sets: jax.lax.map(lambda x: _sent(known, task, x), sets))
  without, with_it = (
    gradients(drawn),
    gradients(drawn.at[:, slot].set(task.support.images[slot])),
  )
  half = len(drawn) // 2  # one half makes the filter, the other is shown
  signal = (with_it - without)[:half].mean(axis=0)
  mean = without[:half].mean(axis=0)
  direction = shrunk(without[:half] - mean, 0.1).solve(signal)
  received = _sent(known, task, task.support.images)
  figure, (axes,) = panels(1, width=4.6)
  for rows, colour, label in ((without, OTHER, 'without'), (with_it, MEMBER, 'with')):
    along = (rows[half:] - mean) @ direction
    axes.hist(np.asarray(along), 25, color=colour, alpha=0.7, label=f'{label} the candidate')
  axes.axvline(float((received - mean) @ direction), color='black', label='received')
  axes.set(xlabel='along the filter', ylabel='shadows')
  legend(axes)
  return figure


def _shadow_sets(key: jax.Array, task: Task, references) -> jax.Array:
  """Support sets of public images of the classes that look most like the task's."""
  images = references.images.reshape(len(references.counts), -1, 28, 28, 1) / 255.0
  means = images.mean(axis=1)
  apart = jnp.sum((task.query.images[:, None] - means) ** 2, axis=(2, 3, 4))
  rows = jax.random.randint(key, (300, WAYS), 0, images.shape[1])
  return images[apart.argmin(axis=1), rows]


def _sent(known: Knowledge, task: Task, support: jax.Array) -> jax.Array:
  """The exact meta-gradient of a task with these support images."""
  guess = task._replace(support=task.support._replace(images=support))
  return ravel_pytree(meta_gradient(known.loss_fn, known.params, guess, INNER))[0]


def residual_filter() -> Figure:
  """Errors of the query images, as estimated from the gradient and in truth."""
  known = knowledge(target='support', params=_trained())
  attack = ResidualFilter(shadows=100)
  played = play(attack, known, count=10, at_once=1)
  tasks = jax.tree.map(lambda leaf: leaf[:, 0], played.trials.tasks)
  truth = jax.vmap(lambda task: _errors(known, task))(tasks)
  figure, (axes,) = panels(1, width=3.2, height=3)
  axes.axline((0, 0), slope=1, color=NEUTRAL, linewidth=0.8)
  axes.plot(np.ravel(truth), np.ravel(played.info.errors), '.', color=MEMBER)
  axes.set(xlabel='error / n, in truth', ylabel='error / n, as estimated')
  return figure


def _trained() -> Params:
  """A Conv4 after 500 rounds of meta-training on the images in the package."""
  known = knowledge()
  training = Training(loss_fn=loss_of('conv4'), inner=INNER, ways=WAYS, shots=SHOTS)
  run = jax.jit(lambda state: train(jax.random.key(7), state, pools()[0], training, rounds=500))
  return run(init(known.params))[0].params


def _errors(known: Knowledge, task: Task) -> jax.Array:
  """Softmax less label over the number of query images, after adaptation, [n, ways]."""
  theta = adapt(known.loss_fn, known.params, task.support, INNER)
  batch: Batch = task.query
  odds = jax.nn.softmax(predict(loss_of('conv4').network, theta, batch.images))
  return (odds - jax.nn.one_hot(batch.labels, WAYS)) / len(batch.labels)
