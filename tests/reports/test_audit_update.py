"""An audit of one update calls members, hardly ever others, and says what it cannot tell."""

import functools
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mamljax
from mamljax import Batch, InnerLoop, InputError, Task
from mamljax.audit import conformal
from mamljax.reports.division import Division, needed
from mamljax.reports.received import rounds_of
from tests.reports import small

INNER, SHOTS, PUBLIC = InnerLoop(1, 0.1), 2, 40
WAYS = small.WAYS


@functools.cache
def public(seed: int = 5, each: int = PUBLIC) -> tuple[np.ndarray, np.ndarray]:
  """Images of the slots' classes, as bytes, and their slots."""
  images = np.asarray(small.pool(seed, each).images)[: WAYS * each]
  return images, np.repeat(np.arange(WAYS), each)


def private(seed: int) -> tuple[Task, Batch]:
  """A task, and as many images of the same classes that are not in it."""
  images, _ = public(100 + seed, 3 * SHOTS)
  parts = (jnp.asarray(images) / 255).reshape(WAYS, 3, SHOTS, *small.SHAPE).swapaxes(0, 1)
  labels = jnp.repeat(jnp.arange(WAYS), SHOTS)
  support, query, others = (Batch(x.reshape(-1, *small.SHAPE), labels) for x in parts)
  return Task(support, query), others


def both(first: Batch, second: Batch) -> Batch:
  """Two batches after each other."""
  return Batch(*map(jnp.concatenate, zip(first, second, strict=True)))


@jax.jit
def send(task: Task) -> mamljax.Params:
  """The update of a task."""
  return mamljax.meta_gradient(small.loss_fn, small.params(), task, INNER)


def audit(number: int = 0, **options) -> mamljax.UpdateReport:
  """An audit of a task's members and as many others."""
  task, others = private(number)
  sent = send(task)
  asked: dict[str, Any] = {'received': sent, 'candidates': both(task.query, others)}
  asked |= {'public': public(), 'learner': INNER, 'shots': SHOTS, 'fpr': 0.1} | options
  return mamljax.audit_update(small.loss_fn, small.params(), **asked)


@functools.cache
def report() -> mamljax.UpdateReport:
  """An audit by the attack that is the best on simulated tasks."""
  return audit(attack=['gradient_cosine_z', 'matched_filter'], public=public(5, 80))


def test_members_are_called():
  """The positive control: a linear layer and six images hide nothing."""
  found, count = report(), WAYS * SHOTS
  assert found.called.shape == found.scores.shape == found.p_values.shape == (2 * count,)
  assert found.called[:count].mean() > 0.8
  assert found.called[count:].mean() <= 0.2
  assert found.power[found.attack] == max(found.power.values())
  assert f'called members by {found.attack}' in found.verdict


def test_non_members_are_hardly_ever_called():
  """At most a share of `fpr`, in many tasks and divisions of the public images."""
  called, small_p, tasks, level = [], [], 15, 0.1
  for seed in range(tasks):
    others = public(500 + seed, 20)
    options = {'candidates': others, 'attack': 'gradient_cosine', 'fpr': level, 'seed': seed}
    found = audit(seed, public=public(300 + seed), **options)
    called.append(found.called.mean())
    small_p.append((found.p_values <= 0.2).mean())
  count = tasks * WAYS * 20
  assert np.mean(called) <= level + 3 * np.sqrt(level * (1 - level) / count)
  assert np.mean(np.array(called) > 0) <= level + 3 * np.sqrt(level * (1 - level) / tasks)
  assert 0.1 < np.mean(small_p) < 0.3


@pytest.mark.parametrize(
  ('attack', 'counts'),
  [
    ('gradient_cosine', 'among 38 .* below 0.0256. .* 999 are needed, 11999 .* 1001 .12001. p'),
    ('auto', 'among 24 .* below 0.04. .* 999 are needed, 11999 .* 1665 .19999. public'),
  ],
)
def test_too_few_public_images_are_refused_before_anything_is_computed(attack, counts):
  """Rather than said after minutes, in which nobody could be called whatever the scores."""

  def never(params, batch):
    raise AssertionError

  task, others = private(0)
  asked = {'public': public(), 'learner': INNER, 'shots': SHOTS, 'attack': attack}
  options: dict[str, Any] = asked | {'candidates': both(task.query, others)}
  for fpr in (0.001, 0.02):
    counts = counts if fpr == 0.001 else 'or more'
    with pytest.raises(InputError, match=f'too few for fpr={fpr}: .*{counts}') as refused:
      mamljax.audit_update(never, small.params(), small.params(), fpr=fpr, **options)
  least = float(re.findall('fpr=([0-9.]+) or more', str(refused.value))[0])
  with pytest.raises(AssertionError):  # the loss is computed
    mamljax.audit_update(never, small.params(), small.params(), fpr=least, **options)


