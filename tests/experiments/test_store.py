"""What sweeps share: a folder of finished cells and trained models, given by --store_dir."""

import pytest

from experiments.engine import models
from experiments.store import runs
from experiments.store.cells import read_cells
from experiments.sweeping import worker
from tests.experiments.tiny import arguments, rows, run, write_npz

OPTIONS = {'epochs': 1, 'tasks_per_round': 2, 'rounds_per_epoch': 2}


@pytest.fixture(scope='module')
def first(tmp_path_factory):
  """The folder of a sweep of one trained model, with its store beside it; read only."""
  base = tmp_path_factory.mktemp('store')
  write_npz(base / 'tiny.npz')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(models, 'META_TEST_TASKS', 10)
    ended = into(base, 'first')
  assert ended.status == 0, ended.err
  return base


def into(base, name: str, **options):
  """Runs the sweep with its results in a folder of this name."""
  store = {'store_dir': base / 'store'}
  return run(arguments(base / 'tiny.npz', base / name, **OPTIONS | store | options))


def test_the_store_holds_what_is_shared_and_the_folder_what_is_its_own(first):
  """Else the second sweep would find nothing, or write over the first one's table."""
  kept = {path.name for path in (first / 'store').iterdir()}
  assert kept == {'cells', 'checkpoints', 'claims', 'examples'}
  assert {path.name for path in (first / 'first').iterdir()} == {
    'plan.json',
    'results.csv',
    'run.json',
    'picture.png',
  }


def test_another_sweep_takes_finished_cells_from_the_store(first, monkeypatch):
  """The undefended cell stands in every noise figure, and must be computed for one only."""
  monkeypatch.setattr(worker, 'run_cell', lambda *_, **__: pytest.fail('computed again'))
  ended = into(first, 'second')
  assert ended.status == 0, ended.err
  assert rows(first / 'second') == rows(first / 'first')
  pictures = [(first / name / 'picture.png').read_bytes() for name in ('first', 'second')]
  assert pictures[0] == pictures[1]


def test_another_attack_takes_the_trained_model_from_the_store(first, monkeypatch):
  """An hour of training must not be repeated for another attack on what came of it."""
  monkeypatch.setattr(models, '_train', lambda *_, **__: pytest.fail('trained again'))
  monkeypatch.setattr(models, 'META_TEST_TASKS', 10)
  ended = into(first, 'third', tv_weight=0.5)
  assert ended.status == 0, ended.err
  (before,), (after,) = rows(first / 'first'), rows(first / 'third')
  assert after['learning_accuracy'] == before['learning_accuracy']
  assert after['auc'] != '' != before['auc']
  assert after['hash'] != before['hash']
  assert len(list(first.glob('store/checkpoints/*/*'))) == 1


def test_a_run_says_where_its_cells_are_from_its_own_folder(first):
  """So that both can be moved together, and the report still finds them."""
  folder, said = next(runs.find_runs(first / 'first'))
  assert said.store == '../store'
  (cell,) = read_cells(folder / said.store, said.cells)
  assert cell.columns['epoch'] == 1


def test_a_store_that_cannot_be_is_refused(first, tmp_path):
  """Before anything is computed: found out after the first cell, that cell would be lost."""
  npz = first / 'tiny.npz'
  ended = run(arguments(npz, tmp_path / 'out', store_dir=npz / 'store'))
  assert ended.status == 2
  assert ended.err.startswith(f'sweep: cannot write to the output folder {npz}')
  assert list(tmp_path.iterdir()) == []
