"""Upper bound of every attack: the likelihood-ratio test given everything but membership.

The adversary of this bound is given the whole task, both images that may stand in the
candidate's place, and all of the defence's noise except at one of its points. It knows what
the learner would send with the candidate and without it, up to that noise, and tests which of
the two it received. Between two Gaussians that differ by a known shift, the likelihood ratio is
the best test (Neyman and Pearson, 1933). With d, the length of the shift in standard
deviations, its logarithm is normal with standard deviation d and with mean d^2 / 2 for a member
and -d^2 / 2 for a non-member, so that

    accuracy = Phi(d / 2),  AUC = Phi(d / sqrt 2),  TPR = Phi(Phi^-1(FPR) + d).

An attack is given less, so that its ROC curve lies below. Each noise that lies between the
candidate and the gradient that is sent gives such a bound, and the tightest counts:

- noise on the gradient that is sent: d = |g_1 - g_0| / sigma, of the clipped or compressed
  gradients where a clip, of the whole or of each example's term, or a compression comes before
  the noise;
- noise on the images of the targeted set: everything sent is a function of the noisy image, so
  that d = |x_1 - x_0| / sigma (to clip the noisy image can only lose information);
- noise on the inner gradient, where the gradient that is sent depends on the support set
  through it alone, as after one step of first-order MAML: d = |grad L_1(w) - grad L_0(w)| /
  sigma.

Other noise does not lie between them, and protects only against an adversary that does not
know it. Without any noise the rounding of the gradient takes its place. A compression's random
choices are given away, too, and so are the tasks of other learners where a sum is received;
what is done after noise cannot tell more. The bound is no
attack: it needs the truth.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from mamljax import checks
from mamljax.audit.game import Trial
from mamljax.defences import (
  Aggregation,
  Chain,
  Compression,
  Defence,
  DPExamples,
  DPGaussian,
  Gaussian,
  Hook,
  learners_of,
  parts_of,
)
from mamljax.learner import send
from mamljax.maml import Inner, as_learner
from mamljax.numerics import norm
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, LossFn, Params, Task


class Info(NamedTuple):
  """Diagnostics of a score.

  Attributes:
    separation: d, the distance of the two hypotheses in standard deviations.
  """

  separation: jax.Array


_CERTAIN = 1e6  # standard deviations; decisions are certain long before


@runtime_checkable
class Bound(Protocol):
  """A bound of every attack, which is told the truth and therefore is none.

  Attributes:
    targets: the sets that a candidate may be in.
    threshold: the score above which a candidate is a member, where that is known beforehand.
  """

  targets: ClassVar[frozenset[str]]
  threshold: ClassVar[float | None]

  def score(
    self,
    key: jax.Array,
    loss_fn: LossFn,
    params: Params,
    trial: Trial,
    inner: Inner,
    *,
    defence: Defence,
    target: str,
  ) -> tuple[jax.Array, Any]:
    """Scores one trial, higher for a member.

    Args:
      key: a random key.
      loss_fn: the task's loss.
      params: the meta-knowledge w.
      trial: a trial of the local game, the truth included.
      inner: the inner loop.
      defence: the learner's defence.
      target: the set that the candidate may be in.

    Returns:
      A scalar and diagnostics.
    """
    ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodRatio:
  """Likelihood-ratio test given everything but membership."""

  targets: ClassVar[frozenset[str]] = frozenset({'query', 'support'})
  threshold: ClassVar[float | None] = 0.0

  def score(
    self,
    key: jax.Array,
    loss_fn: LossFn,
    params: Params,
    trial: Trial,
    inner: Inner,
    *,
    defence: Defence,
    target: str,
  ) -> tuple[jax.Array, Info]:
    """Computes the log-likelihood ratio of member and non-member, above 0 for a member.

    Args:
      key: a random key, for noise that is drawn anew: it is not that of the gradient sent.
      loss_fn: the task's loss.
      params: the meta-knowledge w.
      trial: a trial of the local game with non-members of the candidate's class; for others the
        class alone could decide.
      inner: the inner loop.
      defence: the learner's defence, of Gaussian noise.
      target: the set that the candidate may be in.

    Returns:
      A scalar, NaN where an adaptation or a gradient diverges, and its diagnostics.
    """
    key_defence, key_noise = jax.random.split(key)
    checks.one_of('target', target, checks.TARGETS)
    tasks = hypotheses(trial, target=target)
    bounds = [
      *_on_images(trial, getattr(defence, target)),
      *_on_adaptation(loss_fn, params, tasks, inner, defence, target),
      _on_sent(key_defence, loss_fn, params, tasks, inner, defence, beside=trial.others),
    ]
    separation = jnp.min(jnp.stack(bounds))
    mean = jnp.where(trial.member, 0.5, -0.5) * separation**2
    return mean + separation * jax.random.normal(key_noise), Info(separation)


# Bounds by name: played in the place of an attack.
BOUNDS: dict[str, type[Bound]] = {'likelihood_ratio': LikelihoodRatio}


def hypotheses(trial: Trial, *, target: str) -> tuple[Task, Task]:
  """The learner's task with the candidate, and with the other image in its place."""
  task = jax.tree.map(lambda leaf: leaf[0], trial.tasks)
  batch: Batch = getattr(task, target)

  def put(image: jax.Array) -> Task:
    images = batch.images.at[trial.place].set(image)
    return task._replace(**{target: batch._replace(images=images)})

  return put(trial.candidates.image[0]), put(trial.other)


