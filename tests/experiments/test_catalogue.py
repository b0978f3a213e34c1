"""The catalogue: headers of flagfiles, the lists made of them, and their results."""

import csv
import re
from pathlib import Path

import pytest

from experiments.analysis import catalogue, results_csv
from experiments.analysis.catalogue import SUBJECTS, matching, read_entry
from experiments.catalogue import renewed
from mamljax.errors import InputError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / 'results'
HEADER = """\
# A title
#
# command: python -m experiments.sweep --flagfile=experiments/flagfiles/a.flags
# question: Is it so,
#   or not?
# data: mnist
# time: a minute
# result: it is
#
# A note
# on it.
--ways=3
# no part of the header
"""


@pytest.fixture(scope='module')
def entries():
  return catalogue.catalogue()


def test_a_header_is_read_to_its_end(tmp_path):
  """A field that goes on in the next line must not lose its end."""
  path = tmp_path / 'a.flags'
  path.write_text(HEADER)
  entry = read_entry(path, 'noise/a')
  assert (entry.title, entry.question, entry.result) == (
    'A title',
    'Is it so, or not?',
    'it is',
  )
  assert (entry.notes, entry.claim, entry.made) == ('A note\non it.', '', '')
  assert (entry.subject, entry.module) == ('noise', 'sweep')


@pytest.mark.parametrize(
  ('old', 'new', 'said'),
  [
    ('# A title\n#', '# A title', 'line 1: a header begins with'),
    ('# data: mnist', '# dato: mnist', "line 6: fields are command, .*'# dato: mnist'"),
    ('# data: mnist', '# data:', 'line 6: fields are'),
    ('#   or not?', '# or not?', 'line 5: fields are'),
    ('# time: a minute\n', '', "line 3: the header has no field 'time'"),
    ('# time: a minute\n# result: it is', '# result: it is\n# time: a minute', 'line 8: '),
    ('# on it.', '#on it.', r"line 11: notes are lines .* not '#on it.'"),
  ],
)
def test_a_wrong_header_is_named_by_its_line(tmp_path, old, new, said):
  """Else a slip in one of forty files ends all lists with a riddle."""
  path = tmp_path / 'a.flags'
  path.write_text(HEADER.replace(old, new))
  with pytest.raises(InputError, match=f'^{re.escape(str(path))}, {said}'):
    read_entry(path, 'a')


def test_commands_run_the_flagfiles_that_they_stand_in(entries):
  """A command that is copied from a header must give what the header promises."""
  for entry in entries:
    expected = f'python -m experiments.{entry.module} --flagfile={entry.path.relative_to(ROOT)}'
    assert entry.command == expected
    assert (ROOT / 'experiments' / f'{entry.module}.py').exists()
  assert {entry.subject for entry in entries} == {*SUBJECTS}


def test_there_are_few_enough_to_choose_from(entries):
  """A flagfile for every value of an option is a list that nobody reads."""
  assert len(entries) <= 41  # 40, and the table of defences


def test_lists_are_those_of_the_headers():
  """`python -m experiments.catalogue --write` was forgotten, and a list says what was once."""
  for path, text in renewed().items():
    assert path.read_text(encoding='utf-8') == text, f'{path} is out of date'


def test_results_have_the_folders_of_their_flagfiles(entries):
  """A number without its command cannot be made again; a result without numbers is a tale."""
  folders = {path.parent.relative_to(RESULTS).as_posix() for path in RESULTS.rglob('*.csv')}
  assert folders == {entry.name for entry in entries if entry.was_run}


def test_results_of_sweeps_have_the_same_first_columns():
  """Else tables of two folders cannot be laid beside each other; options come after these."""
  first = results_csv.COLUMNS[: results_csv.COLUMNS.index('chunk_run') + 1]
  for path in RESULTS.rglob('results.csv'):
    with path.open(encoding='utf-8', newline='') as file:
      header = next(csv.reader(file))
    assert tuple(header[: len(first)]) == first, path


@pytest.mark.parametrize(
  ('name', 'count'), [('paper/table1', 1), ('table1', 1), ('row_space', 3), ('nothing', 0)]
)
def test_names_mean_one_or_those_called_alike(name, count):
  """Table 1 is found without its folder; what is called alike is not confused."""
  assert len(matching(name)) == count


def test_folders_of_results_are_described_by_their_flagfiles(tmp_path):
  """Wherever a run was put, the report asks its own question; a stranger's folder has none."""
  for folder, name in [
    ('x/noise/row_space', 'noise/row_space'),
    ('all_quick/paper/figure4', 'paper/figure4'),
    ('table1_quick', 'paper/table1'),
  ]:
    assert catalogue.described(tmp_path / folder).name == name
  assert catalogue.described(tmp_path / 'row_space') is None
  assert catalogue.described(tmp_path / 'mine') is None
