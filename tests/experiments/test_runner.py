"""One cell: its trials are its own, on images of their own, whatever else is computed."""

import re

import jax
import numpy as np
import pytest

from experiments.config.cell import Cell
from experiments.engine import models, preparing, setting
from experiments.engine.runner import run_cell
from experiments.process import compilation
from mamljax.audit import trials
from mamljax.audit.blocks import check_health
from mamljax.audit.combination import combine
from mamljax.audit.playing import prepare_attack
from mamljax.errors import Diverged
from tests.experiments.configurations import changed, make
from tests.experiments.tiny import CLASSES, write_npz

# The shapes of the tiny sweep's, so that both compile once in a process.
CELL = make(
  network='mlp',
  ways=2,
  defence='outgoing_gradient_noise',
  noise_scale=0.1,
  iterations=3,
  chunk=2,
  trials=8,
  calibration_trials=4,
)


# A second value of each number of a cell: whatever is swept most.
NUMBERS = {
  'inner_learning_rate': 0.2,
  'noise_scale': 0.3,
  'noise_mean': 0.1,
  'learning_rate': 0.05,
  'decay': 0.5,
  'tv_weight': 0.5,
  'start_mean': 0.4,
  'start_scale': 0.1,
  'seed': 1,
}


@pytest.fixture(scope='module')
def cell(tmp_path_factory) -> Cell:
  npz = write_npz(tmp_path_factory.mktemp('runner') / 'tiny.npz')
  return changed(CELL, dataset=f'npz:{npz}')


def compute(cell: Cell, folder, **changes):
  """The result of a cell, its examples, and the steps that its progress bar took."""
  steps: list[int] = []
  cell = changed(cell, **changes)
  found = run_cell(cell, data_dir=None, store_dir=folder, advance=steps.append)
  return *found, steps


def scores(result) -> tuple[list[float], list[float]]:
  return result.calibration.scores, result.trials.scores


def test_more_trials_are_the_same_trials_and_more(cell, tmp_path):
  """A trial depends on its number alone: 200 trials are the first 200 of 1,000."""
  few, _, _ = compute(cell, tmp_path)
  more, _, _ = compute(cell, tmp_path, trials=13, calibration_trials=5)
  for short, long in zip(scores(few), scores(more), strict=True):
    assert long[: len(short)] == short
  assert [len(part) for part in scores(more)] == [5, 13]
  assert more.trials.members == [i % 2 == 0 for i in range(13)]


def test_progress_adds_up_to_the_trials(cell, tmp_path):
  """The time left is told from it."""
  _, _, steps = compute(cell, tmp_path, trials=13, calibration_trials=5)
  assert sum(steps) == 18
  assert min(steps) > 0


def test_nothing_is_kept_of_an_untrained_cell(cell, tmp_path):
  """The runner computes; what is written, and when, is the sweep's to say."""
  result, _, _ = compute(cell, tmp_path)
  assert list(tmp_path.iterdir()) == []
  assert result.extra == {}
  assert result.cell == cell


@pytest.mark.parametrize('change', [{'seed': 1}, {'tv_weight': 0.5}, {'start_mean': 0.2}])
def test_the_configuration_decides_the_scores(cell, tmp_path, change):
  """All of them, in both phases."""
  before, after = (scores(compute(cell, tmp_path, **c)[0]) for c in ({}, change))
  for old, new in zip(before, after, strict=True):
    assert not set(old) & set(new)


def test_numbers_are_compiled_in_nowhere(cell, tmp_path, monkeypatch):
  """A grid over rates, weights and noises compiles each stage once, not once a cell."""
  compiled = {}
  monkeypatch.setattr(compilation, '_COMPILED', compiled)
  monkeypatch.setattr(preparing, '_LAST', {})
  found = [compute(cell, tmp_path, **{name: NUMBERS[name]}) for name in NUMBERS]
  stages_compiled = [signature[0] for signature in compiled]
  assert stages_compiled == [prepare_attack, trials.observe, trials.attack]
  assert len({tuple(result.trials.scores) for result, _, _ in found}) == len(NUMBERS)


def test_examples_are_the_first_candidates(cell, tmp_path):
  """A picture of other trials than its caption says would mislead."""
  result, examples, _ = compute(cell, tmp_path, learning_rate=0.0)
  assert examples.candidates.shape == (8, 11, 11, 1)
  np.testing.assert_array_equal(examples.candidates, examples.reconstructions)
  np.testing.assert_allclose(result.trials.scores, 1, atol=1e-6)
  splits = models.splits_of(cell, None)
  victims = {image.tobytes() for image in splits.victims.images}
  assert {image.tobytes() for image in examples.candidates} <= victims


@pytest.mark.parametrize(('pool', 'phase'), [('victims', 1), ('calibration', 0)])
def test_the_threshold_comes_from_other_images_than_the_report(
  cell, tmp_path, monkeypatch, pool, phase
):
  """Each phase must change with its own pool and with no other."""
  before, real = scores(compute(cell, tmp_path)[0]), models.splits_of

  def inverted(model, data_dir, **told):
    splits = real(model, data_dir, **told)
    images = 255 - getattr(splits, pool).images
    return splits._replace(**{pool: getattr(splits, pool)._replace(images=images)})

  monkeypatch.setattr(models, 'splits_of', inverted)
  after = scores(compute(cell, tmp_path)[0])
  assert after[1 - phase] == before[1 - phase]
  assert not set(after[phase]) & set(before[phase])


