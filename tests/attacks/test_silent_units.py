"""Zeros of a gradient: no member misses a trace, and who would have left one was not there."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax.attacks import Candidate, Knowledge, Observation, SilentUnits
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.base import threshold_of
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.footprints import footprints, steadfast
from mamljax.attacks.gradients.layers import layer_gradient
from mamljax.audit.game import observe
from mamljax.audit.metrics import auc
from mamljax.defences import Aggregate, Defence, Gaussian
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, Params, Task
from tests.attacks.closed_form import MEMBERS, TRIALS, seen, trials
from tests.attacks.digits import SHAPE
from tests.attacks.plays import WAYS

CHANCE = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5  # three deviations of the AUC
KEY, INNER = jax.random.key(0), InnerLoop(1, 0.1)
RULE = threshold_of(SilentUnits(), 'support') or 0.0


class Grouped(nn.Module):
  """A convolution in groups, a max-pool after its ReLU, and a dense layer."""

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """The logits [n, ways]."""
    x = nn.relu(nn.Conv(8, (3, 3), strides=2)(images))
    x = nn.relu(nn.Conv(12, (3, 3), feature_group_count=4)(x))
    x = nn.max_pool(x, (2, 2), (2, 2))
    return nn.Dense(WAYS)(nn.relu(nn.Dense(16)(x.reshape(len(x), -1))))


@functools.cache
def network(kind: str) -> tuple[Any, Params]:
  """A loss and initial parameters."""
  if kind == 'grouped':
    net = Grouped()
    params = net.init(KEY, jnp.zeros((1, *SHAPE)))

    def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
      logits: Any = net.apply(params, batch.images)
      return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()

    return loss_fn, params
  small: Any = {'conv4': {'filters': 12}, 'pooled': {'filters': 8, 'downsampling': 'max_pool'}}
  name = 'mlp' if kind == 'mlp' else 'conv4'
  net = make_network(name, ways=WAYS, initialization='pytorch', **small.get(kind, {}))
  return CrossEntropy(net), init_params(KEY, net, SHAPE)


def known(kind: str = 'conv4', target: str = 'support', **loop: Any) -> Knowledge:
  """The adversary's knowledge of learners with a network of a kind."""
  inner = InnerLoop(**{'steps': 1, 'learning_rate': 0.1, 'order': 2, **loop})
  return Knowledge(*network(kind), inner, target=target, ways=WAYS, shots=1)


@functools.cache
def observed(kind: str = 'conv4', target: str = 'support', **loop: Any) -> Observation:
  """The observations of the trials of a target."""
  return seen(*trials(target), known(kind, target, **loop))


@functools.partial(jax.jit, static_argnames='attack')
def score(
  attack: SilentUnits, knowledge: Knowledge, told: Observation, asked: Candidate
) -> Any:
  """Scores and Info of some trials."""
  return jax.vmap(lambda *one: attack.score(KEY, knowledge, *one))(told, asked)


def scored(
  kind: str = 'conv4',
  target: str = 'support',
  told: Observation | None = None,
  defence: Defence | None = None,
  attack: SilentUnits | None = None,
) -> np.ndarray:
  """The scores of the trials of a target."""
  knowledge = dataclasses.replace(known(kind, target), defence=defence)
  told = observed(kind, target) if told is None else told
  asked = trials(target)[0].candidate
  return np.asarray(score(attack or SilentUnits(), knowledge, told, asked)[0])


@pytest.mark.parametrize(
  ('kind', 'steps'),
  [
    *(('conv4', 3), ('pooled', 1), ('mlp', 1)),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (('conv4', 1), ('grouped', 1))),
  ],
)
def test_no_member_of_the_support_set_misses_a_trace(kind, steps):
  """The claim itself, of strides, max-pools, groups and dense layers, for any inner steps.

  A member that missed one would be called "no member": a false "safe".
  """
  found = scored(kind, told=observed(kind, steps=steps))
  assert (found[MEMBERS] == 0).all()
  assert found.max() == 0


@pytest.mark.parametrize(('kind', 'least'), [('conv4', 0.9), ('pooled', 0.9), ('mlp', 0.9)])
def test_others_miss_one(kind, least):
  """Positive control: were nothing ever missing, the rule would call everybody a member."""
  assert np.mean((scored(kind) > RULE) == MEMBERS) >= least


