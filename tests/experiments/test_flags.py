"""The flags that a user types are those agreed on, and mean what they say."""

import itertools
import re
from pathlib import Path

import pytest
from absl.testing import flagsaver

from experiments.config import flags
from experiments.config.columns import FIELDS, columns_of, make_cell
from experiments.config.sweep import Sweep
from experiments.process import cli
from mamljax.errors import InputError
from tests.experiments.configurations import OTHER, OTHER_OPTIONS

# Comma lists in grid order, and single values.
LISTS = [
  *('datasets', 'networks', 'ways', 'shots', 'targets', 'attacks', 'orders', 'inner_steps'),
  *('inner_learning_rates', 'epochs', 'defences', 'noise_scales'),
]
SINGLES = {
  'data_dir': None,
  'output_dir': 'out',
  'store_dir': None,
  'x': '',
  'quick': False,
  'dry_run': False,
  'strict': False,
}
VALUES = {
  'datasets': ['mnist', 'npz:a.npz'],
  'networks': ['mlp', 'conv4'],
  'ways': [5, 3],
  'targets': ['support', 'query'],
  'orders': [2, 1],
  'epochs': [0, 2],
}
# What only some attacks are given, with one that is.
READERS = {
  'assumed_orders': ['--targets=support'],
  'references': ['--attacks=matched_filter'],
  'withheld': ['--attacks=matched_filter'],
  'participations': ['--epochs=1'],
}
UNFIT = re.compile(r'(it|its|they|their|this|that|these|those|see|how|what|whether)\b')
NOISE = [
  *('defences', 'noise_scales', 'noise_means', 'clip_noisy_images'),
  *('clips', 'noise_multipliers'),
]
FIELDS_OF_VALUES = ['dataset', 'network', 'ways', 'target', 'order', 'epoch']


def read(*argv: str) -> Sweep:
  """The request of a command line."""
  with flagsaver.flagsaver():
    flags.FLAGS(['sweep', *argv])
    return flags.read()


def test_every_agreed_flag_is_there():
  """Commands in the paper's reproduction, and later work, type these."""
  assert set(LISTS) <= set(flags.LISTS)
  assert {name: flags.FLAGS[name].default for name in SINGLES} == SINGLES


def test_the_grid_is_in_the_agreed_order():
  """Rows of results.csv stand in the order in which the flags are listed."""
  assert [field.flag for field in FIELDS.values() if field.flag in LISTS] == LISTS


def test_every_flag_is_told_by_itself(capsys):
  """Help is sorted: 'its first step size' is nobody's, there."""
  for flag, field in flags.LISTS.items():
    assert len(field.help) > 15, flag
    assert not re.match(
      r'(it|its|they|their|this|that|these|those|see|how|what)\b', field.help
    ), flag
  shown = '\n'.join(cli._our_flags())
  assert '\nattack reconstruction:\n  --reconstruction.decay: factor of the step' in shown
  assert set(re.findall(r'--([\w.]+): ', shown)) >= {*flags.LISTS, *SINGLES, 'chunk'}


def test_lists_multiply_in_the_order_of_the_flags_not_of_typing():
  """The same experiment typed otherwise must be the same experiment."""
  typed = [f'--{name}={",".join(map(str, values))}' for name, values in VALUES.items()]
  cells = read(*typed).cells
  found = [tuple(columns_of(cell)[name] for name in FIELDS_OF_VALUES) for cell in cells]
  assert found == list(itertools.product(*VALUES.values()))
  assert read(*reversed(typed)).cells == cells


def test_nothing_typed_is_the_default_cell():
  """The defaults of the flags are those of the configuration, and the chunk a sane one."""
  (cell,) = read().cells
  assert cell == make_cell(chunk=cell.execution.chunk)