def _on_images(trial: Trial, noise: Any) -> Iterator[jax.Array]:
  """The separation of the hypotheses by noise on the targeted images, if there is any."""
  if noise is not None:
    yield _separation(trial.candidates.image[0] - trial.other, noise)


def _on_adaptation(
  loss_fn: LossFn,
  params: Params,
  tasks: tuple[Task, Task],
  inner: Inner,
  defence: Defence,
  target: str,
) -> Iterator[jax.Array]:
  """The separation by noise on the adaptation, if it hides all that depends on the set.

  It does not in second-order MAML, whose gradient has a factor with the Hessian of the support
  set, without noise.
  """
  if defence.inner is None or target == 'query' or not _sends_one_gradient(as_learner(inner)):
    return
  noise = defence.inner
  if isinstance(noise, DPGaussian | DPExamples):
    count = len(tasks[0].support.labels)
    gradients = [_clipped_step(loss_fn, params, task.support, noise) for task in tasks]
    noise = noise.noise_of(count)
  else:
    gradients = [jax.grad(loss_fn)(params, task.support) for task in tasks]
  yield _separation(optax.tree.sub(*gradients), noise)


def _clipped_step(
  loss_fn: LossFn, params: Params, support: Batch, mechanism: DPGaussian | DPExamples
) -> Params:
  """The gradient of a support set, clipped as a whole or term by term, without noise."""
  if isinstance(mechanism, DPGaussian):
    return mechanism.clipped(jax.grad(loss_fn)(params, support))

  def one(image: jax.Array, label: jax.Array) -> Params:
    return jax.grad(loss_fn)(params, Batch(image[None], label[None]))

  return mechanism.mean_of(jax.vmap(one)(*support))


def _sends_one_gradient(learner: Learner) -> bool:
  """True if the message depends on the support set through the gradient of one step alone."""
  return learner.steps == 1 and (learner.kind.descends or learner.kind.is_first_order)


def _on_sent(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  tasks: tuple[Task, Task],
  inner: Inner,
  defence: Defence,
  *,
  beside: Task | None,
) -> jax.Array:
  """The separation by noise on the gradient that is sent or, without any, by its rounding.

  Noise at other points is given to the adversary: it is the same in both gradients. So are the
  tasks of other learners in the same sum, but not the noise on their messages.
  """
  before, noise = _before_noise(defence.outgoing, examples=len(tasks[0].query.labels))
  others, learner = defence._replace(outgoing=before), as_learner(inner).undefended
  options: Any = {'defence': others, 'others': beside if learners_of(before) > 1 else None}
  sent = [send(key, loss_fn, params, task, learner, **options) for task in tasks]
  with_candidate, without = (each.gradient for each in sent)
  is_finite = jnp.stack([each.is_adapted & each.is_finite for each in sent]).all()
  size = sum(leaf.size for leaf in jax.tree.leaves(params))
  rounding = jnp.finfo(jnp.float32).eps * norm(with_candidate) / size**0.5
  # A gradient of zeros has no rounding; a tiny one avoids 0 / 0.
  least = Gaussian(jnp.maximum(rounding, 1e-30))
  if isinstance(noise, Gaussian):
    least = Gaussian(jnp.maximum(noise.scale, least.scale))  # a clip alone has no noise
  shift = optax.tree.sub(with_candidate, without)
  separation = _separation(shift, least if isinstance(noise, Gaussian | None) else noise)
  return jnp.where(is_finite, separation, jnp.nan)


def _before_noise(hook: Hook | None, *, examples: int) -> tuple[Hook | None, Any]:
  """The hook on a message before its first noise, clips included, and that noise or None.

  Of noise on each message of a sum, the mean of all, if nothing is between.
  """
  parts = parts_of(hook)
  before = [*itertools.takewhile(lambda x: isinstance(x, Compression | Aggregation), parts)]
  noise, *after = (*parts[len(before) :], None, None)
  if isinstance(noise, DPGaussian | DPExamples):
    before.append(dataclasses.replace(noise, noise_multiplier=0.0))
    noise = noise.noise_of(examples)
  following = after[0]
  if isinstance(noise, Gaussian) and isinstance(following, Aggregation):
    before.append(following)
    noise = Gaussian(noise.scale / following.learners**0.5)
  return Chain(*before) if before else None, noise


def _separation(shift: Params, noise: Any) -> jax.Array:
  """The length of a shift in standard deviations of Gaussian noise."""
  if not isinstance(noise, Gaussian):
    raise TypeError(f'the likelihood ratio of {type(noise).__name__} noise is not known')
  return jnp.minimum(norm(shift) / noise.scale, _CERTAIN)
