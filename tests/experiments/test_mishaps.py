"""What goes wrong in one place must not take the rest of a sweep with it."""

import pytest

from tests.experiments.tiny import GRID, arguments, finish, rows, run, start

pytestmark = pytest.mark.filterwarnings('ignore:overflow')


def test_a_cell_that_diverges_is_named_and_the_others_have_results(finished, tmp_path):
  """One inner rate too many, and a night of cells would be lost, and lost again each time."""
  folder = tmp_path / 'out'
  ended = run(arguments(finished.npz, folder, inner_learning_rates='1e30,0.1'))
  assert ended.status == 2
  assert [row['inner_learning_rate'] for row in rows(folder)] == ['0.1']
  assert ended.err.rstrip().endswith('sweep: 1 cells have no result, as warned above')
  assert (folder / 'picture.png').exists()


def test_images_that_cannot_be_read_off_nan_were_counted_as_protected(finished, tmp_path):
  """No task was read whole, said the table, of gradients without a finite number."""
  options = {'attacks': 'row_space', 'trials': 4, 'inner_learning_rates': 1e30, 'samples': 4}
  options |= {'inner_steps': 3, 'defences': 'none', 'noise_scales': 0}
  command = arguments(finished.npz, tmp_path / 'out', **options)
  ended = finish(start(command, module='recovery'))
  assert ended.status == 2
  assert 'diverged in 4 of 4 trials' in ended.err
  assert ended.err.rstrip().endswith('recovery: 1 cells have no result, as warned above')
  assert not (tmp_path / 'out' / 'recovery.csv').exists()


def test_damaged_pictures_are_set_aside(copied):
  """They are for the eye only: a finished table must not fail for them."""
  paths = list((copied.folder / 'examples').iterdir())
  for path in paths:
    path.write_bytes(b'junk')
  ended = run(arguments(copied.npz, copied.folder, **GRID))
  assert ended.status == 0
  assert any(path.with_name(f'{path.name}.damaged').exists() for path in paths)


def test_files_beside_the_checkpoints_are_no_checkpoints(finished, tmp_path):
  """A copy that somebody kept must not end the next run."""
  options = {'epochs': 1, 'rounds_per_epoch': 1, 'tasks_per_round': 1}
  command = arguments(finished.npz, tmp_path / 'out', **options)
  assert run(command).status == 0
  (kept,) = (tmp_path / 'out').glob('checkpoints/*/epoch_1.msgpack')
  kept.rename(kept.with_name('epoch_1 (copy).msgpack'))
  for cell in (tmp_path / 'out' / 'cells').iterdir():
    cell.unlink()
  assert run(command).status == 0
  assert kept.exists()


@pytest.mark.parametrize(
  ('module', 'flag'), [('sweep', '--conv4.filters'), ('train', '--epochs')]
)
def test_help_lists_every_choice(module, flag):
  """README sends the reader there."""
  ended = finish(start(['--help'], module=module))
  assert ended.status == 0
  assert f'{flag}:' in ended.out
  assert '--data_dir:' in ended.out
