"""The flags that a user types are those agreed on, and mean what they say."""

import itertools
from pathlib import Path

import pytest
from absl.testing import flagsaver

from experiments.config import flags
from experiments.config.cell import Cell
from experiments.config.sweep import Sweep
from mamljax.errors import InputError
from tests.experiments.configurations import OTHER

# Issue 2, "Interfaces": comma lists in grid order, and single values.
LISTS = [
  *('datasets', 'networks', 'ways', 'shots', 'targets', 'attacks', 'orders', 'inner_steps'),
  *('inner_learning_rates', 'epochs', 'defences', 'noise_scales', 'iterations'),
]
SINGLES = {
  'trials': 200,
  'calibration_trials': 100,
  'seed': 0,
  'data_dir': None,
  'output_dir': 'out',
  'store_dir': None,
  'x': '',
  'quick': False,
  'dry_run': False,
}
VALUES = {
  'datasets': ['mnist', 'npz:a.npz'],
  'networks': ['mlp', 'conv4'],
  'ways': [5, 3],
  'targets': ['support', 'query'],
  'orders': [2, 1],
  'epochs': [0, 2],
}
# What only some attacks read, with one that does.
READERS = {'assumed_orders': ['--targets=support']} | {
  name: ['--attacks=matched_filter'] for name in ('references', 'classes', 'sketch', 'ridge')
}
READERS |= {
  name: ['--attacks=shadow_matched_filter', '--targets=support']
  for name in ('shadows', 'swaps', 'shrinkage')
}
READERS |= {
  name: ['--attacks=patch_space', '--targets=support'] for name in ('query_sets', 'neighbours')
}
READERS['parts'] = ['--attacks=combined']
READERS['directions'] = ['--attacks=noise_filter']
READERS['participations'] = ['--epochs=1']
NOISE = ['defences', 'noise_scales', 'noise_means', 'clip_noisy_images']
FIELDS = ['dataset', 'network', 'ways', 'target', 'order', 'epoch']


def read(*argv: str) -> Sweep:
  """What a command line asks for."""
  with flagsaver.flagsaver():
    flags.FLAGS(['sweep', *argv])
    return flags.read()


def test_every_agreed_flag_is_there():
  """Commands in the paper's reproduction, and later work, type these."""
  assert set(LISTS) <= set(flags.AXES)
  assert all(isinstance(flags.FLAGS[name].default, list) for name in LISTS)
  assert {name: flags.FLAGS[name].default for name in SINGLES} == SINGLES


def test_the_grid_is_in_the_agreed_order():
  """Rows of results.csv stand in the order in which the flags are listed."""
  assert [name for name in flags.AXES if name in LISTS] == LISTS


def test_lists_multiply_in_the_order_of_the_flags_not_of_typing():
  """The same experiment typed otherwise must be the same experiment."""
  typed = [f'--{name}={",".join(map(str, values))}' for name, values in VALUES.items()]
  cells = read(*typed).cells
  found = [tuple(getattr(cell, name) for name in FIELDS) for cell in cells]
  assert found == list(itertools.product(*VALUES.values()))
  assert read(*reversed(typed)).cells == cells


def test_nothing_typed_is_the_default_cell():
  """The defaults of the flags are those of the configuration, and the chunk a sane one."""
  (cell,) = read().cells
  assert cell.chunk >= 1
  assert cell == Cell(chunk=cell.chunk)


@pytest.mark.parametrize('name', [name for name in flags.AXES if name != 'attacks'])
def test_every_flag_reaches_its_field(name):
  """A flag that changes nothing is worse than none."""
  field = flags.AXES[name].field
  beside = {'defences': 'query_noise', 'noise_scales': 0.1}
  typed = [f'--{other}={value}' for other, value in beside.items() if other != name]
  typed = typed if name in NOISE else READERS.get(name, [])
  (cell,) = read(f'--{name}={OTHER[field]}', *typed).cells
  assert getattr(cell, field) == OTHER[field] != getattr(Cell(), field)
  assert type(getattr(cell, field)) is type(OTHER[field])


@pytest.mark.parametrize('name', [*flags.SINGLE, 'chunk'])
def test_every_single_flag_reaches_its_field(name):
  """So are those that take one value."""
  assert getattr(read(f'--{name}=42').cells[0], name) == 42


def test_spaces_after_commas_do_not_matter():
  """A list in quotes is easily typed with spaces."""
  assert [cell.ways for cell in read('--ways=3, 5').cells] == [3, 5]


def test_folders_may_be_in_the_home_folder(monkeypatch, tmp_path):
  """In a flagfile no shell expands the tilde."""
  monkeypatch.setenv('HOME', str(tmp_path))
  names = ('output_dir', 'store_dir', 'data_dir')
  sweep = read(*(f'--{name}=~/{name}' for name in names))
  assert [getattr(sweep, name) for name in names] == [tmp_path / name for name in names]
  assert read().data_dir is None


def test_finished_cells_are_kept_where_the_results_are_unless_told_otherwise():
  """One folder is what a user without other wishes wants to find."""
  assert read('--output_dir=a').store_dir == Path('a')
  assert read('--output_dir=a', '--store_dir=b').store_dir == Path('b')
  assert read('--output_dir=a', '--quick').store_dir == Path('a_quick')


def test_quick_is_the_same_sweep_in_small():
  """Packaged images, the ends of lists, few steps and trials, in a folder of its own."""
  lists = {'ways': '2,3,5', 'shots': 1, 'noise_scales': '0,0.1,0.3,1', 'iterations': '60,20'}
  typed = [f'--{name}={value}' for name, value in lists.items()]
  typed += ['--datasets=fashion_mnist,mnist', '--defences=query_noise', '--trials=200']
  sweep = read(*typed, '--rounds_per_epoch=100', '--output_dir=a/b', '--quick')
  found = [(cell.ways, cell.noise_scale, cell.iterations) for cell in sweep.cells]
  assert found == list(itertools.product([2, 5], [0, 1], [30, 20]))
  same = ('dataset', 'shots', 'trials', 'calibration_trials', 'rounds_per_epoch')
  values = {tuple(getattr(cell, name) for name in same) for cell in sweep.cells}
  assert values == {('fashion_mnist_sample', 1, 20, 20, 5)}
  assert sweep.output_dir == Path('a/b_quick')


@pytest.mark.parametrize('name', ['npz:a.npz', 'mnist_sample', 'kmnist'])
def test_quick_keeps_images_that_have_no_sample(name):
  """Others than those named must not be attacked instead."""
  (cell,) = read(f'--datasets={name}', '--quick').cells
  assert cell.dataset == name


def test_more_images_in_a_task_make_a_smaller_chunk():
  """Memory must not grow with the size of the tasks."""
  small, large = read('--ways=2,7', '--shots=3').cells
  assert small.chunk >= large.chunk >= 1
  for more in ('--learners=8', '--restarts=8'):
    assert 1 <= read('--ways=2', more).cells[0].chunk <= small.chunk


@pytest.mark.parametrize(
  'typed', ['--ways=3,x', '--ways=3.0', '--noise_scales=1e', '--shots=,']
)
def test_an_item_that_is_no_number_is_named_with_its_flag(typed):
  """In a long command line one must see which list is meant."""
  with pytest.raises(InputError, match=typed.replace('.', r'\.')):
    read(typed)
