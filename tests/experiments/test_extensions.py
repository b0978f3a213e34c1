"""Beyond one undefended learner, from the command line to results.csv."""

import numpy as np
import pytest

from experiments.config.attacks import PLAYED
from experiments.engine import models
from mamljax.attacks.base import threshold_of
from tests.experiments.tiny import arguments, cells, rows, run, write_npz
from tests.golden import cases as golden

TRAINED = {'learning_epochs': 1, 'tasks_per_round': 2, 'rounds_per_epoch': 2}


@pytest.fixture
def npz(tmp_path):
  return write_npz(tmp_path / 'tiny.npz', per_class=40)


@pytest.fixture
def few_tasks(monkeypatch):
  monkeypatch.setattr(models, 'META_TEST_TASKS', 10)


def finish(npz, folder, **options):
  """Runs a tiny sweep, which must end well; its rows and its cells in the same order."""
  ended = run(arguments(npz, folder, **options))
  assert ended.status == 0, ended.err
  found, lines = cells(folder), rows(folder)
  return lines, [found[line['hash']] for line in lines]


def test_the_global_game_with_inferred_labels(npz, tmp_path):
  """The learner of the candidate, and the share of labels that was read off the gradient."""
  options = {'learners': 2, 'labels': 'inferred', 'defences': 'none', 'noise_scales': 0}
  lines, (cell,) = finish(npz, tmp_path / 'out', **options)
  assert lines[0]['learners'] == '2'
  assert 0 <= float(lines[0]['label_accuracy']) <= 1
  played = cell['trials']
  located = np.array(played['located'])
  assert located.shape == (8,)
  assert set(located.tolist()) <= {True, False}
  # Globally an attack is right about a member only if it says whose it is.
  said = np.array(played['scores']) > cell['metrics']['threshold']
  truth = np.array(played['members'])
  right = np.where(truth, said & located, ~said)
  assert float(lines[0]['accuracy']) == right.mean()
  assert cell['extra'] == {'label_accuracy': float(lines[0]['label_accuracy'])}


def test_in_the_local_game_there_is_nobody_to_confuse(finished):
  """One learner is always the one."""
  for cell in cells(finished.folder).values():
    assert all(cell['trials']['located'])
    assert all(cell['calibration']['located'])
    assert cell['extra'] == {}


def test_each_judge_has_a_row_of_its_own(npz, tmp_path):
  """The same trials, each with a threshold on the scale of its scores."""
  lines, found = finish(npz, tmp_path / 'out', judge='ssim,mse,residual')
  assert [line['reconstruction.judge'] for line in lines] == ['ssim', 'mse', 'residual']
  signs = [np.sign(cell['trials']['scores']) for cell in found]
  assert (np.array(signs[1:]) == -1).all()
  for cell in found:
    scores, threshold = cell['calibration']['scores'], cell['metrics']['threshold']
    assert min(scores) - 1e-6 <= threshold <= max(scores) + 1e-6


ATTACKED = {
  'query': 'row_space,silent_units,shadow_classifier,matched_filter,noise_filter,'
  'residual_filter,gradient_cosine,gradient_cosine_z,loss,likelihood_ratio,'
  'matched_filter+gradient_cosine_z',
  'support': 'patch_space,shadow_matched_filter,curvature_filter',
}


# Of the shapes of the cells on record, which compile the same programs.
ON_RECORD = {
  'datasets': 'mnist_sample',
  'networks': 'mlp',
  'defences': 'none',
  'noise_scales': 0,
  **{name: value for name, value in golden.SMALL.items() if name not in {*TRAINED, 'network'}},
  **{name: golden.SMALL_OPTIONS[name] for name in ('sketch', 'shadows', 'swaps', 'directions')},
}


@pytest.mark.parametrize('target', ATTACKED)
def test_attacks_in_closed_form(npz, tmp_path, target):
  """Each goes the whole way from flags to a row, with what it must know, shared by trials."""
  asked = {'attacks': ATTACKED[target], 'targets': target}
  lines, found = finish(npz, tmp_path / 'out', **ON_RECORD | asked)
  assert [line['attack'] for line in lines] == ATTACKED[target].split(',')
  assert all(len(cell['trials']['scores']) == 16 for cell in found)
  played = [PLAYED.get(line['attack']) for line in lines]
  known = [threshold_of(kind, target) if kind else None for kind in played]
  for cell, threshold in zip(found, known, strict=True):
    assert len(cell['calibration']['scores']) == (2 if threshold is None else 0)


