"""Promises of README, BUILD and the site's pages: commands exist, and Python runs as printed.

The blocks of a page that are marked `python` are one program, from the first to the last; those
that are only to be read are marked `py`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def blocks(name: str, language: str) -> list[str]:
  """The fenced blocks of a page in a language."""
  return re.findall(rf'```{language}\n(.*?)```', TEXT[name], re.DOTALL)


PROGRAMS = {name: '\n'.join(found) for name in PAGES if (found := blocks(name, 'python'))}


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


def program(name: str):
  """The case of a page's program; those that play whole audits are for `make slow`."""
  marks = pytest.mark.slow if 'audit_' in PROGRAMS[name] else ()
  return pytest.param(name, marks=marks)


@pytest.mark.parametrize('name', [*map(program, PROGRAMS)])
def test_python_in_a_page_runs(name: str, tmp_path: Path):
  """Else the first thing that a JAX researcher tries is broken."""
  places = {**os.environ, 'PYTHONPATH': str(ROOT)}
  command = [sys.executable, '-W', 'error', '-c', PROGRAMS[name]]
  subprocess.run(command, check=True, cwd=tmp_path, env=places)


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
