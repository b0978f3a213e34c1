"""Defences are compared on the same tasks, by attacks that know them, at the measured cost."""

import functools
import json
from typing import Any

import jax
import numpy as np
import pytest

import mamljax
from mamljax import Defence, DPGaussian, Gaussian, InnerLoop, InputError, Learner
from mamljax.audit.metrics import Rate
from mamljax.errors import Diverged
from mamljax.reports import compare
from mamljax.reports.defended import loss_of
from mamljax.reports.study import Study
from mamljax.training import Training, correct, init, meta_test, train
from tests.reports import small

WEAK, STRONG = (Defence(outgoing=DPGaussian(1.0, noise)) for noise in (1.0, 4.0))
EPSILON = WEAK.epsilon(1e-5)
ACCURACY = {None: (0.9, 0.88, 0.92), WEAK: (0.8, 0.75, 0.85), STRONG: (0.4, 0.3, 0.5)}


def comparison(defences: Any, *, learner: Any = None, **options) -> Study:
  """A comparison in the small world."""
  learner = learner or InnerLoop(1, 0.1)
  usual: Any = {
    'ways': small.WAYS,
    'shots': 1,
    'trials': 64,
    'attacks': ['noise_filter', 'loss'],
  }
  return mamljax.compare_defences(
    small.loss_fn, small.params(), small.world(), learner, defences, **{**usual, **options}
  )


