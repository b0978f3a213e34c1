"""The ceiling is that of the noise: as in closed form, and as found by whoever adds it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import norm

from mamljax.attacks import ATTACKS, Attack
from mamljax.audit.game import Trial, draw_trial
from mamljax.audit.likelihood_ratio import BOUNDS, LikelihoodRatio, hypotheses
from mamljax.audit.metrics import auc
from mamljax.defences import Defence, DPGaussian, Gaussian
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.types import Batch, Params, Pool

WAYS, SHOTS, TRIALS, RATE = 2, 2, 1000, 0.3
MEMBERS = np.arange(TRIALS) % 2 == 0
TARGETS = ('query', 'support')
NOISES = {
  'sent': Defence(outgoing=Gaussian(0.03)),
  'query': Defence(query=Gaussian(1.5)),
  'support': Defence(support=Gaussian(1.5)),
  'adaptation': Defence(inner=Gaussian(0.1)),
}
PARAMS = jnp.asarray(np.random.default_rng(0).normal(size=(9, WAYS)), jnp.float32)


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """Softmax regression."""
  logits = batch.images.reshape(len(batch.labels), -1) @ params
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


@functools.partial(jax.jit, static_argnames='target')
def draw(target: str) -> Trial:
  """Trials on images of noise; every other one has a member."""
  images = np.random.default_rng(1).integers(0, 256, (60, 3, 3, 1), dtype=np.uint8)
  pool = Pool(*map(jnp.asarray, (images, np.arange(3) * 20, np.full(3, 20))))
  one = functools.partial(draw_trial, ways=WAYS, shots=SHOTS, target=target)
  keys = jax.random.split(jax.random.key(0), TRIALS)
  return jax.vmap(lambda key, member: one(key, pool, member))(keys, jnp.asarray(MEMBERS))


@functools.partial(jax.jit, static_argnames='target')
def bound(target: str, defence: Defence, inner: InnerLoop, params=PARAMS):
  """The ratios of all trials, and the distances d they stand on."""
  keys = jax.random.split(jax.random.key(1), TRIALS)

  def one(key: jax.Array, trial: Trial):
    told = {'defence': defence, 'target': target}
    return LikelihoodRatio().score(key, loss_fn, params, trial, inner, **told)

  return jax.vmap(one)(keys, draw(target))


def played(target: str, defence: Defence, *, order: int = 2, steps: int = 1, params=PARAMS):
  ratios, info = bound(target, defence, InnerLoop(steps, RATE, order), params)
  return np.asarray(ratios, float), np.asarray(info.separation, float)


@functools.partial(jax.jit, static_argnames='target')
def gradients(target: str, inner: InnerLoop):
  """Messages with the candidate and without it, and the noisy one that is sent."""

  def one(key: jax.Array, trial: Trial):
    ends = hypotheses(trial, target=target)
    exact = [meta_gradient(loss_fn, PARAMS, task, inner) for task in ends]
    task = jax.tree.map(lambda leaf: leaf[0], trial.tasks)
    sent = send_gradient(key, loss_fn, PARAMS, task, inner, defence=NOISES['sent'])
    return *exact, sent

  found = jax.vmap(one)(jax.random.split(jax.random.key(2), TRIALS), draw(target))
  return [g.reshape(TRIALS, -1) for g in found]


def apart() -> float:
  """Three standard deviations of an accuracy over the trials."""
  return 3 * 0.5 / TRIALS**0.5


@pytest.mark.parametrize('target', TARGETS)
def test_one_of_the_hypotheses_is_what_is_played(target):
  """Else the bound would be that of another game than the attacks'."""
  trials = draw(target)
  with_it, without = jax.vmap(lambda trial: hypotheses(trial, target=target))(trials)
  task = jax.tree.map(lambda leaf: np.asarray(leaf[:, 0]), trials.tasks)
  same, axes = (lambda a, b: np.all(np.asarray(a) == b, axis=axes)), (1, 2, 3, 4)
  for part in TARGETS:
    true = getattr(task, part).images
    np.testing.assert_array_equal(same(getattr(with_it, part).images, true)[MEMBERS], True)
    np.testing.assert_array_equal(same(getattr(without, part).images, true)[~MEMBERS], True)
  assert not same(getattr(with_it, target).images, getattr(without, target).images).any()


@pytest.mark.parametrize('target', TARGETS)
def test_noise_on_what_is_sent_has_the_ceiling_of_the_closed_form(target):
  """Phi(d / 2) right decisions and an AUC of Phi(d / sqrt 2), with d from the gradients."""
  ratios, separation = played(target, NOISES['sent'])
  with_it, without, _ = map(np.asarray, gradients(target, InnerLoop(1, RATE)))
  exact = np.linalg.norm(with_it - without, axis=1) / 0.03
  np.testing.assert_allclose(separation, exact, rtol=1e-3)
  right = np.mean((ratios > LikelihoodRatio.threshold) == MEMBERS)
  assert right == pytest.approx(norm.cdf(exact / 2).mean(), abs=apart())
  pairs = np.hypot(exact[MEMBERS][:, None], exact[~MEMBERS])
  assert auc(ratios, MEMBERS) == pytest.approx(norm.cdf(pairs / 2).mean(), abs=apart())
  assert 0.55 < right < 0.99  # neither hopeless nor certain: the noise is of interest


