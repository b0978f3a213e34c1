"""`python -m experiments.identifiability` answers whether other data send the same gradient."""

import csv
import json

import pytest

from tests.experiments.tiny import finish, mistaken, refused, start, write_npz

# What was typed, and what the line must say.
MISTAKES = {
  '--dataset=mnits': r"unknown dataset 'mnits': did you mean 'mnist'",
  '--dataset=npz:NPZ': r'has 2 classes of at least 20 images, and 3 of 16 are needed',
  '--hidden_units=two': r"--hidden_units=two: 'two' is not a whole number of at least 1, such",
  '--hidden_units=2,0': r"--hidden_units=2,0: '0' is not a whole number of at least 1",
  '--hidden_units=': r'no value is given for hidden_units',
  '--tasks=0': r'--tasks=0',
  '--tasks=4000000000': r'at most 1,000,000 tasks',
  '--hidden_units=4000000000': r'at most 512 units',
  '--seed=-1': r'--seed=-1',
  '--output_dir=NPZ': r'cannot write to the output folder',
  '--no_such_flag': r"'no_such_flag'",
}


@pytest.fixture(scope='module')
def said(tmp_path_factory):
  """The end of the command after each mistake; none may leave a folder."""
  base = tmp_path_factory.mktemp('mistakes')
  npz, folder = write_npz(base / 'two.npz', classes=2), base / 'out'
  typed = [mistake.replace('NPZ', str(npz)) for mistake in MISTAKES]
  ended = mistaken('identifiability', [[f'--output_dir={folder}', one] for one in typed])
  assert not folder.exists()
  return dict(zip(MISTAKES, ended, strict=True))


@pytest.mark.parametrize('typed', MISTAKES)
def test_a_mistake_is_one_line(said, typed):
  """A user must see what to type instead."""
  refused(said[typed], MISTAKES[typed], program='identifiability')


@pytest.mark.slow
def test_the_command_answers(tmp_path):
  """As a user starts it: yes where other data exist, no where they cannot."""
  folder = tmp_path / 'out'
  options = ['--hidden_units=2', '--tasks=2', f'--output_dir={folder}']
  ended = finish(start(options, module='identifiability'))
  assert ended.status == 0, ended.err
  with (folder / 'identifiability.csv').open(newline='') as file:
    rows = {row['network']: row for row in csv.DictReader(file)}
  assert [*rows] == ['neuron', 'sigmoid 2', 'relu 2', 'mlp']
  for name in ('neuron', 'sigmoid 2'):
    assert float(rows[name]['mismatch']) < 1e-12
    assert float(rows[name]['nearest_pair']) > 0.01
    assert float(rows[name]['invertibility']) > 0.01
  assert float(rows['relu 2']['relu_imbalance']) > 1e-3
  assert float(rows['relu 2']['mismatch']) > 1e-3
  assert float(rows['mlp']['farthest_member']) < 1e-10
  assert float(rows['mlp']['nearest_other']) > 0.1
  assert float(rows['mlp']['least_mismatch']) > 0.01
  assert len(ended.out.splitlines()) == 1 + len(rows) + 2
  assert (folder / 'identifiability.png').read_bytes().startswith(b'\x89PNG')
  assert json.loads((folder / 'run.json').read_text())['kind'] == 'identifiability'