def test_tuning_stays_off_the_reported_images(cell, tmp_path, monkeypatch):
  """With --pool=calibration the victims must not even be looked at."""
  before, real = scores(compute(cell, tmp_path, pool='calibration')[0]), models.splits_of

  def without_victims(model, data_dir, **told):
    splits = real(model, data_dir, **told)
    blank = splits.victims._replace(images=np.zeros_like(splits.victims.images))
    return splits._replace(victims=blank)

  monkeypatch.setattr(models, 'splits_of', without_victims)
  assert scores(compute(cell, tmp_path, pool='calibration')[0]) == before
  assert not set(before[0]) & set(before[1])


def test_a_trained_cell_attacks_the_trained_model(cell, tmp_path, monkeypatch):
  """And says how well that model had learned."""
  monkeypatch.setattr(models, 'META_TEST_TASKS', 10)
  training = {'tasks_per_round': 2, 'rounds_per_epoch': 2, 'outer_learning_rate': 0.01}
  untrained, _, _ = compute(cell, tmp_path, **training)
  trained, _, _ = compute(cell, tmp_path, epoch=1, **training)
  learning = trained.extra['learning']
  assert (learning['epoch'], learning['tasks']) == (1, 10)
  assert learning['low'] <= learning['accuracy'] <= learning['high'] <= 1
  assert not set(trained.trials.scores) & set(untrained.trials.scores)
  (checkpoint,) = tmp_path.rglob('*.msgpack')
  assert checkpoint.name == 'epoch_1.msgpack'


def test_the_support_attack_is_played_with_what_it_requires(cell, tmp_path):
  """Equation 10, end to end: the query set is shown to it, and the support set is not."""
  result, examples, _ = compute(cell, tmp_path, target='support', iterations=1)
  assert np.isfinite(result.trials.scores).all()
  assert len(examples.candidates) == 8


def test_the_images_of_the_pools_do_not_overlap(cell):
  """An image that calibrates, trains and is attacked would be in three places at once."""
  splits = models.splits_of(cell, None)
  held = [{image.tobytes() for image in pool.images} for pool in splits]
  assert len(set.union(*held)) == sum(map(len, held)) == CLASSES * 20


def test_a_threshold_that_is_known_takes_no_calibration(cell, tmp_path):
  """Trials that decide nothing cost half of the time; and the result must say so."""
  undefended = {'defence': 'none', 'noise_scale': 0.0, 'calibration_trials': 0}
  result, examples, steps = compute(cell, tmp_path, attack='row_space', **undefended)
  assert (result.metrics.threshold, result.calibration.scores) == (-0.01, [])
  assert result.extra == {'threshold': 'known beforehand'}
  assert result.metrics.accuracy.value == 1
  assert examples is None  # it makes no pictures
  assert sum(steps) == 8


def test_attacks_at_one_seed_are_played_on_the_same_trials(cell, tmp_path, monkeypatch):
  """Attacks on other tasks or candidates could not be compared trial by trial."""
  drawn, real = [], trials.draw
  monkeypatch.setattr(trials, 'draw', lambda *a, **k: drawn.append(real(*a, **k)) or drawn[-1])
  attacks = ('row_space', 'loss', 'reconstruction')
  for attack in attacks:
    compute(cell, tmp_path, attack=attack)
  played = [jax.tree.map(np.asarray, trial) for _, trial in drawn]
  phases = len(played) // len(attacks)
  for at, trial in enumerate(played):
    jax.tree.map(np.testing.assert_array_equal, trial, played[at % phases])


def test_a_combination_is_of_its_parts_own_scores(cell, tmp_path):
  """On other trials, or with weights of the reported ones, it would prove nothing."""
  parts = [scores(compute(cell, tmp_path, attack=name)[0]) for name in ('loss', 'row_space')]
  calibration, reported = (np.transpose(phase) for phase in zip(*parts, strict=True))
  found, _, steps = compute(cell, tmp_path, attack='loss+row_space')
  weighed = combine(calibration, found.calibration.members)
  np.testing.assert_allclose(found.calibration.scores, weighed(calibration))
  np.testing.assert_allclose(found.trials.scores, weighed(reported))
  assert sum(steps) == 12


def test_a_network_that_an_attack_cannot_be_run_on_is_refused_at_once(cell):
  """Found out in the last cell of a sweep, the first hours would be lost."""
  splits = models.splits_of(cell, None)
  assert setting.refusal(changed(cell, attack='row_space'), splits) is None
  reason = setting.refusal(changed(cell, attack='row_space', network='conv4'), splits)
  assert re.search(r"'row_space' needs .* fully connected, such as 'mlp'", reason or '')


@pytest.mark.parametrize('attack', ['row_space', 'likelihood_ratio'])
def test_an_inner_loop_that_diverges_is_told_in_how_many_trials(cell, tmp_path, attack):
  """Not as an accuracy of one half: a gradient of NaN spans nothing, nor is it a bound's."""
  wild = {'inner_learning_rate': 1e30, 'noise_scale': 1.0}
  with pytest.raises(Diverged, match=r'of 8 trials'):
    compute(cell, tmp_path, attack=attack, **wild)


def test_trials_that_fill_up_a_block_do_not_count():
  """The number of devices must not decide whether a cell has a result."""
  health = trials.Health(np.array([True, True, False]), np.array([True, False, True]))
  check_health(health, 1)
  said = r'in 2 of 3 trials: adapted parameters are not finite in 1, gradients in 1$'
  with pytest.raises(Diverged, match=said):
    check_health(health, 3)


def test_what_is_learned_of_public_images_is_finite(cell, monkeypatch):
  """A covariance that has no inverse made every score NaN, after all trials were played."""
  monkeypatch.setattr(preparing, '_LAST', {})
  splits = models.splits_of(cell, None)
  params = models.initial_state(cell, splits).params
  broken = jax.tree.map(lambda x: x * np.nan, params)
  with pytest.raises(Diverged, match="what 'row_space' learns of public images is not finite"):
    setting.make_setting(changed(cell, attack='row_space'), broken, splits.references)
