"""Upper bound of every attack: the likelihood-ratio test given everything but membership.

The adversary of this bound is told the whole task, both images that may stand in the
candidate's place, and all noise but one: it knows what a learner would send with the
candidate and without it, and asks which of the two it sees through that one noise. Of two
Gaussians with a known shift the likelihood ratio is the best test (Neyman and Pearson, 1933).
With d, the length of the shift in standard deviations, its logarithm is normal with mean
d^2 / 2 for a member and -d^2 / 2 for others and deviation d, so that

    accuracy = Phi(d / 2),  AUC = Phi(d / sqrt 2),  TPR = Phi(Phi^-1(FPR) + d).

An attack knows less and sees less, so its ROC lies below. There is such a bound for each noise
that lies between the candidate and what is sent, and the tightest counts:

- noise on the gradient that is sent: d = |g_1 - g_0| / sigma;
- noise on the images of the targeted set: all that follows is made of the noisy image, so that
  d = |x_1 - x_0| / sigma (clipping them can only lose);
- noise on the inner gradient, if that is all that the gradient that is sent knows of the
  support set, after one step of first-order MAML: d = |grad L_1(w) - grad L_0(w)| / sigma.

Noise anywhere else does not lie between them, and protects only from who does not know it.
Without noise there is still rounding. This is no attack: it needs the truth.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mamljax.audit.game import Trial
from mamljax.checks import Checked, choice
from mamljax.defences import Defence, Gaussian
from mamljax.learner import send
from mamljax.maml import InnerLoop
from mamljax.types import Batch, LossFn, Params, Task


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """Nothing can be chosen but the set.

  Attributes:
    target: the set that the candidate may be in.
  """

  target: str = dataclasses.field(default='query', metadata=choice('query', 'support'))


class Info(NamedTuple):
  """Diagnostics of a score.

  Attributes:
    separation: d, the distance of the two hypotheses in standard deviations.
  """

  separation: jax.Array


REQUIRES = {'query': frozenset({'truth'}), 'support': frozenset({'truth'})}
THRESHOLD = 0.0

_CERTAIN = 1e6  # standard deviations beyond which nothing is left to tell


def score(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  trial: Trial,
  inner: InnerLoop,
  *,
  defence: Defence,
  options: Options,
) -> tuple[jax.Array, Info]:
  """The log-likelihood ratio of member and non-member, above 0 for a member.

  Args:
    key: a random key, for the noise: it is drawn anew, not that which a learner added.
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    trial: of the local game, with non-members of the candidate's class: others can be told
      by their class.
    inner: how the learner adapts.
    defence: its noise is Gaussian.
    options: the targeted set.

  Returns:
    A scalar, NaN where an adaptation or a gradient diverges, and an `Info`.
  """
  key_told, key_noise = jax.random.split(key)
  with_it, without = hypotheses(trial, target=options.target)
  bounds = [
    *_on_images(trial, getattr(defence, options.target)),
    *_on_adaptation(loss_fn, params, with_it, without, inner, defence, options.target),
    _on_sent(key_told, loss_fn, params, (with_it, without), inner, defence),
  ]
  separation = jnp.min(jnp.stack(bounds))
  half = jnp.where(trial.member, 0.5, -0.5) * separation**2
  return half + separation * jax.random.normal(key_noise), Info(separation)


def hypotheses(trial: Trial, *, target: str) -> tuple[Task, Task]:
  """The only learner's task with the candidate, and with the other image in its place."""
  task = jax.tree.map(lambda leaf: leaf[0], trial.tasks)
  batch: Batch = getattr(task, target)

  def put(image: jax.Array) -> Task:
    images = batch.images.at[trial.place].set(image)
    return task._replace(**{target: batch._replace(images=images)})

  return put(trial.candidates.image[0]), put(trial.other)


def _on_images(trial: Trial, noise: Any) -> Iterator[jax.Array]:
  """The bound of noise on the targeted images, if there is any."""
  if noise is not None:
    yield _separation(trial.candidates.image[0] - trial.other, noise)


def _on_adaptation(
  loss_fn: LossFn,
  params: Params,
  with_it: Task,
  without: Task,
  inner: InnerLoop,
  defence: Defence,
  target: str,
) -> Iterator[jax.Array]:
  """The bound of noise on the adaptation, if all that is known of the set goes through it.

  Second-order MAML sends a Hessian of the support set, too, to which no noise was added.
  """
  if defence.inner is None or target == 'query' or (inner.order, inner.steps) != (1, 1):
    return
  ends = (jax.grad(loss_fn)(params, task.support) for task in (with_it, without))
  yield _separation(optax.tree.sub(*ends), defence.inner)


def _on_sent(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  tasks: tuple[Task, Task],
  inner: InnerLoop,
  defence: Defence,
) -> jax.Array:
  """The bound of noise on what is sent, or else of its rounding; other noise is told."""
  told = defence._replace(outgoing=None)
  sent = [send(key, loss_fn, params, task, inner, defence=told) for task in tasks]
  with_it, without = (one.gradient for one in sent)
  fine = jnp.stack([one.is_adapted & one.is_finite for one in sent]).all()
  size = sum(leaf.size for leaf in jax.tree.leaves(params))
  rounding = jnp.finfo(jnp.float32).eps * _length(with_it) / size**0.5
  noise = defence.outgoing or Gaussian(jnp.maximum(rounding, 1e-30))
  found = _separation(optax.tree.sub(with_it, without), noise)
  return jnp.where(fine, found, jnp.nan)


def _separation(shift: Params, noise: Any) -> jax.Array:
  """The length of a shift in standard deviations of Gaussian noise."""
  if not isinstance(noise, Gaussian):
    raise TypeError(f'the likelihood ratio of {type(noise).__name__} noise is not known')
  return jnp.minimum(_length(shift) / noise.scale, _CERTAIN)


def _length(tree: Params) -> jax.Array:
  """The norm of a pytree whose squares may overflow: noisy adaptations explode."""
  largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]))
  scaled = jax.tree.map(lambda leaf: leaf / jnp.maximum(largest, 1e-30), tree)
  return largest * optax.tree.norm(scaled)
