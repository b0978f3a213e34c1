"""An audit plays every attack on the same tasks, finds leaks, and says what it did not see."""

import dataclasses
import functools
import json
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import mamljax
from mamljax import (
  Adversary,
  BaseAttack,
  Defence,
  Gaussian,
  Info,
  InnerLoop,
  InputError,
  Learner,
)
from mamljax.attacks.base import tell
from mamljax.audit.side_by_side import make_player, play_side_by_side
from mamljax.audit.trials import Rules
from mamljax.maml import Inner
from mamljax.reports import table
from tests.reports import small

INNER = InnerLoop(1, 0.1)
CHEAP = ('loss', 'gradient_cosine', 'gradient_cosine_z')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Coin(BaseAttack):
  """Attack of one's own, that guesses."""

  requires: ClassVar = {'query': frozenset()}

  def score(self, key, prepared, observation, candidate):
    del prepared, observation, candidate
    return jax.random.uniform(key), Info()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Lost(Coin):
  """Attack of one's own, whose score is no number."""

  def score(self, key, prepared, observation, candidate):
    return jnp.nan * super().score(key, prepared, observation, candidate)[0], Info()


def audit(
  attacks=CHEAP, *, params=None, data=None, learner: Inner = INNER, **options
) -> mamljax.Report:
  """An audit of the small world."""
  options = {'ways': small.WAYS, 'shots': 1, 'trials': 64, **options}
  params, data = params or small.params(), data or small.world()
  return mamljax.audit_tasks(small.loss_fn, params, data, learner, attacks=attacks, **options)


@functools.cache
def report() -> mamljax.Report:
  """An audit by cheap attacks, one of one's own, and two that fail."""
  return audit([*CHEAP, Coin(), Lost(), 'curvature_filter'])


def test_the_worst_attack_is_the_most_accurate_and_its_interval_the_wider():
  """A headline that another attack beats would hide it; one too narrow, its choice."""
  found = report()
  assert found.worst.attack in ('gradient_cosine', 'gradient_cosine_z')
  assert found.worst.accuracy.value == max(row.accuracy.value for row in found.attacks)
  own = found.row(found.worst.attack).accuracy
  assert found.worst.accuracy.low < own.low < 1
  assert found.worst.accuracy.low > 0.5
  assert 'It leaks' in found.verdict


def test_what_is_not_played_is_named_with_its_reason():
  """Else a reader takes it for played."""
  found = report()
  assert [row.attack for row in found.attacks[-1:]] in (['coin'], ['loss'])
  asked = {*CHEAP, 'coin', 'lost', 'curvature_filter'}
  assert set(found.skipped) == {'lost', 'curvature_filter', *(set(mamljax.ATTACKS) - asked)}
  assert 'not finite' in found.skipped['lost']
  assert 'only: support' in found.skipped['curvature_filter']
  assert any('lost' in warning for warning in found.warnings)
  assert all(reason in str(found).replace('\n  ', ' ') for reason in found.skipped.values())


def test_attacks_that_find_nothing_are_not_called_safe():
  """The one thing that a report must never say."""
  found = audit([Coin()], trials=200)
  assert found.finding.level == 'none'
  assert 'Not shown to be safe' in found.verdict
  assert found.worst.epsilon == 0
  assert found.worst.accuracy.low <= 0.5 <= found.worst.accuracy.high


def test_scores_are_those_of_the_game_of_one_attack():
  """Sharing tasks and observations must change no bit, nor show an attack more than its due."""
  known = mamljax.Knowledge(
    small.loss_fn,
    small.params(),
    INNER,
    references=small.world().references,
    ways=small.WAYS,
    shots=1,
  )
  attack, key = mamljax.ATTACKS['gradient_cosine_z'](), jax.random.key(3)
  told = mamljax.play(key, small.world().victims, known, attack=attack, trials=40, chunk=4)
  key_prepare, key_trials = jax.random.split(key)
  player = make_player(key_prepare, 'z', attack, known)
  assert jax.tree.structure(player.knowledge) == jax.tree.structure(tell(attack, known))
  blocks = play_side_by_side(
    key_trials,
    small.world().victims,
    known,
    [player],
    inner=INNER,
    defence=Defence(),
    rules=Rules(small.WAYS, 1, 'query'),
    count=40,
    chunk=4,
    done={'z': 0},
    forget=lambda _: False,
  )
  np.testing.assert_array_equal(np.concatenate([x.scores for x in blocks]), told.scores)


def test_an_interrupted_audit_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
  """Killed in the midst of a phase, it plays what is left and no more."""
  wanted, played = report(), []
  names = [*CHEAP, Coin()]
  keep = table.Table.keep

  def stop(table, phase, scored):
    played.append((phase.name, scored.name, scored.start))
    if len(played) == 6:
      raise KeyboardInterrupt
    keep(table, phase, scored)

  monkeypatch.setattr(table.Table, 'keep', stop)
  with pytest.raises(KeyboardInterrupt):
    audit(names, store=tmp_path)
  first, played[:] = played[:-1], ['none', 'so far'] * 4
  again = audit(names, store=tmp_path)
  assert not set(first) & set(played)
  for row in again.attacks:
    np.testing.assert_array_equal(row.scores, wanted.row(row.attack).scores)
    assert row.threshold == wanted.row(row.attack).threshold
  assert not list(tmp_path.glob('.*'))


