"""`python -m experiments.train` shows what is learned, epoch by epoch."""

import csv
import dataclasses

import pytest

from experiments import train
from experiments.config.cell import Model
from experiments.engine import models
from experiments.store import runs
from tests.experiments.tiny import arguments, finish, run, start, write_npz

OPTIONS = {
  'epochs': '0,2',
  'tasks_per_round': 2,
  'rounds_per_epoch': 2,
  'inner_learning_rates': '0.1,0.2',
}


@pytest.fixture
def npz(tmp_path):
  return write_npz(tmp_path / 'tiny.npz')


@pytest.fixture
def few_tasks(monkeypatch):
  monkeypatch.setattr(models, 'META_TEST_TASKS', 10)


def learn(npz, folder, **options):
  """Runs the command in this process, which must end well."""
  ended = run(arguments(npz, folder, **OPTIONS | options), main=train.main)
  assert ended.status == 0, ended.err
  return ended


def table(folder) -> list[dict[str, str]]:
  with (folder / 'learning.csv').open(newline='') as file:
    return list(csv.DictReader(file))


@pytest.mark.usefixtures('few_tasks')
def test_training_writes_a_row_for_each_model_and_epoch(npz, tmp_path):
  """The figure of held-out accuracy against epochs is drawn from these."""
  folder = tmp_path / 'out'
  ended = learn(npz, folder)
  rows = table(folder)
  found = [(row['inner_learning_rate'], row['epoch'], row['rounds']) for row in rows]
  assert found == [(rate, *at) for rate in ('0.1', '0.2') for at in (('0', '0'), ('2', '4'))]
  for row in rows:
    low, value, high = (float(row[f'accuracy{end}']) for end in ('_low', '', '_high'))
    assert low <= value <= high <= 1
    assert value >= 0
    assert row['tasks'] == '10'
    assert {*row} >= {field.name for field in dataclasses.fields(Model)}  # two are never alike
  shown, whole = ended.out.split(), (folder / 'learning.csv').read_text().split()
  assert all(line.startswith(f'{start},') for start, line in zip(shown, whole, strict=True))
  assert (folder / 'learning.png').read_bytes().startswith(b'\x89PNG')
  assert len(list(folder.glob('checkpoints/*/epoch_2.msgpack'))) == 2
  ((_, said),) = runs.find_runs(folder)
  assert (said.kind, said.cells) == ('train', [])
  assert said.command.startswith('python -m experiments.train --')


@pytest.mark.usefixtures('few_tasks')
def test_the_same_command_again_trains_nothing(npz, tmp_path, monkeypatch):
  """And says the same, bit for bit; a longer one goes on from there."""
  folder = tmp_path / 'out'
  learn(npz, folder)
  before = (folder / 'learning.csv').read_bytes()
  with monkeypatch.context() as patch:
    patch.setattr(models, '_train', lambda *_, **__: pytest.fail('trained again'))
    learn(npz, folder)
  assert (folder / 'learning.csv').read_bytes() == before
  learn(npz, folder, epochs='0,2,3')
  longer = table(folder)
  assert [row['epoch'] for row in longer] == ['0', '2', '3'] * 2


@pytest.mark.usefixtures('few_tasks')
def test_what_a_sweep_trained_is_not_trained_again(npz, tmp_path, monkeypatch):
  """With one --store_dir, the learning curve of an attacked model costs its tests only."""
  store = {'store_dir': tmp_path / 'store', 'inner_learning_rates': 0.1}
  ended = run(arguments(npz, tmp_path / 'attacked', **OPTIONS | store))
  assert ended.status == 0, ended.err
  monkeypatch.setattr(models, '_train', lambda *_, **__: pytest.fail('trained again'))
  learn(npz, tmp_path / 'learned', **store)
  sweep = tmp_path / 'attacked' / 'results.csv'
  with sweep.open(newline='') as file:
    attacked = {line['epoch']: line['learning_accuracy'] for line in csv.DictReader(file)}
  assert attacked['0'] == ''
  assert attacked['2'] == table(tmp_path / 'learned')[1]['accuracy']
  assert not (tmp_path / 'learned' / 'checkpoints').exists()


@pytest.mark.usefixtures('few_tasks')
def test_a_training_that_diverges_was_given_an_accuracy(npz, tmp_path, caplog):
  """That of the argmax of NaN. Epochs before it, and other models, keep theirs."""
  rates = {'outer_learning_rate': '1e30,0.001', 'inner_learning_rates': 0.1}
  command = arguments(npz, tmp_path / 'out', **OPTIONS | rates)
  ended = run(command, main=train.main)
  assert ended.status == 2
  assert ended.err.rstrip().endswith('train: 1 epochs have no result, as warned above')
  assert 'training diverged in epoch 1, after' in caplog.text
  assert [row['epoch'] for row in table(tmp_path / 'out')] == ['0', '0', '2']


def test_dry_run_prints_the_models_and_stops(npz, tmp_path):
  """As the module itself is started, in a process of its own."""
  command = [*arguments(npz, tmp_path / 'out', **OPTIONS), '--dry_run']
  ended = finish(start(command, module='train'))
  assert ended.status == 0
  assert ended.err == ''
  assert ended.out.count('epochs [0, 2]') == 2
  assert list(tmp_path.iterdir()) == [npz]
