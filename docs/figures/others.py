"""Pictures of the reconstruction, the baselines and the bound."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
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
  members_and_others,
  panels,
  play,
  pools,
  show,
)
from mamljax import meta_gradient
from mamljax.attacks import GradientCosineZ, Loss, Reconstruction
from mamljax.audit.game import draw_trial
from mamljax.audit.likelihood_ratio import hypotheses


def reconstruction() -> Figure:
  """Members and other images before and after the reconstruction."""
  played = play(Reconstruction(iterations=60), knowledge(), count=6, at_once=1)
  figure = Figure(figsize=(6, 2.3), layout='constrained')
  axes = figure.subplots(2, 6)
  for column, at in enumerate([0, 2, 4, 1, 3, 5]):
    name = 'other' if at % 2 else 'member'
    show(axes[0, column], played.trials.candidates.image[at, 0], name)
    show(axes[1, column], played.info.reconstruction[at], f'SSIM {played.scores[at]:.2f}')
  return figure


def baselines() -> Figure:
  """The cosine beside public images, and the loss, of members and of others."""
  figure, axes = panels(2)
  for at, attack, label in (
    (axes[0], GradientCosineZ(), 'cosine, in deviations of public images'),
    (axes[1], Loss(), 'minus the loss at w'),
  ):
    played = play(attack, knowledge(), count=200)
    members_and_others(at, played.scores, played.trials.member)
    at.set(xlabel=label)
  return figure


def bound() -> Figure:
  """The best ROC curves for three distances, and the bound against the noise."""
  figure, (left, right) = panels(2)
  fpr = np.linspace(1e-4, 1 - 1e-4, 400)
  for distance, colour in ((1, OTHER), (2, NEUTRAL), (3, MEMBER)):
    best = jax.scipy.stats.norm.cdf(jax.scipy.stats.norm.ppf(fpr) + distance)
    left.plot(fpr, best, color=colour, label=f'distance {distance}')
  left.plot([0, 1], [0, 1], ':', color='black', linewidth=0.8)
  left.set(xlabel='false positive rate', ylabel='true positive rate')
  legend(left)
  sigma = np.geomspace(1e-4, 1, 60)
  for target, colour in (('query', MEMBER), ('support', OTHER)):
    apart = _distances(target)
    accuracy = jax.scipy.stats.norm.cdf(apart[:, None] / sigma / 2).mean(axis=0)
    right.semilogx(sigma, accuracy, color=colour, label=f'{target} set')
  right.set(xlabel='deviation of the noise on what is sent', ylabel='accuracy of the bound')
  legend(right)
  return figure


def _distances(target: str) -> jax.Array:
  """Lengths of the difference that the candidate makes to a gradient, of 40 trials."""
  known, victims = knowledge(target=target), pools()[2]
  known = dataclasses.replace(known, references=None)

  def one(key: jax.Array) -> jax.Array:
    trial = draw_trial(key, victims, jnp.array(True), ways=WAYS, shots=SHOTS, target=target)
    sent = [
      meta_gradient(known.loss_fn, known.params, task, INNER)
      for task in hypotheses(trial, target=target)
    ]
    return optax.tree.norm(optax.tree.sub(*sent))

  keys = jax.random.split(jax.random.key(8), 40)
  return jax.jit(lambda: jax.lax.map(one, keys))()