@pytest.mark.parametrize(
  ('defences', 'options', 'words'),
  [
    (DPGaussian(1.0, 1.0), {}, 'are given by name'),
    ({}, {}, 'no defence to compare'),
    ({'a': None}, {}, 'no defence to compare'),
    ({'a': None, 'b': Defence(), 'c': WEAK}, {}, "'a' and 'b' are both no defence"),
    ({'none': WEAK}, {}, 'name of no defence'),
    ({1: WEAK}, {}, 'must be a text, not 1'),
    ({'a': 'dp_gaussian'}, {}, "'a': a defence is"),
    ({'a': Gaussian(0.1)}, {}, 'needs its point'),
    ({'a': DPGaussian}, {}, 'not the class DPGaussian'),
    ({'a': WEAK}, {'delta': 0.0}, 'delta must'),
    ({'a': WEAK}, {'rounds': 0}, 'rounds must'),
    ({'a': WEAK}, {'accuracy': 0.9}, 'accuracy must be a function'),
    ({'a': WEAK}, {'learner': 3}, 'learner must be'),
    ({'a': WEAK}, {'learner': Learner(1, 0.1, defence=WEAK)}, 'no defence of its own'),
    ({'a': WEAK}, {'ways': 0}, 'ways must'),
  ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_played(defences, options, words):
  """A mistake in the last of several defences would be found after an hour."""
  with pytest.raises(InputError, match=words) as refused:
    comparison(defences, **options)
  assert '\n' not in str(refused.value)


@functools.cache
def compared() -> Study:
  """A comparison of two noises, of which planted accuracies say what they cost."""
  accuracy: Any = ACCURACY.__getitem__
  return comparison({'weak': DPGaussian(1.0, 1.0), 'strong': STRONG}, accuracy=accuracy)


def test_defences_are_measured_on_the_same_tasks_beside_none():
  """Without the leak that there is without it, a defence that hides nothing hides a little."""
  found = compared()
  assert [one.name for one in found.rows] == ['none', 'weak', 'strong']
  none, weak, strong = found.rows
  assert none.worst
  assert none.worst.accuracy.low > 0.8
  assert weak.worst
  assert weak.worst.accuracy.high < none.worst.accuracy.low
  assert weak.worst.informed == ('noise_filter',)
  assert weak.worst.blind == ('loss',)
  assert weak.worst.tpr_at_fpr_1pct is None  # of 64 trials
  assert none.epsilon is None
  assert weak.epsilon == pytest.approx(EPSILON)
  assert strong.epsilon == STRONG.epsilon(1e-5)
  truths = [report.worst.members for report in found.reports.values()]
  assert all(np.array_equal(truths[0], other) for other in truths)
  assert found.reports['weak'].asked['defence'].startswith('DPGaussian')


def test_the_cost_is_what_was_measured():
  """A cost that is invented, or of the wrong defence, misleads whoever pays it."""
  none, weak, strong = compared().rows
  for one in compared().rows:
    assert one.learning == Rate(*ACCURACY[one.defence])
  assert none.loss == Rate(0, 0, 0)
  assert weak.loss == pytest.approx((0.1, 0.03, 0.17))
  assert strong.loss == loss_of(none.learning, strong.learning)
  assert compared().recommend(epsilon=30, max_accuracy_loss=0.2).name == 'weak'
  refused = compared().recommend(epsilon=3, max_accuracy_loss=1.0)
  assert refused.defence is None
  assert 'not shown to learn' in refused.reasons['strong'][0]
  assert 'which takes 200 trials' in compared().recommend(max_tpr=1.0).reason


def test_a_study_is_told_in_full_in_each_form():
  """Else a page or a pipeline misses what a terminal shows."""
  found = compared()
  text, frame, read = str(found), found.to_frame(), json.loads(found.to_json())
  assert found.table in text
  assert 'were not asked for' in text
  assert text.count('were not asked for') == 1  # one warning of all three
  assert 'weak: loss' in text
  assert list(frame.defence) == ['none', 'weak', 'strong']
  assert frame.guaranteed_epsilon[1] == pytest.approx(EPSILON)
  assert read['defences'][1]['informed'] == ['noise_filter']
  assert read['defences'][0]['guaranteed_epsilon'] is None
  assert set(read['reports']) == {'none', 'weak', 'strong'}
  with pytest.raises(InputError, match="did you mean 'weak'"):
    found.row('waek')


def test_a_study_is_a_page_with_its_picture_in_any_form(tmp_path):
  """Else the page that one decides by lacks the advice, or a defence."""
  found = compared()
  advice = found.recommend(epsilon=3, max_accuracy_loss=1.0)
  page = found.to_html(advice=advice)
  assert page == found.to_html(advice=advice)
  assert page.startswith('<!doctype html>')
  for told in (
    advice.answer,
    *advice.asked,
    'not shown to learn',
    'accuracy of the worst attack',
  ):
    assert told in page
  found.save(tmp_path / 'study.html')
  assert (tmp_path / 'study.html').read_text() == found.to_html()
  assert '<html' not in found._repr_html_()
  drawn = {text.get_text() for text in found.plot(advice=advice).get_legend().get_texts()}
  assert drawn == {'guessing', *(row.name for row in found.rows)}


@pytest.mark.parametrize('error', [InputError('it does not apply'), Diverged('it diverged')])
def test_a_defence_that_cannot_be_attacked_ends_no_comparison(monkeypatch, error):
  """Else one that diverges loses what was measured of all others."""
  report = compared().reports['none']

  def play(loss_fn, params, data, learner: Learner, **options):
    if learner.defence == STRONG:
      raise error
    return report

  monkeypatch.setattr(compare, 'audit_tasks', play)
  found = comparison({'weak': WEAK, 'strong': STRONG})
  assert set(found.reports) == {'none', 'weak'}
  assert found.row('strong').failure == str(error)
  assert found.row('strong').worst is None
  assert f'strong: {error}' in str(found)
  assert found.row('weak').loss is None


def test_an_error_without_a_defence_is_raised(monkeypatch):
  """It is a mistake in the arguments, of which every defence would be blamed."""

  def refuse(*arguments, **options):
    raise InputError('ways must be less')

  monkeypatch.setattr(compare, 'audit_tasks', refuse)
  with pytest.raises(InputError, match='ways must be less'):
    comparison({'weak': WEAK})


@pytest.mark.parametrize('accuracy', [0.9, (0.9, 0.95, 0.99), (1.1, 1.0, 1.2), (0.9,), 'abc'])
def test_an_accuracy_without_an_interval_is_refused(monkeypatch, accuracy):
  """A bare number would pass for certain."""
  report = compared().reports['none']
  monkeypatch.setattr(compare, 'audit_tasks', lambda *_, **options: report)
  with pytest.raises(InputError, match='must return'):
    comparison({'weak': WEAK}, accuracy=lambda defence: accuracy)


def test_strength_near_zero_is_no_defence_and_great_noise_leaves_guessing():
  """Else a strength means another thing to the learner than to its attacker or its training."""
  faint, drowned = DPGaussian(1e6, 1e-20), DPGaussian(1.0, 1e4)
  found = comparison(
    {'faint': faint, 'drowned': drowned}, trials=200, accuracy=linear(tasks=500)
  )
  none, same, hidden = found.rows
  assert none.worst
  assert same.worst
  assert hidden.worst
  assert same.worst.accuracy == none.worst.accuracy
  assert same.learning == none.learning
  assert hidden.worst.accuracy.low < 0.5 < hidden.worst.accuracy.high
  assert none.worst.accuracy.low > 0.8
  advice = found.recommend(max_tpr=0.3)
  assert advice.defence is None
  assert 'no training' in ' '.join(advice.reasons['drowned'])


def test_what_was_trained_is_kept_in_a_store(tmp_path):
  """Else an interrupted command trains all anew, or takes what is of another setting."""
  measured = linear(store=tmp_path)
  assert measured.kept(WEAK) is None
  found = measured(WEAK)
  assert linear(store=tmp_path).kept(WEAK) == found
  assert measured.kept(STRONG) is None
  assert linear(store=tmp_path, rounds=3).kept(WEAK) is None


def test_the_class_of_the_least_loss_is_that_of_the_greatest_logit():
  """Else a model of one's own is said to learn more or less than it does."""
  network = mamljax.make_network('mlp', ways=small.WAYS)
  params = mamljax.init_params(jax.random.key(0), network, small.SHAPE)
  images = jax.random.uniform(jax.random.key(1), (60, *small.SHAPE))
  batch = mamljax.Batch(images, jax.random.randint(jax.random.key(2), (60,), 0, small.WAYS))
  loss_fn = mamljax.CrossEntropy(network)
  rates = [correct(fn, params, batch, ways=small.WAYS) for fn in (loss_fn, loss_fn.__call__)]
  assert 0 < rates[0] == rates[1] < 1


def linear(**options) -> mamljax.TrainedAccuracy:
  """The accuracy after a short meta-training of the model of the small world."""
  made = training(loss_fn=small.loss_fn, learning_rate=0.02)
  return trained(training=made, params=small.params(), **options)


def training(**options) -> Training:
  """A short meta-training of a tiny network."""
  loss_fn = mamljax.CrossEntropy(mamljax.make_network('mlp', ways=small.WAYS))
  usual = {'loss_fn': loss_fn, 'inner': InnerLoop(1, 0.1), 'tasks_per_round': 2}
  return Training(ways=small.WAYS, shots=1, **{**usual, **options})


def batch_normed(params, batch):
  """A loss whose images see each other."""
  images = batch.images - batch.images.mean(axis=0)
  return mamljax.CrossEntropy(mamljax.make_network('mlp', ways=small.WAYS))(
    params, batch._replace(images=images)
  )


def trained(**options) -> mamljax.TrainedAccuracy:
  """The accuracy after a short meta-training."""
  made: Any = options.pop('training', None) or training()
  network = mamljax.make_network('mlp', ways=small.WAYS)
  params = options.pop('params', None)
  params = params or mamljax.init_params(jax.random.key(0), network, small.SHAPE)
  world = jax.tree.map(np.asarray, small.world())  # as `from_arrays` has it
  pools: Any = {'pool': world.references, 'held_out': world.calibration}
  return mamljax.TrainedAccuracy(
    **{'training': made, 'params': params, 'rounds': 2, 'tasks': 20, **pools, **options}
  )


def test_the_trained_accuracy_is_that_of_training_under_the_defence():
  """Of another model, or of noise in the test, it is no cost of the defence."""
  measured, mechanism = trained(), DPGaussian(0.1, 100.0)
  noisy = Defence(outgoing=mechanism)
  key_train, key_test = jax.random.split(jax.random.key(0))
  for defence in (None, noisy):
    under = training(defence=defence or Defence())
    state, _ = train(
      key_train, init(measured.params), small.world().references, under, rounds=2
    )
    tested = meta_test(key_test, state.params, small.world().calibration, under, tasks=20)
    found = measured(defence)
    assert found.value == pytest.approx(float(tested.mean()), abs=1e-6)
    assert found.low < found.value < found.high
  assert measured(mechanism) == measured(noisy)


@pytest.mark.parametrize(
  ('options', 'words'),
  [
    ({'rounds': 0}, 'rounds must'),
    ({'tasks': 1}, 'tasks must'),
    ({'seed': -1}, 'seed must'),
    ({'training': training(inner=Learner(1, 0.1, sends=lambda *_: 0))}, 'no gradient'),
    ({'training': training(loss_fn=batch_normed)}, 'images see each other'),
    ({'training': training(defence=WEAK)}, 'without a defence'),
    ({'training': training(inner=Learner(1, 0.1, defence=WEAK))}, 'without a defence'),
  ],
)
def test_a_training_with_a_defence_or_without_rounds_is_refused(options, words):
  """It would be taken for that without a defence."""
  with pytest.raises(InputError, match=words):
    trained(**options)
