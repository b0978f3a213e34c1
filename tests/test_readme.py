"""Promises of README, BUILD and the site's pages: commands exist, programs print what is shown.

The blocks of a page that are marked `python` are one program, from the first to the last; the
commands `mamljax` in its blocks of `sh` are typed after it. A block with a title is a file of
that name. A block of `text` after a program or a command is what it prints, with a line of dots
where some is left out. Blocks marked `py` are only to be read.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from absl.testing import flagsaver

from experiments import recovery, sweep, train
from experiments.analysis.catalogue import catalogue
from experiments.config import flags
from experiments.engine import checking, models
from mamljax.data import load_dataset
from tests.experiments.tiny import run

ROOT = Path(__file__).parent.parent
PAGES = [
  'README.md',
  'BUILD.md',
  *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob('docs/**/*.md')),
]
TEXT = {name: (ROOT / name).read_text() for name in PAGES}
COMMANDS = {
  'sweep': sweep.main,
  'train': train.main,
  'recovery': recovery.main,
}  # one set of flags
MODULES = {entry.path: entry.module for entry in catalogue()}
NAMES = {entry.path: entry.name for entry in catalogue()}
GRIDS = [path for path, module in MODULES.items() if module in COMMANDS]


# What is left out for time depends on what else the machine does.
UNHURRIED = (
  'import math; import mamljax.reports.budget; mamljax.reports.budget.USUAL = math.inf'
)


class Block(NamedTuple):
  """A fenced block of a page: its language, the name of its file or '', and its text."""

  language: str
  title: str
  text: str


class Program(NamedTuple):
  """Files and commands of a page as a reader makes and types them, and what they print.

  Attributes:
    files: text of each file by name.
    python: the program.
    commands: the commands after it.
    printed: texts that are shown as printed, in order.
  """

  files: dict[str, str]
  python: str
  commands: str
  printed: tuple[str, ...]


def blocks(name: str) -> list[Block]:
  """The fenced blocks of a page."""
  fence = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
  return [Block(*found) for found in fence.findall(TEXT[name])]


def program_of(name: str) -> Program:
  """The program of a page."""
  files, python, commands, printed, prints = {}, [], [], [], False
  for block in blocks(name):
    is_command = block.language == 'sh' and block.text.startswith('mamljax ')
    is_python = block.language == 'python' and not block.title
    if block.title:
      files[block.title] = block.text
    elif is_python or is_command:
      (python if is_python else commands).append(block.text)
    elif block.language == 'text' and prints:
      printed.append(block.text)
    prints = is_python or is_command
  return Program(files, '\n'.join(python), '\n'.join(commands), tuple(printed))


PROGRAMS = {name: found for name in PAGES if (found := program_of(name)).python}


@pytest.mark.parametrize('name', TEXT)
def test_every_command_and_file_named_exists(name: str):
  """Else a reader's first command fails."""
  modules = set(re.findall(r'python -m (experiments\.\w+|mamljax\.[\w.]+)', TEXT[name]))
  files = set(re.findall(r'experiments/flagfiles/[\w/]+\.flags', TEXT[name]))
  linked = set(re.findall(r'\]\((?!https?:)([^)#]+)\)', TEXT[name]))
  targets = set(re.findall(r'^make (?:PYTHON=\S+ )?(\w+)', TEXT[name], re.MULTILINE))
  folder = (ROOT / name).parent
  assert modules or name.startswith('docs/')
  assert all((ROOT / f'{module.replace(".", "/")}.py').exists() for module in modules)
  assert all((ROOT / path).exists() for path in files)
  assert all((folder / path).exists() for path in linked)
  makefile = (ROOT / 'Makefile').read_text()
  assert all(re.search(rf'^{target}:', makefile, re.MULTILINE) for target in targets)


def test_readme_is_short_and_begins_with_what_a_reader_came_for():
  """Else he scrolls past 5,000 words to the first program of his own."""
  text = TEXT['README.md']
  order = (
    '.png)',
    'make quickstart',
    '## Your own model',
    '```python',
    '## The result',
    '## Doors',
  )
  places = [text.index(part) for part in order]
  assert places == sorted(places)
  assert text[: places[3]].count('\n') < 45
  assert len(text.split()) <= 760  # 700, and the paragraph on defences


