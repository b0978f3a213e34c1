"""The flags that a user types are those agreed on, and mean what they say."""

import itertools
from pathlib import Path

import pytest
from absl.testing import flagsaver

from experiments import flags
from experiments.grid import Cell
from mamljax.errors import InputError
from tests.experiments.configurations import OTHER
from tests.experiments.tiny import ROOT

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
FIELDS = ['dataset', 'network', 'ways', 'target', 'order', 'epoch']
FLAGFILES = sorted((ROOT / 'experiments' / 'flagfiles').iterdir())


def read(*argv: str) -> flags.Sweep:
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
  beside = {'noise_scales': ['--defences=query_noise'], 'defences': ['--noise_scales=0.1']}
  (cell,) = read(f'--{name}={OTHER[field]}', *beside.get(name, [])).cells
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
  sweep = read('--output_dir=~/out', '--data_dir=~/data')
  assert (sweep.output_dir, sweep.data_dir) == (tmp_path / 'out', tmp_path / 'data')
  assert read().data_dir is None


def test_more_images_in_a_task_make_a_smaller_chunk():
  """Memory must not grow with the size of the tasks."""
  small, large = read('--ways=2,7', '--shots=3').cells
  assert small.chunk >= large.chunk >= 1


@pytest.mark.parametrize('path', FLAGFILES, ids=lambda path: path.name)
def test_every_flagfile_is_a_grid_and_begins_with_its_command(path: Path):
  """A shipped experiment must at least start, and say how."""
  name = path.relative_to(ROOT)
  first = path.read_text().splitlines()[0]
  assert first.startswith('# python -m experiments.')
  assert first.endswith(f' --flagfile={name}')
  assert read(f'--flagfile={path}').cells


@pytest.mark.parametrize(
  'typed', ['--ways=3,x', '--ways=3.0', '--noise_scales=1e', '--shots=,']
)
def test_an_item_that_is_no_number_is_named_with_its_flag(typed):
  """In a long command line one must see which list is meant."""
  with pytest.raises(InputError, match=typed.replace('.', r'\.')):
    read(typed)