@pytest.mark.parametrize('fpr', [0.3, 0.1, 0.05, 0.01, 1e-3])
@pytest.mark.parametrize('count', [1, 2, 3, 12, 100])
def test_as_many_public_images_as_are_asked_for_are_enough(fpr, count):
  """One fewer is refused, lest a reader come back twice."""
  together, alone = needed(count, fpr)
  for nulls, callable_ in ((together, count), (alone, 1)):
    for given in (nulls, nulls - 1):
      p_values = np.where(np.arange(count) < callable_, 1 / (1 + given), 1.0)
      assert conformal.benjamini_hochberg(p_values, fpr).any() == (given == nulls)
  division = Division(0.25, 0.15, least=5)
  whole = division.whole(alone)
  assert whole - sum(division.sizes(whole)) >= alone
  assert whole - 1 - sum(division.sizes(whole - 1)) < alone


def test_nobody_called_is_not_said_to_be_none():
  """With the lowest p-values, which are what there is to know."""
  _, others = private(3)
  found = audit(candidates=others, attack='gradient_cosine', fpr=0.03)
  assert not found.called.any()
  assert 'does not show that none is a member' in found.verdict
  first = int(found.p_values.argmin())
  assert f'Lowest p-values: {found.p_values[first]:.3g} (candidate' in found.verdict
  assert found.verdict.count('(candidate ') == 3


def test_a_candidate_is_not_ranked_among_its_own_copies():
  """A member that is public as well would hide behind itself."""
  task, _ = private(0)
  images, slots = public()
  own = np.rint(np.asarray(task.query.images) * 255).astype(np.uint8)
  slots = np.concatenate([slots, np.asarray(task.query.labels)])
  mixed = np.concatenate([images, own]), slots
  with_copies = audit(public=mixed, attack='gradient_cosine')
  without = audit(attack='gradient_cosine')
  np.testing.assert_array_equal(with_copies.smallest_p, without.smallest_p)
  assert np.all(without.smallest_p == 1 / (1 + PUBLIC - 2))


def test_several_rounds_tell_more_than_one():
  """Updates of one task under fresh noise add up."""
  task, others = private(1)
  noise = mamljax.Gaussian(0.2)
  sent = send(task)
  rounds = [noise(jax.random.key(i), sent) for i in range(16)]
  options = {'candidates': both(task.query, others), 'attack': 'gradient_cosine'}
  one = audit(received=rounds[0], **options).p_values[: WAYS * SHOTS]
  many = audit(received=rounds, **options).p_values[: WAYS * SHOTS]
  assert np.log(many).mean() < np.log(one).mean() - 0.3


def test_a_round_may_have_parameters_of_its_own():
  """A list of updates, or of pairs; and what is unlike an update is refused."""
  shapes = jax.eval_shape(small.params)
  w, other = small.params(), jax.tree.map(lambda leaf: leaf + 1, small.params())
  rounds = rounds_of(w, [w, (other, w)], shapes, learners=2)
  assert [float(one.params['bias'][0]) for one in rounds] == [0, 1]
  np.testing.assert_allclose(rounds[0].update['weights'] * 2, w['weights'])
  with pytest.raises(InputError, match='received must be like what the learner sends'):
    rounds_of(w, [w['bias']], shapes, learners=1)
  with pytest.raises(InputError, match='update 2 of 2'):
    rounds_of(w, [w, jax.tree.map(lambda leaf: leaf * jnp.nan, w)], shapes, learners=1)


