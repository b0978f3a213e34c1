"""A release installs into an empty environment and runs README's example there.

With the oldest JAX that pyproject.toml allows, and with the newest on the newest Python here.
These download packages, so `make slow` runs them.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / 'examples/own_model.py'
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
OLDEST = next(x.partition('>=')[2] for x in PROJECT['dependencies'] if x.startswith('jax>='))

pytestmark = pytest.mark.slow


def newest_python() -> str:
  """The newest Python at hand, on the path or of pyenv, or this one."""
  installed = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv')) / 'versions'
  for minor in range(20, 11, -1):
    name = f'python3.{minor}'
    at_hand = [shutil.which(name), *map(str, installed.glob(f'*/bin/{name}'))]
    if found := next(filter(_runs, filter(None, at_hand)), None):
      return found
  return sys.executable


def _runs(python: str) -> bool:
  """Tests whether a Python starts: pyenv puts names on the path that do not."""
  return subprocess.run([python, '-V'], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope='module')
def sdist(tmp_path_factory) -> Path:
  """The source distribution."""
  folder = tmp_path_factory.mktemp('dist')
  build = f'from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})'
  subprocess.run([sys.executable, '-c', build], cwd=ROOT, check=True, capture_output=True)
  (path,) = folder.glob('*.tar.gz')
  return path


def test_the_sdist_holds_what_a_packager_needs(sdist):
  """A distribution builds from it, runs the tests and ships the licence."""
  with tarfile.open(sdist) as file:
    names = {name.partition('/')[2] for name in file.getnames()}
  assert {'pyproject.toml', 'README.md', 'LICENSE', 'mamljax/__init__.py'} <= names
  assert 'mamljax/reports/templates/page.html.j2' in names
  assert not any(name.startswith(('out/', '.venv')) for name in names)


@pytest.mark.parametrize(
  ('python', 'pins'),
  [
    pytest.param(sys.executable, [f'jax=={OLDEST}.0', f'jaxlib=={OLDEST}.0'], id='oldest JAX'),
    pytest.param(newest_python(), [], id='newest Python and JAX'),
  ],
)
def test_an_empty_environment_runs_the_example(tmp_path, sdist, python, pins):
  """Else a dependency is missing, or an old or a new JAX has another interface."""
  home = tmp_path / 'venv'
  subprocess.run([python, '-m', 'venv', str(home)], check=True)
  run = [home / 'bin/python', '-m', 'pip', 'install', '--quiet', str(sdist), 'equinox', *pins]
  subprocess.run(run, check=True)
  shutil.copy(EXAMPLE, tmp_path)
  ours = {'PYTHONPATH', 'XLA_FLAGS'}  # another XLA ends over a flag that it does not know
  clean = {name: value for name, value in os.environ.items() if name not in ours}
  result = subprocess.run(
    [home / 'bin/python', EXAMPLE.name],
    cwd=tmp_path,
    env=clean,
    check=True,
    capture_output=True,
    text=True,
  )
  assert re.match(r'It leaks: row_space, .* decides 100.0 %', result.stdout)
  assert (tmp_path / 'audit.html').stat().st_size > 10_000
  version = subprocess.run(
    [home / 'bin/mamljax', '--version'],
    cwd=tmp_path,
    env=clean,
    check=True,
    capture_output=True,
    text=True,
  )
  assert version.stdout.strip() == PROJECT['version']
