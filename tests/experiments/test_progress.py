"""A cell that is interrupted goes on inside, and ends with the numbers that it should have."""

import os
import signal
import time

import jax
import numpy as np
import pytest

from experiments.config.cell import Cell
from experiments.engine import models
from experiments.engine.runner import run_cell
from experiments.process import distributed, preemption
from experiments.store.trials import Block, Keeper, join
from mamljax import atomic, checkpoints
from mamljax.audit import blocks
from mamljax.audit.trials import Played
from tests.experiments.configurations import changed
from tests.experiments.test_runner import CELL
from tests.experiments.tiny import arguments, finish, run, start, write_npz


@pytest.fixture(scope='module')
def cell(tmp_path_factory) -> Cell:
  """As in the tests of the runner, in several blocks whatever the number of devices."""
  npz = write_npz(tmp_path_factory.mktemp('progress') / 'tiny.npz')
  return changed(CELL, dataset=f'npz:{npz}', trials=70, calibration_trials=4)


def compute(cell, folder, advance=lambda _: None):
  options = {'data_dir': None, 'store_dir': folder, 'save_seconds': 0}
  return run_cell(cell, advance=advance, **options)


def stop_at(block: int):
  """Asks the process to stop when this block has been played."""
  seen: list[int] = []

  def advance(trials: int) -> None:
    seen.append(trials)
    if len(seen) == block:
      signal.raise_signal(signal.SIGUSR1)

  return advance


def numbers(found):
  """All that must not depend on an interruption."""
  result, examples = found
  shown = [images.tobytes() for images in examples]
  return result.trials, result.calibration, result.metrics, result.extra, shown


def test_an_interrupted_cell_goes_on_and_ends_the_same(cell, tmp_path):
  """A cell of hours on a machine that is taken away every hour would never be finished."""
  whole = numbers(compute(cell, tmp_path / 'whole'))
  outcomes = [attempt(cell, tmp_path / 'parts')]
  while outcomes[-1] is None:
    outcomes.append(attempt(cell, tmp_path / 'parts'))
  assert len(outcomes) > 2
  assert numbers(outcomes[-1]) == whole


def attempt(cell, folder):
  """The result of a cell that is asked to stop at its second block; None if it stops."""
  try:
    with preemption.listening():
      return compute(cell, folder, stop_at(2))
  except preemption.Interrupted:
    return None


def test_what_is_kept_is_not_played_again(cell, tmp_path, monkeypatch):
  """Else the time before each interruption is lost."""
  before = numbers(compute(cell, tmp_path))
  monkeypatch.setattr(blocks, 'play_block', lambda *_, **__: pytest.fail('played again'))
  steps: list[int] = []
  assert numbers(compute(cell, tmp_path, steps.append)) == before
  assert sum(steps) == 74


@pytest.mark.parametrize(
  ('name', 'changed'), [('versions', {'jax': 'another'}), ('code_key', 'another')]
)
def test_what_other_code_kept_is_played_again(
  cell, tmp_path, monkeypatch, caplog, name, changed
):
  """Half of the trials of one code and half of another are the result of neither.

  Seen in a tree with an uncommitted change, which another one did not make any dirtier.
  """
  compute(cell, tmp_path)
  monkeypatch.setattr(Keeper, 'load', spy := Spy(Keeper.load))
  monkeypatch.setattr(f'experiments.process.provenance.{name}', lambda: changed)
  compute(cell, tmp_path)
  assert spy.returned == [[], []]
  assert 'is of other code or devices' in caplog.text


class Spy:
  """A method that remembers what it returned."""

  def __init__(self, method):
    self.method, self.returned = method, []

  def __get__(self, instance, owner):
    def call(*args):
      found = self.method(instance, *args)
      self.returned.append(list(found))
      return found

    return call


BLOCK = Block(
  Played(np.array([0.1, -1.5]), np.array([True, False]), None, np.array([1, 0.5])),
  np.zeros((2, 1, 1, 1), np.float32),
  0.25,
  0.5,
)


def keeper(folder) -> Keeper:
  return Keeper(folder, 'cell', 'stamp', every=0)


def test_a_block_comes_back_bit_for_bit(tmp_path):
  """A rounded score would make the resumed cell another than the uninterrupted one."""
  keeper(tmp_path).keep(5, [BLOCK, BLOCK])
  (found,) = keeper(tmp_path).load(5)
  assert found.played.scores.tobytes() == 2 * BLOCK.played.scores.tobytes()
  assert found.played.located.tolist() == [True, False, True, False]
  assert found.played.labels_right.tolist() == [1, 0.5, 1, 0.5]
  assert found.played.pictures is None
  assert (len(found.candidates), found.seconds, found.compile_seconds) == (4, 0.5, 1)
  assert keeper(tmp_path).load(4) == []


