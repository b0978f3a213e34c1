"""Gaussian mechanism on single query examples: its terms, its worst neighbours, its limits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.audit.certainty import empirical_epsilon
from mamljax.defences import (
  Chain,
  Defence,
  DPExamples,
  DPGaussian,
  Gaussian,
  TopK,
  make_defence,
  parse_defence,
)
from mamljax.errors import InputError
from mamljax.learner import send_gradient
from mamljax.maml import meta_gradient
from mamljax.numerics import norm
from mamljax.protocol import Custom, ImplicitMAML
from mamljax.protocol.guarantees import guarantees
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Params, Task
from tests.defences.test_dp_gaussian import KEY, LABELS, PARAMS, SLACK, loss_fn, size, task_of

CLIP, DELTA, COUNT = 0.05, 1e-5, len(LABELS)
RATES = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.5), PARAMS)
LEARNERS = {
  'maml': Learner(2, 0.3),
  'fomaml': Learner(1, 0.3, sends='fomaml'),
  'imaml': Learner(2, 0.3, sends=ImplicitMAML(8.0, 40)),
  'rates': Learner(1, 1.0, RATES),
}


def task(seed: int = 7) -> Task:
  """A task of noise."""
  return task_of(jax.random.normal(jax.random.key(seed), (2, COUNT, 6)))


def sent(learner: Learner, defence, of: Task):
  """The message of a defended learner."""
  return send_gradient(KEY, loss_fn, PARAMS, of, dataclasses.replace(learner, defence=defence))


@pytest.mark.parametrize('name', LEARNERS)
@pytest.mark.parametrize('clip', [CLIP, 1e6])
def test_each_example_is_clipped_by_itself(name, clip):
  """Of the exact meta-gradient of each; unclipped ones have the undefended gradient for mean.

  A clip of their mean would leave one example as much of it as it likes.
  """
  learner, whole = LEARNERS[name], task()
  alone = [
    meta_gradient(
      loss_fn,
      PARAMS,
      whole._replace(query=Batch(*(part[i : i + 1] for part in whole.query))),
      learner,
    )
    for i in range(COUNT)
  ]
  factors = [min(1.0, clip / size(term)) for term in alone]
  mean = jax.tree.map(
    lambda *leaves: (
      sum(f * np.asarray(x, np.float64) for f, x in zip(factors, leaves, strict=True)) / COUNT
    ),
    *alone,
  )
  found = sent(learner, DPExamples(clip, 0.0), whole)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), found, mean)
  if clip > 1:
    exact = meta_gradient(loss_fn, PARAMS, whole, learner)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), found, exact
    )
  else:
    assert max(factors) < 1


def test_its_noise_is_that_of_the_sum_over_the_number():
  """Noise of the whole multiplier on the mean would cost n times more than is accounted."""
  terms = {'a': jnp.zeros((COUNT, 100_000))}
  noisy = np.asarray(DPExamples(0.5, 3.0)(KEY, terms)['a'])
  assert noisy.shape == (100_000,)
  assert noisy.std() == pytest.approx(3.0 * 0.5 / COUNT, rel=0.01)


def apart(images: jax.Array, other: jax.Array, *, point: int) -> jax.Array:
  """The distance of the sums of terms of two tasks that differ in one image of a set."""
  learner = Learner(1, 0.3, defence=DPExamples(CLIP, 0.0))
  pair = (task_of(x) for x in (images, images.at[point, 0].set(other)))
  first, second = (send_gradient(KEY, loss_fn, PARAMS, one, learner) for one in pair)
  return COUNT * norm(jax.tree.map(jnp.subtract, first, second))


def furthest(point: int) -> float:
  """The distance of the worst neighbours that gradient ascent finds."""

  def climb(pair, _):
    far, slope = jax.value_and_grad(lambda pair: apart(*pair, point=point))(pair)
    step = 0.3 / jnp.maximum(norm(slope), 1e-12)
    return jax.tree.map(lambda x, s: x + step * s, pair, slope), far

  def search(key: jax.Array) -> jax.Array:
    starts = jax.random.split(key)
    pair = jax.random.normal(starts[0], (2, COUNT, 6)), jax.random.normal(starts[1], (6,))
    return jax.lax.scan(climb, pair, None, length=150)[1].max()

  return float(jax.jit(jax.vmap(search))(jax.random.split(KEY, 8)).max())


def test_no_search_finds_query_examples_further_apart_than_two_clips():
  """Sensitivity: the account rests on it. The search does find some that reach it."""
  assert 0.99 * 2 * CLIP <= furthest(1) <= 2 * CLIP * SLACK


def test_one_support_image_moves_more_than_one_term():
  """So that the guarantee is of no support image; and all terms together keep to the clip."""
  found = furthest(0)
  assert found > 1.5 * 2 * CLIP
  assert found <= COUNT * 2 * CLIP * SLACK


def squares(params: Params, batch: Batch, /) -> jax.Array:
  """Squared errors of a linear model that is to say 1; well adapted, it errs to either side."""
  return jnp.mean((batch.images @ params - 1) ** 2) / 2


def planted(support: float | jax.Array, query: float | jax.Array) -> Task:
  """A task whose support image moves every term, and whose first query image moves its own."""
  ones = jnp.ones((COUNT, 3))
  return Task(
    Batch(support * ones[:1], jnp.zeros(1, int)),
    Batch(ones.at[0].multiply(query), jnp.zeros(COUNT, int)),
  )


def shown(mechanism: DPExamples, support: float, query: float) -> float:
  """The lower bound of epsilon that attacks show, where signs of images are guessed."""
  members = np.arange(40_000) % 2 == 0
  learner, start = Learner(1, 1.0, sends='fomaml', defence=mechanism), jnp.zeros(3)

  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    sign = jnp.where(member, 1.0, -1.0)
    asked = planted(support * sign, sign if query else 1.0)
    return -jnp.sum(send_gradient(key, squares, start, asked, learner))

  play = jax.jit(jax.vmap(one))
  played = [
    (np.asarray(play(jax.random.split(jax.random.key(seed), len(members)), members)), members)
    for seed in (1, 2)
  ]
  return empirical_epsilon(*played, delta=DELTA, is_gaussian=True)


def test_a_bracket_closes_on_a_query_example():
  """Above the account the noise would be wrong, far below it the trials would show nothing."""
  mechanism = DPExamples.calibrated(CLIP, epsilon=2.0, delta=DELTA)
  assert 0.8 * 2.0 <= shown(mechanism, support=0.0, query=1.0) <= 2.0


def test_an_attack_on_the_support_set_passes_the_guarantee():
  """It is of query examples alone: who believed it of the support set would be deceived."""
  mechanism = DPExamples.calibrated(CLIP, epsilon=2.0, delta=DELTA)
  assert shown(mechanism, support=-1.0, query=0.0) > 2 * 2.0


def test_it_guarantees_nothing_for_a_whole_task():
  """A number for it would be that of another neighbouring relation."""
  mechanism = DPExamples(CLIP, 2.0)
  for defence in (Defence(outgoing=mechanism), Defence(outgoing=Chain(mechanism, TopK(0.1)))):
    with pytest.raises(InputError, match='DPExamples has no guarantee for a whole task'):
      defence.epsilon(DELTA)
    expected = DPGaussian(7.0, 2.0).epsilon(DELTA, rounds=3)
    assert guarantees(defence, LEARNERS['fomaml'], delta=DELTA, rounds=3) == {
      'query example': expected
    }
  assert (
    guarantees(Defence(outgoing=DPExamples(CLIP, 0.0)), LEARNERS['fomaml'], delta=DELTA) == {}
  )
  both = Defence(outgoing=Chain(mechanism, DPGaussian(CLIP, 1.0)))
  assert [*guarantees(both, LEARNERS['fomaml'], delta=DELTA)] == ['task', 'query example']
  both = Defence(outgoing=Chain(mechanism, DPGaussian(CLIP, 3.0)))
  assert [*guarantees(both, LEARNERS['fomaml'], delta=DELTA)] == ['task']


@pytest.mark.parametrize('sends', ['reptile', 'delta', Custom(lambda *arguments: 0.0)])
def test_a_message_without_terms_is_refused(sends):
  """A clip of what is no mean over examples would bound nothing."""
  learner = Learner(1, 0.1, sends=sends)
  with pytest.raises(InputError, match='sends no mean over query examples'):
    sent(learner, DPExamples(CLIP, 1.0), task())


def test_what_comes_before_it_is_refused():
  """A pruned mean has no terms; in a name as in Python."""
  with pytest.raises(InputError, match='DPExamples must come first in a Chain'):
    Chain(TopK(0.1), DPExamples(CLIP, 1.0))
  for text, reason in {
    '0.1*top_k+dp_examples': "'dp_examples' comes before 'top_k'",
    'dp_gaussian+dp_examples': "'dp_gaussian' has noise of its own on what is sent",
    'dp_examples+outgoing_gradient_noise': "'dp_examples' has noise of its own on what is",
    '2*dp_examples': "'dp_examples' takes no factor: it has a clip",
  }.items():
    with pytest.raises(InputError, match=reason.replace('*', r'\*')):
      parse_defence(text)


def test_it_is_named_with_its_two_numbers():
  """In a sweep and on a command line, beside noise at other points and compressions."""
  made = make_defence(
    'query_noise+dp_examples+0.1*top_k', scale=0.3, clip=0.5, noise_multiplier=2.0
  )
  assert made == Defence(query=Gaussian(0.3), outgoing=Chain(DPExamples(0.5, 2.0), TopK(0.1)))
  by_itself = sent(Learner(1, 0.1), DPExamples(CLIP, 1.0), task())
  among = sent(Learner(1, 0.1), Defence(outgoing=DPExamples(CLIP, 1.0)), task())
  assert jax.tree.all(jax.tree.map(jnp.array_equal, by_itself, among))
