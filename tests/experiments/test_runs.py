"""OUT/run.json says what made a folder of results, to the report and to whoever finds it."""

import json
import shlex

import pytest

from experiments.process import provenance
from experiments.store import runs
from mamljax.errors import InputError
from tests.experiments.tiny import GRID, arguments, rows, run


def only_run(folder) -> runs.Run:
  """What is said of a folder without others in it."""
  ((found, said),) = runs.find_runs(folder)
  assert found == folder
  return said


def again(copied):
  return run(arguments(copied.npz, copied.folder, **GRID))


def test_a_sweep_says_what_it_was(finished):
  """The command that remakes it, its cells in the order of the table, and on what."""
  said = only_run(finished.folder)
  typed = arguments(finished.npz, finished.folder, **GRID)
  assert shlex.split(said.command) == ['python', '-m', 'experiments.sweep', *typed]
  assert (said.kind, said.store, said.x) == ('sweep', '.', '')
  assert said.cells == [row['hash'] for row in rows(finished.folder)]
  assert said.versions == provenance.versions()
  assert (said.device_kind, said.devices >= 1) == ('cpu', True)
  assert said.seconds > 0


def test_the_seconds_of_resumptions_add_up(copied):
  """Else a night's work would be said to have taken the minute that drew its table."""
  path = copied.folder / 'run.json'
  told = json.loads(path.read_text())
  path.write_text(json.dumps(told | {'seconds': 10_000.0}))
  assert again(copied).status == 0
  after = only_run(copied.folder)
  assert 10_000 < after.seconds < 20_000
  assert after.cells == told['cells']


FOREIGN = {
  'no JSON': 'run it like this',
  'another object': '{"name": "my run"}',
  'a list': '[1, 2]',
  'no text': '\x80',
}


@pytest.mark.parametrize('text', FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_run_json_is_one_clear_line(tmp_path, text):
  """A report on somebody else's folder must say so, not fail somewhere inside."""
  path = tmp_path / 'deeper' / 'run.json'
  path.parent.mkdir()
  path.write_bytes(text.encode('latin-1'))
  with pytest.raises(InputError, match=f'{path} does not describe a run of ours') as caught:
    list(runs.find_runs(tmp_path))
  assert '\n' not in str(caught.value)


def test_a_sweep_does_not_write_over_a_foreign_run_json(copied):
  """It may be the only record of something else."""
  path = copied.folder / 'run.json'
  path.write_text('{"name": "my run"}')
  ended = again(copied)
  assert ended.status == 2
  assert ended.err.splitlines()[-1].startswith(f'sweep: {path} does not describe a run of ours')
  assert path.read_text() == '{"name": "my run"}'


def test_runs_are_found_in_a_folder_and_in_those_in_it(finished, tmp_path):
  """As deep as flagfiles write, out/paper/table1; folders without one are passed over."""
  said = (finished.folder / 'run.json').read_bytes()
  for name in ('.', 'a', 'a/b', 'a/b/too_deep'):
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / 'run.json').write_bytes(said)
  (tmp_path / 'none').mkdir()
  found = {folder.relative_to(tmp_path).as_posix() for folder, _ in runs.find_runs(tmp_path)}
  assert found == {'.', 'a', 'a/b'}
  assert list(runs.find_runs(tmp_path / 'none')) == []