@pytest.mark.parametrize('target', TARGETS)
def test_the_ceiling_is_what_the_learners_own_noise_allows(target):
  """Monte Carlo over the defence: the ratio of the densities of what was really sent."""
  with_it, without, sent = map(np.asarray, gradients(target, InnerLoop(1, RATE)))
  densities = [norm.logpdf(sent, mean, 0.03).sum(axis=1) for mean in (with_it, without)]
  theirs = np.mean((densities[0] > densities[1]) == MEMBERS)
  ours = np.mean((played(target, NOISES['sent'])[0] > 0) == MEMBERS)
  assert ours == pytest.approx(theirs, abs=2**0.5 * apart())


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('clip', [0.05, 100.0])
def test_a_clip_moves_the_two_means_and_the_noise_stays(target, clip):
  """In closed form: what is sent is one of two clipped gradients, and Gaussian noise."""
  _, separation = played(target, Defence(outgoing=DPGaussian(clip, 0.03 / clip)))
  ends = [np.asarray(g, float) for g in gradients(target, InnerLoop(1, RATE))[:2]]
  sizes = [np.linalg.norm(g, axis=1, keepdims=True) for g in ends]
  shrunk = [g * np.minimum(1, clip / size) for g, size in zip(ends, sizes, strict=True)]
  exact = np.linalg.norm(shrunk[0] - shrunk[1], axis=1) / 0.03
  np.testing.assert_allclose(separation, exact, rtol=1e-3, atol=1e-4)
  assert separation.max() <= 2 * clip / 0.03


def test_a_clip_alone_hides_nothing_from_the_ceiling():
  """Without noise there is its rounding, as without a clip."""
  ratios, separation = played('query', Defence(outgoing=DPGaussian(0.05, 0.0)))
  assert np.mean((ratios > 0) == MEMBERS) == 1
  assert np.median(separation) > 1e4


@pytest.mark.parametrize('target', TARGETS)
def test_noise_on_the_targeted_images_bounds_by_the_images(target):
  """A noisy image gives the gradient, which tells no more than that image does."""
  _, separation = played(target, NOISES[target])
  trials = draw(target)
  shift = np.asarray(trials.candidates.image[:, 0] - trials.other).reshape(TRIALS, -1)
  np.testing.assert_allclose(separation, np.linalg.norm(shift, axis=1) / 1.5, rtol=1e-5)


@pytest.mark.parametrize(
  ('target', 'noise'),
  [('query', 'support'), ('support', 'query'), ('query', 'adaptation')],
)
def test_noise_elsewhere_does_not_lie_between(target, noise):
  """A known draw of noise hides nothing: rounding alone is left, and hides next to nothing."""
  ratios, separation = played(target, NOISES[noise])
  assert np.mean((ratios > 0) == MEMBERS) == 1
  assert np.median(separation) > 1e4


def test_noise_on_the_adaptation_hides_the_support_set_of_first_order_maml_only():
  """A Hessian without noise gives away what the noisy inner gradient hides."""
  _, second = played('support', NOISES['adaptation'])
  _, first = played('support', NOISES['adaptation'], order=1)
  assert np.median(second) > 1e4
  ends = jax.vmap(lambda trial: hypotheses(trial, target='support'))(draw('support'))
  inner = [
    np.asarray(jax.vmap(lambda s: jax.grad(loss_fn)(PARAMS, s))(t.support)) for t in ends
  ]
  shift = np.linalg.norm((inner[0] - inner[1]).reshape(TRIALS, -1), axis=1)
  np.testing.assert_allclose(first, shift / 0.1, rtol=1e-3)


def test_of_several_noises_the_tightest_bound_counts():
  """Each is a ceiling by itself, and so is the lowest."""
  both = NOISES['query']._replace(outgoing=Gaussian(0.3))
  _, separation = played('query', both)
  _, images = played('query', NOISES['query'])
  assert np.all(separation <= images + 1e-6)
  assert np.any(separation < images / 2)


def test_without_a_trace_of_the_candidate_there_is_nothing_to_find():
  """Null control: first order without adaptation sends nothing of the support set."""
  inner = InnerLoop(1, 0.0, 1)
  ratios, info = bound('support', NOISES['sent'], inner)
  np.testing.assert_array_equal(info.separation, 0)
  assert auc(ratios, MEMBERS) == 0.5


def test_gradients_of_any_size_have_a_finite_ratio():
  """An adaptation that explodes sends numbers whose squares overflow; a sweep must go on."""
  trial = jax.tree.map(lambda leaf: leaf[0], draw('query'))
  for scale in (1e25, 1e-25):
    ratio, _ = LikelihoodRatio().score(
      jax.random.key(0),
      lambda params, batch, scale=scale: scale * loss_fn(params, batch),
      PARAMS,
      trial,
      InnerLoop(0, 0.0),
      defence=Defence(),
      target='query',
    )
    assert np.isfinite(ratio)
    assert ratio > 0  # the first trial has a member


def test_other_noise_than_gaussian_is_refused():
  """A ceiling of the wrong density would be none."""
  with pytest.raises(TypeError, match='likelihood ratio of function noise'):
    LikelihoodRatio().score(
      jax.random.key(0),
      loss_fn,
      PARAMS,
      jax.tree.map(lambda leaf: leaf[0], draw('query')),
      InnerLoop(1, RATE),
      defence=Defence(outgoing=lambda key, value: value),
      target='query',
    )


def test_the_bound_says_that_it_is_none_of_the_attacks():
  """A bound is told the truth: it must neither pass for an adversary nor be had by one."""
  assert not {*BOUNDS} & {*ATTACKS}
  assert not hasattr(LikelihoodRatio, 'requires')
  attack: Attack = LikelihoodRatio()  # pyright: ignore[reportAssignmentType]
  assert attack not in [kind() for kind in ATTACKS.values()]
