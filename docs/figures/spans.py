"""Pictures of spans and zeros: row space, images read off, patch space, silent units."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
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
  show,
)
from mamljax import meta_gradient, sample_task
from mamljax.attacks import PatchSpace, RowSpace, SilentUnits
from mamljax.recovery import recover_images
from mamljax.types import Params, Task


def _task_and_gradient() -> tuple[Task, Params, Params]:
  """A task, the parameters of an MLP and the exact meta-gradient."""
  known = knowledge('mlp')
  task = sample_task(jax.random.key(3), pools()[2], ways=WAYS, shots=SHOTS)
  return task, known.params, meta_gradient(known.loss_fn, known.params, task, INNER)


def row_space() -> Figure:
  """Singular values of a first layer's gradient, and distances of images from its span."""
  _, _, gradient = _task_and_gradient()
  first = gradient['Dense_0']
  values = jnp.linalg.svd(jnp.concatenate([first['kernel'], first['bias'][None]]))[1][:16]
  figure, (left, right) = panels(2)
  images = 2 * WAYS * SHOTS
  left.semilogy(range(1, images + 1), values[:images], 'o', color=MEMBER, label='the images')
  left.semilogy(
    range(images + 1, len(values) + 1), values[images:], 'o', color=NEUTRAL, label='rounding'
  )
  left.set(xlabel='number', ylabel='singular value')
  legend(left)
  played = play(RowSpace(), knowledge('mlp'), count=200, at_once=25)
  distance = np.log10(np.maximum(-played.scores, 1e-8))
  members_and_others(right, distance, played.trials.member)
  right.set(xlabel='log10 of the share outside the span')
  return figure


def recovery() -> Figure:
  """The images of a task, and those read off its gradient."""
  task, params, gradient = _task_and_gradient()
  images = jnp.concatenate([task.support.images, task.query.images])
  key, count = jax.random.key(4), len(images)
  loss = loss_of('mlp')
  found = recover_images(key, loss, params, gradient, (28, 28, 1), count=count)
  apart = jnp.sum((images[:, None] - found.images) ** 2, axis=(2, 3, 4))
  figure = Figure(figsize=(6, 2.2), layout='constrained')
  axes = figure.subplots(2, len(images))
  for at, image in enumerate(images):
    show(axes[0, at], image, 'support' if at < WAYS * SHOTS else 'query')
    show(axes[1, at], found.images[apart[at].argmin()], 'read off')
  return figure


def patch_space() -> Figure:
  """The share outside the span of public images, a member and an image that is none."""
  played = play(PatchSpace(), knowledge(), count=2, at_once=1)
  figure, axes = panels(2)
  for at, (name, colour) in enumerate([('member', MEMBER), ('other', OTHER)]):
    usual, own = (np.asarray(part[at]) for part in (played.info.usual, played.info.outside))
    bins = [*np.linspace(-1.3, 0, 66)]
    axes[at].hist(np.log10(usual), bins, color=NEUTRAL, alpha=0.6, label='public images')
    axes[at].axvline(float(np.log10(own)), color=colour, label=name)
    axes[at].set(xlabel='log10 of the share outside the span', ylabel='images', xlim=(-1.3, 0))
    legend(axes[at])
  return figure


def silent_units() -> Figure:
  """The share of the footprint that is missing, of members of both sets and of others."""
  figure, axes = panels(2)
  for at, target in enumerate(('support', 'query')):
    known = dataclasses.replace(knowledge(), target=target)
    played = play(SilentUnits(), known, count=200, at_once=25)
    missing = np.log10(np.maximum(-played.scores, 1e-8))
    members_and_others(axes[at], missing, played.trials.member)
    axes[at].set(xlabel=f'{target} set: log10 of the missing share (none: -8)')
  return figure
