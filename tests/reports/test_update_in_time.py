"""An audit of one update ends in time, names what it left out, and goes on where it stopped."""

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from mamljax import InputError
from mamljax.reports import desk
from mamljax.reports.budget import Budget
from tests.reports.test_audit_update import audit
from tests.reports.test_budget import EACH, Slow

# Images of simulated tasks, and the fewest in all: twelve candidates are asked about.
TASKS, FEWEST = 64, 64 + 12


@pytest.fixture
def still(monkeypatch):
  """A clock of audits that stands still: the machine's other work is not the attacks'."""
  monkeypatch.setattr(Budget, 'spent', 0.0)


TWO: dict[str, Any] = {'attack': ['gradient_cosine', 'gradient_cosine_z']}


def die(folder: str) -> None:
  """An audit whose process is killed when it has begun with the candidates."""
  scores = desk._scores

  def stop(player, images, rows):
    if images.purpose != 'simulated':
      os.kill(os.getpid(), signal.SIGKILL)
    return scores(player, images, rows)

  desk._scores = stop
  audit(store=folder, **TWO)


@pytest.mark.usefixtures('still')
def test_a_slow_attack_is_stopped_after_its_first_images_and_named():
  """Else a user waits for hours, or takes an answer without it for that of every attack."""
  found = audit(attack=[Slow(), 'gradient_cosine'], budget=TASKS * EACH / 4)
  assert found.attack == 'gradient_cosine'
  assert found.power.keys() == {'gradient_cosine'}
  reason = found.skipped['slow']
  assert reason.startswith('left out for time: ')
  assert float(reason.split(': ')[1].split(' s a')[0]) == pytest.approx(EACH, rel=0.5)
  assert int(re.findall(r'for all (\d+) images', reason)[0]) > FEWEST
  assert any('may find more: slow. Ask again' in text for text in found.warnings)
  assert 'slow' in json.loads(found.to_json())['skipped']


@pytest.mark.usefixtures('still')
def test_time_is_left_for_the_candidates(monkeypatch):
  """An attack may end on 64 tasks in time, and not on a thousand images after them."""
  scored: list[int] = []
  scores = desk._scores

  def fast(player, asked, rows):
    scored.append(len(rows))
    return scores(player, asked, rows)

  monkeypatch.setattr(desk, '_scores', fast)
  with pytest.raises(InputError, match=r'could be tried: left out for time: 0\.1'):
    audit(attack=[Slow()], budget=1.2 * TASKS * EACH)
  assert sum(scored) == 8


@pytest.mark.usefixtures('still')
def test_the_only_attack_is_refused_if_it_would_not_end_in_time():
  """A budget that is ignored is none."""
  with pytest.raises(InputError, match=r'slow is left out for time: .* for all 126 images'):
    audit(attack=Slow(), budget=10 * EACH)


def test_no_attack_is_begun_without_time(monkeypatch):
  """Compilation alone takes minutes."""
  monkeypatch.setattr(Budget, 'left', -1.0)
  with pytest.raises(InputError, match='before it was begun'):
    audit(attack=['gradient_cosine', 'loss'], budget=1.0)


def test_an_interrupted_audit_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
  """Else minutes are lost, or the answer depends on when it was stopped."""
  wanted, scores, asked = audit(**TWO), desk._scores, []

  def stop(player, images, rows):
    if images.purpose != 'simulated' and rows[0] >= 16:
      raise KeyboardInterrupt
    return scores(player, images, rows)

  monkeypatch.setattr(desk, '_scores', stop)
  with pytest.raises(KeyboardInterrupt):
    audit(store=tmp_path, **TWO)

  def note(player, images, rows):
    asked.append((player.name, images.purpose, rows[0]))
    return scores(player, images, rows)

  monkeypatch.setattr(desk, '_scores', note)
  found = audit(store=tmp_path, **TWO)
  assert {purpose for _, purpose, _ in asked} == {'update-1'}
  np.testing.assert_array_equal(found.scores, wanted.scores)
  np.testing.assert_array_equal(found.p_values, wanted.p_values)
  assert found.power == wanted.power

  asked.clear()
  again = audit(store=tmp_path, **TWO)
  assert not asked
  np.testing.assert_array_equal(again.scores, wanted.scores)

  audit(1, store=tmp_path, **TWO)  # of another update only the candidates are new
  assert {purpose for _, purpose, _ in asked} == {'update-1'}
  asked.clear()
  audit(store=tmp_path, seed=1, **TWO)
  assert {purpose for _, purpose, _ in asked} == {'simulated', 'update-1'}


@pytest.mark.slow
def test_a_killed_audit_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
  """No handler of an interruption ran: what was scored must be in files by then."""
  line = f'from tests.reports.test_update_in_time import die; die({str(tmp_path)!r})'
  ended = subprocess.run([sys.executable, '-c', line], check=False)
  assert ended.returncode == -signal.SIGKILL
  scores, asked = desk._scores, []

  def note(player, images, rows):
    asked.append(images.purpose)
    return scores(player, images, rows)

  wanted = audit(**TWO)
  monkeypatch.setattr(desk, '_scores', note)
  found = audit(store=tmp_path, **TWO)
  assert set(asked) == {'update-1'}
  np.testing.assert_array_equal(found.scores, wanted.scores)
  assert found.power == wanted.power


def test_the_bar_counts_every_image(capsys):
  """Else a user of a slow attack sees a bar that stands still, or never ends."""
  audit(attack=['gradient_cosine'], progress=True)
  shown = capsys.readouterr().err
  assert 'gradient_cosine: simulated' in shown
  done, total = map(int, re.findall(r'(\d+) of (\d+) scores', shown)[-1])
  assert done == total > FEWEST