@pytest.mark.parametrize('name', [n for n in flags.LISTS if n != 'attacks' and '.' not in n])
def test_every_flag_reaches_its_field(name):
  """A flag that changes nothing is worse than none."""
  column = flags.LISTS[name].column
  beside = {'defences': 'query_noise+dp_gaussian', 'noise_scales': 0.1, 'clips': 0.1}
  typed = [f'--{other}={value}' for other, value in beside.items() if other != name]
  typed = typed if name in NOISE else READERS.get(name, [])
  (cell,) = read(f'--{name}={OTHER[column]}', *typed).cells
  assert columns_of(cell)[column] == OTHER[column] != FIELDS[column].default
  assert type(columns_of(cell)[column]) is type(OTHER[column])


@pytest.mark.parametrize('name', [name for name in flags.LISTS if '.' in name])
def test_every_option_reaches_its_attack_or_network(name):
  """By the name that says whose it is."""
  owner, _, option = name.rpartition('.')
  target = 'support' if owner in ('shadow_matched_filter', 'curvature_filter') else 'query'
  attack = [] if owner == 'conv4' else [f'--attacks={owner}', f'--targets={target}']
  (cell,) = read(f'--{name}={OTHER_OPTIONS[option]}', *attack).cells
  assert columns_of(cell)[name] == OTHER_OPTIONS[option]


def test_an_option_of_nothing_that_is_asked_for_is_told(caplog):
  """A flagfile with another attack in front is a common way to ask; a slip is, too."""
  typed = ['--attacks=row_space', '--networks=mlp', '--reconstruction.iterations=3']
  assert len(read(*typed).cells) == 1
  assert 'no cell has --reconstruction.iterations, which is not used' in caplog.text
  with pytest.raises(InputError, match='name its attack or network, too'):
    read(*typed, '--strict')


def test_the_chunk_reaches_its_field():
  """It is chosen only where it is not given."""
  assert read('--chunk=42').cells[0].execution.chunk == 42


def test_spaces_after_commas_do_not_matter():
  """A list in quotes is easily typed with spaces."""
  assert [cell.task.ways for cell in read('--ways=3, 5').cells] == [3, 5]


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
  lists = {
    'ways': '2,3,5',
    'shots': 1,
    'noise_scales': '0,0.1,0.3,1',
    'reconstruction.iterations': '60,20',
  }
  typed = [f'--{name}={value}' for name, value in lists.items()]
  typed += ['--datasets=fashion_mnist,mnist', '--defences=query_noise', '--trials=200']
  sweep = read(*typed, '--rounds_per_epoch=100', '--output_dir=a/b', '--quick')
  found = [(c.task.ways, c.defence.scale, c.attack.iterations) for c in sweep.cells]
  assert found == list(itertools.product([2, 5], [0, 1], [30, 20]))
  same = ('dataset', 'shots', 'trials', 'calibration_trials', 'rounds_per_epoch')
  values = {tuple(columns_of(cell)[name] for name in same) for cell in sweep.cells}
  assert values == {('fashion_mnist_sample', 1, 20, 20, 5)}
  assert sweep.output_dir == Path('a/b_quick')


@pytest.mark.parametrize('name', ['npz:a.npz', 'mnist_sample', 'kmnist'])
def test_quick_keeps_images_that_have_no_sample(name):
  """Others than those named must not be attacked instead."""
  (cell,) = read(f'--datasets={name}', '--quick').cells
  assert cell.data.dataset == name


def test_more_images_in_a_task_make_a_smaller_chunk():
  """Memory must not grow with the size of the tasks."""
  small, large = (c.execution.chunk for c in read('--ways=2,7', '--shots=3').cells)
  assert small >= large >= 1
  for more in ('--learners=8', '--reconstruction.restarts=8'):
    assert 1 <= read('--ways=2', more).cells[0].execution.chunk <= small


@pytest.mark.parametrize(
  'typed', ['--ways=3,x', '--ways=3.0', '--noise_scales=1e', '--shots=,']
)
def test_an_item_that_is_no_number_is_named_with_its_flag(typed):
  """In a long command line one must see which list is meant."""
  with pytest.raises(InputError, match=typed.replace('.', r'\.')):
    read(typed)