def test_steadfast_traces_are_those_of_every_adaptation():
  """One that an adaptation empties may be missing of a member, and would speak against it."""
  loss_fn, params = network('conv4')
  asked = jax.tree.map(lambda leaf: leaf[0], trials('support')[0].candidate)
  layers = find_layers(loss_fn, params, asked.image)
  moved = [jax.tree.map(lambda w, by=by: w - by, params) for by in (0, 0.02, -0.03)]
  adapted: Any = jax.tree.map(lambda *leaves: jnp.stack(leaves), *moved)
  found = jax.jit(functools.partial(steadfast, layers))(adapted, *asked)
  each = [jax.jit(functools.partial(footprints, layers))(one, *asked) for one in moved]
  for kept, *of_each in zip(found, *each, strict=True):
    left = np.all([np.asarray(layer) > 0 for layer in of_each], axis=0)
    np.testing.assert_allclose(kept, left / left.sum(), rtol=1e-5)
  assert any(
    (kept == 0).sum() > (at_w == 0).sum() for kept, at_w in zip(found, each[0], strict=True)
  )


def test_a_member_of_the_query_set_misses_little():
  """Its units are those at theta, near w: what is missing ranks members below others."""
  assert (auc(scored('conv4', 'query'), MEMBERS) or 0) >= 0.9


@pytest.mark.parametrize('target', ['query', 'support'])
def test_the_gradient_of_another_task_says_nothing(target):
  """Null control: without information any AUC but 0.5 is a flaw of the game or the score."""
  told = observed('conv4', target)
  rolled = (
    jax.tree.map(lambda leaf, n=n: jnp.roll(leaf, n, axis=0), told) for n in range(1, 9)
  )
  found = [auc(scored('conv4', target, other), MEMBERS) or 0 for other in rolled]
  # The candidates are the same each time, and those with more ink miss more.
  assert np.mean(found) == pytest.approx(0.5, abs=CHANCE)


def test_first_order_maml_hides_the_support_set():
  """It sends no term of the support set: the rule must not be an artefact of the score."""
  found = auc(scored('conv4', told=observed(order=1)), MEMBERS)
  assert found == pytest.approx(0.5, abs=CHANCE)


@pytest.mark.parametrize('kind', ['conv4', 'pooled', 'mlp', 'grouped'])
def test_a_footprint_is_where_the_gradient_of_one_image_is(kind):
  """Against autodiff: entries of the gradient that are not 0, of each layer, and no others."""
  loss_fn, params = network(kind)
  asked = jax.tree.map(lambda leaf: leaf[3], trials('query')[0].candidate)
  layers = find_layers(loss_fn, params, asked.image)

  @jax.jit
  def both(params: Params) -> Any:
    alone = jax.grad(loss_fn)(params, Batch(asked.image[None], asked.label[None]))
    own = [layer_gradient(layers, layer, alone) for layer in layers.seen]
    return footprints(layers, params, asked.image, asked.label), own

  for footprint, own in zip(*both(params), strict=True):
    np.testing.assert_array_equal(footprint > 0, own != 0)
    assert footprint.sum() == pytest.approx(1, abs=1e-5)


def test_scale_and_order_of_units_change_no_score():
  """A score that depends on how units are numbered reads something else than the gradient."""
  order = np.random.default_rng(0).permutation(12)

  def permuted(tree: Params) -> Params:
    def turn(path: Any, leaf: jax.Array) -> jax.Array:
      if 'Convolution_1' in jax.tree_util.keystr(path):
        return leaf[..., order]
      is_next = 'Convolution_2' in jax.tree_util.keystr(path) and leaf.ndim > 1
      return leaf[:, :, order] if is_next else leaf

    return jax.tree_util.tree_map_with_path(turn, tree)

  told, knowledge = observed('conv4', 'query'), known('conv4', 'query')
  other = dataclasses.replace(knowledge, params=permuted(knowledge.params))
  turned = told._replace(
    gradient=jax.vmap(permuted)(jax.tree.map(lambda g: 8 * g, told.gradient))
  )
  asked = trials('query')[0].candidate
  first, second = (
    score(SilentUnits(), *pair, asked)[0] for pair in ((knowledge, told), (other, turned))
  )
  np.testing.assert_allclose(first, second, atol=1e-5)


def noisy(told: Observation, scale: float) -> Observation:
  """Observations with Gaussian noise on every number that is sent."""
  keys = jax.random.split(jax.random.key(7), TRIALS)
  return told._replace(gradient=jax.vmap(Gaussian(scale))(keys, told.gradient))