def test_a_sum_over_learners_is_told_of():
  """Secure aggregation hides each in the others; what is left is still ranked exactly."""
  (task, others), (second, _) = private(2), private(3)
  sent = [
    mamljax.meta_gradient(small.loss_fn, small.params(), x, INNER) for x in (task, second)
  ]
  total = jax.tree.map(jnp.add, *sent)
  candidates = both(task.query, others)
  options = {'received': total, 'candidates': candidates, 'attack': 'gradient_cosine_z'}
  found = audit(learners=2, **options)
  members = found.scores[: WAYS * SHOTS]
  assert members.mean() > found.scores[WAYS * SHOTS :].mean() + 0.5
  assert any('The sum of 2 learners' in text for text in found.assumptions)


def test_slots_are_said_in_one_way_or_another():
  """With the candidates, or as labels; labels beside them are those of the task."""
  task, others = private(0)
  batch = both(task.query, others)
  options = {'attack': 'gradient_cosine', 'shots': None}
  bare = audit(candidates=np.asarray(batch.images), labels=np.asarray(batch.labels), **options)
  given = audit(labels=task.query.labels, **options)
  np.testing.assert_array_equal(bare.p_values, given.p_values)
  assert any('1 is assumed' in text for text in bare.assumptions)
  assert any('3-way 2-shot' in text for text in given.assumptions)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'candidates': np.zeros((2, *small.SHAPE))}, 'candidates need a slot each'),
    ({'public': small.world()}, 'public images are of 4 classes, the task has 3 slots'),
    ({'public': 3}, 'public must be data of mamljax.from_arrays'),
    ({'fpr': 1}, 'fpr must be between 0 and 1'),
    ({'attack': 'gradient_cosin'}, "did you mean 'gradient_cosine'"),
    ({'shots': 30}, 'too few: slot 0 has 40, at least 82 are needed: 20 .* 61 to sim'),
    ({'received': {'weights': 0}}, 'received must be like what the learner sends'),
    ({'learner': InnerLoop}, 'learner must be'),
    ({'labels': [0, 0, 1, 2]}, 'each slot equally often'),
  ],
)
def test_a_mistake_is_one_line(options, message):
  """Before anything is computed."""
  with pytest.raises(InputError, match=message):
    audit(**{'ways': WAYS, **options})


def test_a_report_is_read_by_people_and_programs(tmp_path):
  """In text, JSON and a page."""
  found = report()
  told = json.loads(found.to_json())
  assert told['p_values'] == found.p_values.tolist()
  assert told['called'] == found.called.tolist()
  assert found.verdict in found.to_html()
  assert '<html' not in found._repr_html_()
  assert str(int(found.called.sum())) in repr(found)
  found.save(tmp_path / 'update.html')
  assert (tmp_path / 'update.html').read_text() == found.to_html()
  assert found.table.count('\n') == 1 + len(found.scores)


def test_images_are_read_off_an_update_where_they_can_be():
  """Of a hidden layer of ReLUs, without any candidate; elsewhere it is said why not."""

  def loss_fn(params, batch):
    hidden = jax.nn.relu(
      batch.images.reshape(len(batch.labels), -1) @ params['w'] + params['b']
    )
    return small.loss_fn(params['head'], batch._replace(images=hidden))

  random = np.random.default_rng(6)
  weights = random.normal(0, 0.2, (64, 192))  # reached by about every other image
  params = {
    'w': jnp.asarray(weights, jnp.float32),
    'b': jnp.asarray(-weights.sum(axis=0) / 2, jnp.float32),
    'head': {
      'weights': jnp.asarray(random.normal(0, 0.3, (192, WAYS)), jnp.float32),
      'bias': jnp.zeros(WAYS),
    },
  }
  images = (public(7, 2)[0].reshape(WAYS, 2, *small.SHAPE) / 255).astype(np.float32)
  labels = jnp.arange(WAYS)
  task = Task(*(Batch(jnp.asarray(images[:, part]), labels) for part in (0, 1)))
  sent = jax.jit(functools.partial(mamljax.meta_gradient, loss_fn, inner=INNER))(params, task)
  options: dict[str, Any] = {'attack': 'loss', 'shots': 1, 'learner': INNER, 'fpr': 0.1}
  found = mamljax.audit_update(loss_fn, params, sent, task.query, public=public(), **options)
  apart = np.abs(found.images[:, None] - images.reshape(-1, *small.SHAPE)[None]).max((2, 3, 4))
  assert len(found.images) == 2 * WAYS
  assert apart.min(axis=0).max() < 1e-2
  assert 'not off a bias and 3 units' in report().assumptions[-1]