def test_a_filter_that_is_not_told_the_classes(npz, tmp_path):
  """A cell as told and one as not, on the same trials: else they could not be compared."""
  asked = {'attacks': 'shadow_matched_filter', 'withheld': 'none,classes', 'targets': 'support'}
  lines, found = finish(npz, tmp_path / 'out', **ON_RECORD | asked)
  assert [line['withheld'] for line in lines] == ['none', 'classes']
  told, untold = (cell['trials'] for cell in found)
  assert told['members'] == untold['members']
  assert told['scores'] != untold['scores']


def test_no_attack_is_left_out():
  """The reconstruction has sweeps of its own; a new attack is to be added above."""
  named = {name for name in ','.join(ATTACKED.values()).split(',') if '+' not in name}
  assert named == {*PLAYED} - {'reconstruction'}


@pytest.mark.usefixtures('few_tasks')
def test_learning_from_the_first_epoch_on(npz, tmp_path):
  """A curve against epochs begins with what an untrained model makes of new tasks."""
  options = {'attacks': 'loss', 'epochs': '0,1', 'defences': 'none', 'noise_scales': 0}
  asked = options | TRAINED | {'learning_epochs': 0}
  lines, found = finish(npz, tmp_path / 'out', **asked)
  assert [cell['extra']['learning']['epoch'] for cell in found] == [0, 1]
  assert all(0 <= float(line['learning_accuracy']) <= 1 for line in lines)


@pytest.mark.usefixtures('few_tasks')
def test_a_model_that_is_trained_under_two_noises(npz, tmp_path):
  """The learning accuracy is that of training with the noise, not of testing with it."""
  both = 'query_noise+0.5*outgoing_gradient_noise'
  folder = tmp_path / 'out'
  asked = {'attacks': 'gradient_cosine', 'defences': both, 'noise_scales': '0,0.1'}
  lines, found = finish(npz, folder, **asked | TRAINED)
  assert [(line['defence'], line['epoch']) for line in lines] == [('none', '0'), (both, '0')]
  for line, cell in zip(lines, found, strict=True):
    learning = cell['extra']['learning']
    assert (learning['epoch'], learning['tasks']) == (1, 10)
    columns = [float(line[f'learning_{name}']) for name in ('low', 'accuracy', 'high')]
    assert columns == [learning['low'], learning['accuracy'], learning['high']]
    assert columns == sorted(columns)
  undefended, defended = sorted(folder.glob('checkpoints/*/epoch_1.msgpack'))
  assert undefended.parent != defended.parent
  assert undefended.read_bytes() != defended.read_bytes()
  assert not set(found[0]['trials']['scores']) & set(found[1]['trials']['scores'])


@pytest.mark.usefixtures('few_tasks')
def test_curves_are_drawn_where_they_are_asked_for(npz, tmp_path):
  """Accuracy against one field, and what it shows in words."""
  asked = {'attacks': 'loss', 'inner_learning_rates': '0.1,0.2', 'x': 'inner_learning_rate'}
  finish(npz, tmp_path / 'out', **asked)
  assert (tmp_path / 'out' / 'curves.png').read_bytes().startswith(b'\x89PNG')


def test_a_quick_sweep_leaves_the_real_one_alone(npz, tmp_path):
  """Twenty trials must never stand where two hundred are expected."""
  options = {'iterations': 3, 'tv_weight': '0.001,0.01,0.1'}
  ended = run([*arguments(npz, tmp_path / 'out', **options), '--quick'])
  assert ended.status == 0, ended.err
  assert sorted(path.name for path in tmp_path.iterdir()) == ['out_quick', 'tiny.npz']
  lines = rows(tmp_path / 'out_quick')
  assert [line['reconstruction.tv_weight'] for line in lines] == ['0.001', '0.1']
  assert {(line['trials'], line['calibration_trials']) for line in lines} == {('20', '20')}