def test_known_noise_fades_the_score():
  """Any noise leaves no exact zero; known noise that is small tells where there were some."""
  told = observed('conv4')
  rates = {}
  for scale in (1e-8, 1e-7, 1.0):
    sent, defence = noisy(told, scale), Defence(outgoing=Gaussian(scale))
    assert auc(scored('conv4', told=sent), MEMBERS) == pytest.approx(0.5, abs=CHANCE)
    rates[scale] = auc(scored('conv4', told=sent, defence=defence), MEMBERS) or 0
  assert rates[1e-8] > rates[1e-7] >= 0.75
  assert rates[1.0] == pytest.approx(0.5, abs=CHANCE)


def test_noise_on_what_is_not_zero_hides_nothing():
  """A sparse mechanism that leaves zeros alone leaks all of this, however loud it is."""
  told = observed('conv4')
  loud = noisy(told, 100.0).gradient
  sparse = jax.tree.map(lambda g, n: jnp.where(g == 0, 0, n), told.gradient, loud)
  sent = told._replace(gradient=sparse)
  np.testing.assert_array_equal(scored('conv4', told=sent), scored('conv4'))


def test_no_member_misses_a_trace_in_a_sum_over_learners():
  """It is 0 where all messages are: were a sum refused, or misread, it would pass for safe."""
  told = observed('conv4')
  others = jax.tree.map(lambda leaf: (leaf + jnp.roll(leaf, 1, axis=0)) / 2, told.gradient)
  sent, defence = told._replace(gradient=others), Defence(outgoing=Aggregate(2))
  found = scored('conv4', told=sent, defence=defence)
  assert (found[MEMBERS] == 0).all()
  assert (
    0.6 <= np.mean((found > RULE) == MEMBERS) < np.mean((scored('conv4') > RULE) == MEMBERS)
  )
  assert SilentUnits().allows_for(defence, 'support')


def test_noise_on_the_adaptation_hides_no_zero():
  """The Hessian of the support set is taken at w, whatever was added to theta."""
  tasks, knowledge = trials('support')[0].task, known()
  defence = Defence(inner=Gaussian(0.3))

  @jax.jit
  def send(key: jax.Array, task: Task) -> Observation:
    return observe(key, knowledge.loss_fn, knowledge.params, task, INNER, defence=defence)

  told = jax.vmap(send)(jax.random.split(jax.random.key(1), TRIALS), tasks)
  found = scored(told=told)
  assert (found[MEMBERS] == 0).all()
  assert np.mean((found > RULE) == MEMBERS) >= 0.9


def test_rounding_instead_of_zeros_is_allowed_for():
  """Learners whose convolutions leave rounding where others leave 0."""
  told = observed('conv4')
  random = np.random.default_rng(0)

  def rounded(leaf: jax.Array) -> jax.Array:
    largest = np.abs(leaf).reshape(TRIALS, -1).max(axis=1).reshape(-1, *[1] * (leaf.ndim - 1))
    return leaf + 3e-8 * largest * random.uniform(-1, 1, leaf.shape)

  sent = told._replace(gradient=jax.tree.map(rounded, told.gradient))
  assert np.mean((scored('conv4', told=sent) > RULE) == MEMBERS) == 0.5
  found = scored('conv4', told=sent, attack=SilentUnits(rounding=1e-7))
  assert np.mean((found > RULE) == MEMBERS) >= 0.8


@pytest.mark.parametrize('side', [28, 14])
def test_a_smooth_network_is_refused(side):
  """Its zeros are those of the padding, of every image: everybody would be called a member."""
  net = make_network('conv4', ways=WAYS, activation='softplus', filters=8)
  smooth = Knowledge(CrossEntropy(net), init_params(KEY, net, shape := (side, side, 1)))
  why = inapplicable(SilentUnits(), smooth, shape) or ''
  assert 'needs units that are exactly 0 at times, as with ReLUs' in why
  assert inapplicable(SilentUnits(), known(), SHAPE) is None


def test_a_gradient_of_nothing_says_nothing():
  """Zeros throughout are a learner that sent nothing, not one without the candidate."""
  told = observed('conv4')
  empty = told._replace(gradient=jax.tree.map(jnp.zeros_like, told.gradient))
  assert (scored('conv4', told=empty) == 0).all()


def test_noise_that_moves_theta_is_not_allowed_for_in_the_query_set():
  """Were it said to be modelled, a defence would pass for measured by an attack that is not."""
  attack, noise = SilentUnits(), Gaussian(0.1)
  for defence in (Defence(inner=noise), Defence(support=noise)):
    assert attack.allows_for(defence, 'support')
    assert not attack.allows_for(defence, 'query')
  assert attack.allows_for(Defence(query=noise, outgoing=noise), 'query')
