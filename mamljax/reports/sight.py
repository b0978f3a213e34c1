"""Images that are read off an update itself, without any candidate."""

from typing import NamedTuple

import jax
import numpy as np

from mamljax.errors import InputError
from mamljax.learner import read_message
from mamljax.maml import as_learner
from mamljax.recovery import recover_images
from mamljax.reports.questioning import READ, Question
from mamljax.reports.received import Round

_MOST = 12  # images of a task: more are out of reach, see `recovery`
_OUTSIDE = 0.02  # of the range of pixels by which a found image may exceed it
_SILENT = 8  # units whose columns say that an image is there


class Sight(NamedTuple):
  """Images that were read off.

  Attributes:
    images: of both sets, in no order, [n, height, width, channels].
    remark: why there are none, or how many of how many.
  """

  images: np.ndarray
  remark: str


def read_off(question: Question, one: Round) -> Sight:
  """The images of a task, out of the gradient of a first layer of ReLUs, if there is one."""
  rules, setup = question.rules, question.setup
  none = np.zeros((0, *setup.shape), np.float32)
  count = 2 * rules.ways * rules.shots * rules.learners
  if setup.defence.has_hooks:
    return Sight(none, 'no images were read off: noise hides the columns of a gradient')
  if as_learner(setup.inner).kind.name != 'maml' or len(setup.shape) != 3:
    return Sight(none, 'no images were read off: only off a gradient of MAML, and images')
  if count > _MOST:
    return Sight(none, f'no images were read off: {count} are in the task, {_MOST} in reach')
  shape, key = setup.shape, question.stream(READ)
  try:
    gradient, _ = read_message(one.update, setup.inner)
    known = setup.knowledge.loss_fn, one.params, gradient
    found = _recover(key, *known, shape=shape, count=count)
  except InputError as error:
    return Sight(none, f'no images were read off: {error}')
  images, silent, outside = (np.asarray(part) for part in found)
  seen = (silent >= _SILENT) & (outside < _OUTSIDE)
  return Sight(images[seen], f'{seen.sum()} of {count} images were read off the update itself')


_recover = jax.jit(recover_images, static_argnames=('loss_fn', 'shape', 'count', 'samples'))