def case(name: str):
  """The case of a page's program; those that play whole audits are for `make slow`."""
  is_long = 'audit_' in PROGRAMS[name].python or PROGRAMS[name].commands
  return pytest.param(name, marks=pytest.mark.slow if is_long else ())


def typed(program: Program, folder: Path) -> str:
  """The text that a reader sees who makes the files of a page and types its programs."""
  for name, text in program.files.items():
    (folder / name).write_text(text)
  command = f'mamljax() {{ {sys.executable} -P {ROOT}/experiments/__main__.py "$@"; }}'
  python = [f"{sys.executable} -W error - <<'END'", UNHURRIED, program.python, 'END']
  script = '\n'.join(['set -e', command, *python, program.commands])
  places = {**os.environ, 'PYTHONPATH': os.pathsep.join(['.', str(ROOT)])}
  options: dict[str, Any] = {'cwd': folder, 'env': places, 'stdout': subprocess.PIPE}
  return subprocess.run(['bash', '-c', script], check=True, text=True, **options).stdout


def steady(text: str) -> str:
  """A text without what differs from run to run: seconds, and rounding about nothing.

  >>> steady('loss  46.5 %  0.00  2.3'), steady('8  member  0.007194  -1.895e-07  2')
  ('loss  46.5 %  0.00', '8  member  0.007194 about 0  2')
  """
  text = re.sub(r'^(\w+ .*%.*?) +\d+\.\d$', r'\1', text, flags=re.MULTILINE)
  return re.sub(r' +-?\d\.\d+e-0[5-9]\b', ' about 0', text)


def missing(shown: Sequence[str], printed: str) -> str:
  """The first part that a page shows and its program does not print in its turn, or ''."""
  rest = steady(printed)
  for part in filter(None, (part for text in shown for part in _DOTS.split(steady(text)))):
    before, found, rest = rest.partition(part)
    if not found:
      return f'{part}\nis not in\n{before}'
  return ''


_DOTS = re.compile(r'^\.\.\.\n', re.MULTILINE)


@pytest.mark.parametrize('name', [*map(case, PROGRAMS)])
def test_programs_in_a_page_print_what_it_shows(name: str, tmp_path: Path):
  """Else the first thing that a JAX researcher tries is broken, or shows something else."""
  printed = typed(PROGRAMS[name], tmp_path)
  assert not (lost := missing(PROGRAMS[name].printed, printed)), lost


def test_what_a_pytorch_user_copies_is_whole():
  """A first reader stopped at names that no block of the page had given a value."""
  given = 'model = loss = candidates = labels = None  # of the reader, as the page says'
  copied = [
    block.text for block in blocks('docs/questions/pytorch.md') if block.language == 'py'
  ]
  command = [sys.executable, '-m', 'ruff', 'check', '--isolated', '--select=F821', '-']
  text = '\n'.join([given, *copied])
  ended = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
  assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
def test_the_quickstart_prints_what_pages_show(tmp_path: Path):
  """Else a reader's first command ends with other numbers than it was promised to."""
  flags = ['--flagfile=experiments/flagfiles/quickstart.flags', f'--output_dir={tmp_path}']
  command = [sys.executable, '-m', 'experiments.sweep', *flags]
  ended = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)
  for name in ('README.md', 'docs/index.md'):
    shown = next(block.text for block in blocks(name) if block.language == 'text')
    assert not missing([shown], ended.stdout), name


def test_what_is_not_printed_is_missed():
  """Else pages drift unseen: a changed number, a line too many, another order."""
  printed = 'one\ntwo 1.5\nthree\nloss   50.0 %  0.00  2.3\n'
  for shown in (['one\n'], ['one\n', 'three\n'], ['one\n...\nthree\n...\n']):
    assert not missing(shown, printed)
  assert not missing(['loss   50.0 %  0.00 14.9\n'], printed)
  for shown in (['four\n'], ['two 1.6\n'], ['three\n', 'one\n'], ['one\nthree\n']):
    assert missing(shown, printed)
  assert missing(['loss   50.5 %  0.00  2.3\n'], printed)


