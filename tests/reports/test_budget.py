"""An audit ends in time, and names what it left out for time wherever it says what it found."""

import dataclasses
import json
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mamljax
from mamljax import InputError
from mamljax.audit import compiling
from mamljax.data import npz
from mamljax.reports import budget, table
from mamljax.reports.budget import Budget, Pace
from tests.reports.test_audit_tasks import Coin, audit

EACH = 0.1  # seconds a decision of a slow attack


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Slow(Coin):
  """Attack of one's own, that takes its time."""

  def score(self, key, prepared, observation, candidate):
    found, info = super().score(key, prepared, observation, candidate)

    def wait(score):
      time.sleep(EACH)
      return np.asarray(score)

    return jax.pure_callback(wait, found, found, vmap_method='sequential'), info


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Large(Coin):
  """Attack of one's own, that takes its time to be compiled."""

  def score(self, key, prepared, observation, candidate):
    time.sleep(2)
    found, info = super().score(key, prepared, observation, candidate)
    return jax.jit(lambda x: x + 0)(found), info


@pytest.fixture
def still(monkeypatch):
  """A clock of audits that stands still: the machine's other work is not the attacks'."""
  monkeypatch.setattr(Budget, 'spent', 0.0)


@pytest.mark.usefixtures('still')
@pytest.mark.parametrize('strong', ['gradient_cosine', None])
def test_a_slow_attack_is_stopped_and_named(strong):
  """The user waited hours for it; a verdict that hides it might read as safe."""
  played = [strong] if strong else [Coin()]
  found = audit([Slow(), *played], trials=200, budget=200 * EACH / 4)
  assert found.late == ('slow',)
  assert [row.attack for row in found.attacks] == ([strong] if strong else ['coin'])
  assert found.finding.level == ('leak' if strong else 'none')
  assert found.verdict.endswith('Left out for time, and may find more: slow.')
  reason = found.skipped['slow']
  assert reason.startswith('left out for time: ')
  assert ' s a decision, about ' in reason
  assert 'for all 300 trials' in reason
  assert 'budget=math.inf' in reason
  assert float(reason.split(': ')[1].split(' s a')[0]) == pytest.approx(EACH, rel=0.5)
  asked = next(text for text in found.warnings if text.startswith('Left out for time: slow'))
  assert float(asked.split('budget=')[1].split()[0]) >= 292 * EACH
  assert 'for time' in repr(found)
  assert json.loads(found.to_json())['late'] == ['slow']


@pytest.mark.usefixtures('still')
def test_the_time_of_compilation_is_no_pace():
  """Else nearly every attack seems too slow after its first trials."""
  found = audit([Large(), 'loss'], budget=15)
  assert found.late == ()
  assert found.row('large').seconds > 2


def test_spans_of_compilation_are_not_counted_twice():
  """A function that is traced within another is in the time of that one."""
  before, begin = compiling.seconds(), time.perf_counter()

  @jax.jit
  def outer(x):
    inner = jax.jit(lambda y: time.sleep(0.3) or jnp.sin(y))
    return inner(x) + jax.jit(lambda y: time.sleep(0.3) or y * 2)(x)

  outer(1.0)
  spent = compiling.seconds() - before
  assert 0.6 < spent <= time.perf_counter() - begin


def test_costly_attacks_are_not_begun_without_time(monkeypatch):
  """Their compilation alone takes minutes; what was not begun has no pace, and is named."""
  monkeypatch.setattr(Budget, 'left', -1.0)
  found = audit(['patch_space', 'loss'], trials=16, budget=1000)
  assert found.late == ('patch_space',)
  assert 'before it was begun' in found.skipped['patch_space']
  assert any('or more' in text for text in found.warnings)


@pytest.mark.usefixtures('still')
def test_no_time_at_all_is_one_line():
  """A report of no attack would be of nothing."""
  with pytest.raises(InputError, match=r'no attack could be played: left out for time: .*inf'):
    audit([Slow()], budget=1e-6)


@pytest.mark.usefixtures('still')
def test_attacks_that_would_end_together_are_not_stopped():
  """Of several that would not, only those that are in the way of the others."""
  clock = Budget(100)
  assert clock.measure('a', Pace(1, 10, 300)) == {}
  assert clock.measure('b', Pace(1, 10, 300)) == {}
  assert clock.measure('c', Pace(2, 10, 300)) == {'c': Pace(2, 10, 300)}
  assert clock.ahead == pytest.approx(60)
  clock.forget('b')
  assert clock.measure('c', Pace(2, 10, 300)) == {}
  assert clock.measure('a', Pace(2.5, 10, 300)) == {}  # let go on, it may be a little slower
  assert clock.measure('a', Pace(9, 10, 300)).keys() == {'a'}


@pytest.mark.usefixtures('still')
def test_one_slow_block_does_not_stop_an_attack():
  """Another program's load for a moment is not the pace of a hundred trials."""
  clock = Budget(100)
  for left in range(200, 100, -10):
    assert clock.measure('a', Pace(4, 10, left)) == {}
  assert clock.measure('a', Pace(15, 10, 90)) == {}


def test_what_has_ended_is_not_stopped(monkeypatch):
  """Its scores are whole, however late it is."""
  clock = Budget(1)
  monkeypatch.setattr(Budget, 'spent', 1000.0)
  assert clock.measure('a', Pace(1, 10, 0)) == {}
  assert clock.measure('b', Pace(1, 10, 8)).keys() == {'b'}


def test_the_usual_budget_is_for_attacks_that_nobody_named():
  """Who names an attack wants its scores."""
  assert budget.seconds_of(None, is_auto=True) == 300
  assert budget.seconds_of(None, is_auto=False) == math.inf
  assert budget.seconds_of(np.float32(7), is_auto=True) == 7
  assert budget.seconds_of(math.inf, is_auto=True) == math.inf


def test_the_bar_says_who_plays_and_for_how_long(capsys):
  """Else a user of a slow attack sees a bar that stands still."""
  audit(['loss'], trials=16, progress=True)
  shown = capsys.readouterr().err
  assert 'loss: is being prepared' in shown
  assert ' a decision, ' in shown
  assert '24 of 24 scores' in shown


def test_an_interruption_keeps_what_cheap_attacks_scored(tmp_path, monkeypatch):
  """Both of their phases are whole before a costly attack begins: the same call goes on."""
  keep, names = table.Table.keep, ['patch_space', 'gradient_cosine']
  wanted, again = audit(names, trials=16), []

  def stop(self, phase, scored):
    if scored.name == 'patch_space':
      raise KeyboardInterrupt
    keep(self, phase, scored)

  monkeypatch.setattr(table.Table, 'keep', stop)
  with pytest.raises(KeyboardInterrupt):
    audit(names, trials=16, store=tmp_path)
  files = sorted(path.name.split('-')[1] for path in tmp_path.iterdir())
  assert files == ['calibration', 'reported']
  (reported,) = tmp_path.glob('gradient_cosine-reported-*')
  kept = npz.read(reported, keys=('scores',))[0]
  np.testing.assert_array_equal(kept, wanted.row('gradient_cosine').scores)

  def note(self, phase, scored):
    again.append(scored.name)
    keep(self, phase, scored)

  monkeypatch.setattr(table.Table, 'keep', note)
  found = audit(names, trials=16, store=tmp_path)
  assert set(again) == {'patch_space'}
  assert mamljax.Report.__name__ in repr(found)
  for row in found.attacks:
    np.testing.assert_array_equal(row.scores, wanted.row(row.attack).scores)