def test_truncation_at_every_byte_is_noticed(tmp_path, caplog):
  """A disk that filled up must not yield trials."""
  keeper(tmp_path).keep(5, [BLOCK])
  (path,) = tmp_path.iterdir()
  data = path.read_bytes()
  for size in range(len(data)):
    path.write_bytes(data[:size])
    assert keeper(tmp_path).load(5) == []
    path.with_name(f'{path.name}.damaged').unlink()
  path.write_bytes(data)
  assert len(keeper(tmp_path).load(5)) == 1


def test_pictures_of_the_first_trials_alone_are_kept():
  """Those of 10^5 trials do not fit the memory."""
  images = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
  block = BLOCK._replace(candidates=images, played=BLOCK.played._replace(pictures=images))
  joined = join([block, block, block])
  for kept in (joined.candidates, joined.played.pictures):
    assert kept.ravel().tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
  assert len(joined.played.scores) == 6


def test_training_is_interrupted_between_epochs(cell, tmp_path, monkeypatch):
  """Meta-training takes longer than the attack: an interruption must not lose it."""
  model = changed(cell.recipe, tasks_per_round=1, rounds_per_epoch=1)
  told = {'splits': models.splits_of(model, None), 'save_seconds': 0}
  ((_, whole),) = models.trained_states(model, [3], store_dir=tmp_path / 'whole', **told)
  asked = iter([False, True, False])
  monkeypatch.setattr(distributed, 'asked_to_stop', lambda: next(asked))
  with pytest.raises(preemption.Interrupted):
    list(models.trained_states(model, [3], store_dir=tmp_path / 'parts', **told))
  (kept,) = tmp_path.glob('parts/checkpoints/*/epoch_2.msgpack')
  ((_, after),) = models.trained_states(model, [3], store_dir=tmp_path / 'parts', **told)
  assert list(asked) == []
  for folder, state in (('whole', whole), ('parts', after)):
    (path,) = tmp_path.glob(f'{folder}/checkpoints/*/epoch_3.msgpack')
    assert checkpoints.load(path, state).round == 3
  assert_same(whole.params, after.params)
  assert kept.exists()


def assert_same(one, other):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_array_equal(a, b)


STATUSES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: -2, signal.SIGHUP: 129}
ENDLESS = {'trials': 40_000, 'chunk': 2}


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_sweep_that_is_asked_to_stop_saves_and_says_run_me_again(tmp_path, number):
  """SLURM's pre-emption: the requeued job must find what this one did, by the status. Ctrl-C
  lost the trials since the last saving, and printed 52 lines of traceback.
  """
  npz = write_npz(tmp_path / 'tiny.npz')
  process = start([*arguments(npz, tmp_path / 'out', **ENDLESS), '--save_seconds=0'])
  while not list(tmp_path.glob('out/progress/*.npz')) and process.poll() is None:
    time.sleep(0.01)
  os.kill(process.pid, number)
  saved(finish(process), tmp_path / 'out', number)


@pytest.mark.parametrize('number', [signal.SIGUSR1, signal.SIGHUP])
def test_any_signal_to_stop_saves(tmp_path, monkeypatch, number):
  """The others, in this process: that a process ends by them, two of them show."""
  npz, real = write_npz(tmp_path / 'tiny.npz'), Keeper.keep
  left = [number]

  def keep(self, *blocks):
    found = real(self, *blocks)
    if left:
      signal.raise_signal(left.pop())
    return found

  monkeypatch.setattr(Keeper, 'keep', keep)
  ended = run([*arguments(npz, tmp_path / 'out', **ENDLESS), '--save_seconds=0'])
  saved(ended, tmp_path / 'out', number)


def saved(ended, folder, number):
  """The sweep stopped in its first cell, whose trials so far are whole."""
  assert ended.status == STATUSES[number], ended.err
  assert 'Traceback' not in ended.err
  assert ended.err.splitlines()[-1].startswith('sweep: asked to stop')
  assert not list(folder.glob('cells/*'))
  (kept,) = folder.glob('progress/*.npz')
  atomic.read_sealed(kept)


def test_every_signal_to_stop_is_tried():
  """A signal that nobody has seen stop a sweep may lose its trials."""
  assert {*STATUSES} == {*preemption.SIGNALS}