@pytest.mark.parametrize(
  'change',
  [
    {'params': jax.tree.map(lambda leaf: leaf + 1e-3, small.params())},
    {'learner': InnerLoop(1, 0.2)},
    {'data': small.world()._replace(victims=small.pool(9, 12))},
    {'seed': 1},
  ],
  ids=lambda change: next(iter(change)),
)
def test_scores_of_another_configuration_are_not_taken(tmp_path, change):
  """Else a report is of a model that was not asked about."""
  before = audit(['gradient_cosine'], store=tmp_path, trials=32)
  after = audit(['gradient_cosine'], store=tmp_path, trials=32, **change)
  assert not np.array_equal(before.worst.scores, after.worst.scores)
  same = audit(['gradient_cosine'], store=tmp_path, trials=32)
  np.testing.assert_array_equal(before.worst.scores, same.worst.scores)


def test_a_weaker_adversary_is_named_and_its_attacks_are_skipped():
  """An attack that needs what this adversary has not would be another threat model's."""
  found = audit(CHEAP, adversary=Adversary(references=False), trials=32)
  assert 'needs public images' in found.skipped['gradient_cosine_z']
  assert any('does not know public images' in text for text in found.assumptions)


def test_an_attack_that_does_not_know_the_defence_is_marked():
  """Its finding is no bound for an attack that models the defence."""
  noise = Defence(outgoing=Gaussian(0.1))
  found = audit(['gradient_cosine'], learner=Learner(1, 0.1, defence=noise), trials=32)
  assert found.worst.notes == ('does not model the declared defence',)
  assert any('No attack that was played models' in text for text in found.warnings)
  assert 'Gaussian noise of scale 0.1 on what is sent' in found.assumptions[0]


def test_a_loss_in_which_images_see_each_other_is_noticed():
  """Filters of single images' gradients would be wrong without a word."""

  def normalised(params, batch):
    images = batch.images - batch.images.mean(axis=0)
    return small.loss_fn(params, batch._replace(images=images))

  attacks = ['gradient_cosine', 'matched_filter']
  found = mamljax.audit_tasks(
    normalised,
    small.params(),
    small.world(),
    INNER,
    ways=small.WAYS,
    shots=1,
    trials=16,
    attacks=attacks,
  )
  assert 'do not see each other' in found.skipped['matched_filter']


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'target': 'queries'}, "unknown target 'queries': did you mean 'query'"),
    ({'attacks': 'row_spcae'}, "did you mean 'row_space'"),
    ({'attacks': [mamljax.ATTACKS['loss']]}, r'pass an object, Loss\(\)'),
    ({'attacks': ['curvature_filter']}, 'no attack applies to the query set'),
    ({'trials': 3}, 'trials must be 4 or more'),
    ({'ways': 5}, '5 ways, but the pool has only 4 classes'),
    (
      {'shots': 6},
      'calibration has 12 images of class 0, 13 are needed: 6 shots in each of two sets and '
      'one that is no member. Of this class there are 30 references, 12 calibration, 12 '
      'victims; 70 inputs of each class are enough',
    ),
    ({'budget': 0}, r'budget must be a number of seconds above 0, or math.inf .* not 0$'),
    ({'budget': -5.0}, 'budget must be .* not -5.0$'),
    ({'budget': float('nan')}, 'budget must be .* not nan$'),
    ({'budget': '1 h'}, "budget must be .* not '1 h'$"),
    ({'data': [1]}, 'data must come from mamljax.from_arrays'),
    ({'learner': 0.1}, 'learner must be a mamljax.Learner'),
  ],
)
def test_a_mistake_is_one_line(options, message):
  """Before anything is computed."""
  with pytest.raises(InputError, match=message):
    audit(**options)


def test_a_report_is_read_by_people_and_programs(tmp_path):
  """In text, JSON, a data frame, a page and a picture."""
  found = report()
  assert found.worst.attack in repr(found)
  frame = found.to_frame()
  assert isinstance(frame, pd.DataFrame)
  assert frame.attack.tolist() == [row.attack for row in found.attacks]
  told = json.loads(found.to_json())
  assert told['worst']['accuracy'] == found.worst.accuracy.value
  assert told['skipped'] == found.skipped
  fpr, tpr = found.roc()
  assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
  assert found.plot().get_xscale() == 'log'
  found.save(tmp_path / 'audit.json')
  assert json.loads((tmp_path / 'audit.json').read_text()) == told
  with pytest.raises(InputError, match=r'saved as \.html or \.json'):
    found.save(tmp_path / 'audit.pdf')
  with pytest.raises(InputError, match="did you mean 'loss'"):
    found.roc(attack='los')


def test_a_page_stands_alone(tmp_path):
  """It is sent by mail: nothing is loaded from elsewhere, and texts are escaped."""
  found = dataclasses.replace(report(), skipped={'<b>own</b>': 'a < b'})
  found.save(tmp_path / 'audit.html')
  page = (tmp_path / 'audit.html').read_text()
  assert page.startswith('<!doctype html>')
  assert page.count('<svg') == 2
  assert '<b>own' not in page
  assert '<script' not in page
  assert 'src=' not in page
  assert found.verdict in page
  fragment = found._repr_html_()
  assert '<html' not in fragment
  assert fragment.count('<svg') == 2
  assert found.to_html() == found.to_html()
