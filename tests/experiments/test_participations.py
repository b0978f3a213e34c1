"""A task that takes part in several rounds: one score from all of its gradients."""

import signal

import numpy as np
import pytest

from experiments.config.cell import Cell
from experiments.engine.runner import run_cell
from experiments.process import preemption
from mamljax.audit import blocks
from mamljax.audit.combination import combine
from mamljax.errors import InputError
from tests.experiments.configurations import changed, make
from tests.experiments.tiny import arguments as typed
from tests.experiments.tiny import rows, run, write_npz

NOISY = {'defence': 'outgoing_gradient_noise', 'noise_scale': 0.3}
STILL = {'outer_learning_rate': 0.0}  # w is the same after every epoch
# The shapes of the tiny sweep's, so that both compile once in a process.
CELL = make(
  network='mlp',
  ways=2,
  attack='gradient_cosine',
  epoch=1,
  tasks_per_round=2,
  rounds_per_epoch=1,
  chunk=2,
  trials=8,
  calibration_trials=4,
)


@pytest.fixture(scope='module')
def cell(tmp_path_factory) -> Cell:
  npz = write_npz(tmp_path_factory.mktemp('participations') / 'tiny.npz')
  return changed(CELL, dataset=f'npz:{npz}')


def compute(cell: Cell, folder, **changes):
  """The result of a cell."""
  cell = changed(cell, **changes)
  return run_cell(cell, data_dir=None, store_dir=folder, advance=lambda _: None)[0]


def columns(results, phase: str) -> np.ndarray:
  """The scores of several cells' trials, [trials, cells]."""
  return np.transpose([getattr(result, phase).scores for result in results])


def test_the_score_is_made_of_one_for_each_epoch(cell, tmp_path):
  """Each gradient is of the same task, at its own model, and calibration trials weigh them."""
  both = compute(cell, tmp_path, participations=2)
  each = [compute(cell, tmp_path, epoch=epoch) for epoch in (0, 1)]
  assert not set(columns(each, 'trials')[:, 0]) & set(columns(each, 'trials')[:, 1])
  assert all(part.trials.members == both.trials.members for part in each)
  combination = combine(columns(each, 'calibration'), each[0].calibration.members)
  np.testing.assert_array_equal(combination(columns(each, 'trials')), both.trials.scores)
  assert both.timings['seconds_per_trial'] > 0


def test_each_round_draws_its_noise_anew_and_the_last_as_if_it_were_alone(
  cell, tmp_path, monkeypatch
):
  """At a w that stands still two gradients differ in their noise, and in nothing else."""
  play, found = blocks.play_block, []

  def remember(*args, **options):
    block = play(*args, **options)
    found[-1].setdefault(options['earlier'], []).extend(block.played.scores)
    return block

  monkeypatch.setattr(blocks, 'play_block', remember)
  for trials, rounds in ((8, 2), (10, 1)):
    found.append({})
    told = {'trials': trials, 'participations': rounds, 'attack': 'likelihood_ratio'}
    compute(cell, tmp_path, **told, **NOISY, **STILL)
  last, before, alone = (
    np.array(scores)[:8] for scores in (found[0][0], found[0][1], found[1][0])
  )
  np.testing.assert_array_equal(last, alone)
  assert not np.isclose(before, last, rtol=1e-3).any()


def test_what_no_attack_can_pass_rises_with_the_rounds(cell, tmp_path):
  """Of equal gradients in fresh noise: R likelihood ratios, of R times the separation."""
  told = {'attack': 'likelihood_ratio', 'trials': 40, 'epoch': 3} | NOISY | STILL
  means = []
  for n in (1, 4):
    played = compute(cell, tmp_path, participations=n, **told)
    scores, members = np.array(played.trials.scores), np.array(played.trials.members)
    means.append(scores[members].mean() - scores[~members].mean())
    assert played.calibration.scores == []
    assert played.metrics.threshold == 0
  assert 2.5 < means[1] / means[0] < 6


def test_an_interrupted_cell_goes_on_in_its_round(cell, tmp_path, monkeypatch):
  """What is kept of one round must not be taken for that of another."""
  told = {'participations': 2, 'trials': 70}
  whole = compute(cell, tmp_path / 'whole', **told)
  play, calls = blocks.play_block, []

  def play_and_stop(*args, **options):
    calls.append(options['earlier'])
    if len(calls) in (2, 8):
      signal.raise_signal(signal.SIGUSR1)
    return play(*args, **options)

  monkeypatch.setattr(blocks, 'play_block', play_and_stop)
  for _ in range(2):
    with pytest.raises(preemption.Interrupted), preemption.listening():
      compute(cell, tmp_path / 'parts', **told)
  done = compute(cell, tmp_path / 'parts', **told)
  assert (done.trials, done.calibration) == (whole.trials, whole.calibration)
  assert set(calls) == {0, 1}


def test_a_threshold_that_is_known_is_of_one_gradient(cell):
  """Weights move the scores."""
  row_space = changed(cell, attack='row_space')
  assert row_space.threshold is not None
  twice = changed(row_space, participations=2, calibration_trials=4)
  assert twice.threshold is None


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'epoch': 3, 'participations': 5}, r'5 participations, .* need --epochs=4 or more, not 3'),
    ({'participations': 0}, r'participations must be a number of at least 1, not 0'),
    ({'participations': 2, 'learners': 2}, r'several participations .* learners=1 only, not 2'),
  ],
)
def test_rounds_that_cannot_be_are_refused(cell, changes, message):
  """In one line that says what can."""
  with pytest.raises(InputError, match=message):
    changed(cell, **changes)


def test_an_axis_of_a_sweep(tmp_path):
  """A row for each number of rounds, without the paper's numbers, which are of one gradient."""
  npz, folder = write_npz(tmp_path / 'tiny.npz'), tmp_path / 'out'
  options = {'epochs': 1, 'participations': '1,2', 'tasks_per_round': 2, 'rounds_per_epoch': 1}
  options |= {'defences': 'none', 'noise_scales': 0, 'x': 'participations'}
  ended = run(typed(npz, folder, **options))
  assert ended.status == 0, ended.err
  assert [line['participations'] for line in rows(folder)] == ['1', '2']
  assert (folder / 'curves.png').exists()
  assert not list(folder.glob('progress/*'))
