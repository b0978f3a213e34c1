"""One command for all: `mamljax NAME ...` is `python -m experiments.NAME ...`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import __main__ as command
from experiments.process import arguments

FOLDER = Path(command.__file__).parent


def run(*words, cwd=None):
  """The end of a command."""
  line = [sys.executable, str(FOLDER / '__main__.py'), *words]
  return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_every_command_has_its_line():
  """Else a user of the wheel cannot find what a user of the clone has."""
  mains = {
    path.stem
    for path in FOLDER.glob('*.py')
    if path.stem != '__main__' and "__name__ == '__main__'" in path.read_text()
  }
  assert mains == command.COMMANDS.keys()
  for name, says in command.COMMANDS.items():
    assert ast.get_docstring(ast.parse((FOLDER / f'{name}.py').read_text()))
    assert f'{name} ' in command.usage()
    assert says in command.usage()


def test_an_unknown_command_is_answered_in_one_line(monkeypatch, capsys):
  """With the nearest right one, and the exit status of a user's mistake."""
  monkeypatch.setattr(sys, 'argv', ['mamljax', 'sweeep'])
  with pytest.raises(SystemExit) as stopped:
    command.main()
  assert stopped.value.code == 2
  assert capsys.readouterr().err.startswith(
    "mamljax: unknown command 'sweeep': did you mean 'sweep'?"
  )


def test_a_command_runs_beside_a_folder_of_its_name(tmp_path):
  """Many projects have a folder `experiments`: it must not be taken for this one."""
  (tmp_path / 'experiments').mkdir()
  (tmp_path / 'experiments/__init__.py').write_text('raise SystemExit("not this one")')
  result = run('status', '--output_dir=nowhere', cwd=tmp_path)
  assert result.returncode == 2
  assert result.stderr.startswith('status: ')
  assert 'not this one' not in result.stderr


def test_a_flagfile_of_the_package_is_found_anywhere(tmp_path, monkeypatch):
  """A wheel has no clone to name a path in; a file of the user's comes first."""
  monkeypatch.chdir(tmp_path)
  packaged = arguments.expand(['--flagfile=paper/table1.flags'])
  assert any(word.startswith('--attacks=') for word in packaged)
  (tmp_path / 'paper').mkdir()
  (tmp_path / 'paper/table1.flags').write_text('--ways=2')
  assert arguments.expand(['--flagfile=paper/table1.flags']) == ['--ways=2']