def test_outputs_are_shown_where_pages_have_programs():
  """Else the test above holds pages against nothing."""
  showing = {name for name, program in PROGRAMS.items() if program.printed}
  assert showing >= {'README.md', 'docs/index.md', 'docs/questions/command.md'}
  assert len(PROGRAMS['docs/questions/command.md'].printed) == 3
  assert len(PROGRAMS['docs/questions/defence.md'].printed) == 2


@pytest.fixture
def samples_for_all(monkeypatch):
  """The images in the package in the place of the full data sets, which may not be here.

  There are too few of them for some grids, and to look at every cell would take minutes.
  """

  def load(name: str, **options: Any):
    full = name in ('mnist', 'fashion_mnist')
    return load_dataset(f'{name}_sample' if full else name, **options)

  monkeypatch.setattr(models, 'load_dataset', load)
  monkeypatch.setattr(models, '_check_enough', lambda recipe, data, splits, learners: None)
  monkeypatch.setattr(checking, 'refused', lambda cells, data_dir: [])
  yield
  models._load.cache_clear()


@pytest.mark.parametrize('options', [[], ['--quick']], ids=['whole', 'quick'])
@pytest.mark.parametrize('path', GRIDS, ids=NAMES.get)
def test_every_flagfile_is_a_grid(path: Path, options: list[str], samples_for_all):
  """A shipped experiment must at least start; --quick must need no data that are not here."""
  del samples_for_all
  main = COMMANDS[MODULES[path]]
  ended = run([f'--flagfile={path}', '--dry_run', *options], main=main)
  assert ended.status == 0, ended.err
  lines = ended.out.splitlines()
  if main is sweep.main:
    assert lines.pop().startswith(f'{len(lines)} cells: ')
  assert lines
  if options:
    assert all('mnist_sample' in line for line in lines)


@pytest.mark.parametrize(
  'path', [path for path in GRIDS if MODULES[path] == 'sweep'], ids=NAMES.get
)
def test_a_quick_look_asks_for_no_more_images_than_there_are(path: Path):
  """A list that ends in more shots than the samples allow would be refused after its grid."""
  with flagsaver.flagsaver():
    flags.FLAGS(['sweep', f'--flagfile={path}', '--quick'])
    cells = flags.read().cells
  for cell in cells:
    models.splits_of(cell, None, learners=cell.game.learners)


def options_in(text: str) -> list[list[str]]:
  """The options that a text tells to give together: those between its words and stops."""
  runs = re.findall(r'(?:--\w[\w.]*=[^\s;()]+ ?)+', re.sub(r'[,.:](?=\s|$)', ' .', text))
  return [run.split() for run in runs]


@pytest.mark.parametrize(
  'entry', [entry for entry in catalogue() if entry.module == 'sweep'], ids=lambda e: e.name
)
def test_options_in_a_header_can_be_given(entry):
  """Published rows were made with these: an option that is called otherwise is no help."""
  for options in options_in(f'{entry.made} ; {" ".join(entry.notes.split())}'):
    with flagsaver.flagsaver():
      flags.FLAGS(['sweep', f'--flagfile={entry.path}', *options])
      assert flags.read().cells, options


def test_flagfiles_of_filters_say_what_they_were_made_with():
  """A default that moves would leave a published number that nobody can make again."""
  for path in GRIDS:
    text = path.read_text()
    for name in re.findall(r'^--attacks=.*((?:curvature|residual)_filter)', text, re.MULTILINE):
      said = set(re.findall(r'^--([\w.]+)=', text, re.MULTILINE))
      assert {f'{name}.shadows', f'{name}.sketch'} <= said, path


def test_every_experiment_has_a_folder_of_its_own():
  """Two flagfiles with one --output_dir would write over each other's tables."""
  for path, name in NAMES.items():
    folders = re.findall(r'^--output_dir=(.+)$', path.read_text(), re.MULTILINE)
    assert folders == [f'out/{name}']
