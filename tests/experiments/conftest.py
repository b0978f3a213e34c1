"""One tiny sweep for all tests of a process: a copy of it is where most of them begin."""

import shutil
from pathlib import Path

import pytest

from tests.experiments.tiny import GRID, LOSS, Finished, arguments, run, write_npz


@pytest.fixture(autouse=True, scope='module')
def compilation():
  """Optimised code in every module: `finished` is for all, and other code is another cell."""


@pytest.fixture(scope='session')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
  """A sweep of eight cells; read only."""
  base = tmp_path_factory.mktemp('finished')
  npz, folder = write_npz(base / 'tiny.npz'), base / 'out'
  ended = run(arguments(npz, folder, **GRID))
  assert ended.status == 0, ended.err
  return Finished(npz, folder, ended)


@pytest.fixture(scope='session')
def light(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
  """A sweep of eight cells that takes no time, never interrupted; read only."""
  folder = tmp_path_factory.mktemp('light') / 'out'
  ended = run(arguments(finished.npz, folder, **LOSS))
  assert ended.status == 0, ended.err
  return Finished(finished.npz, folder, ended)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Finished:
  """The same sweep in a folder of one's own, its files as old as they were."""
  folder = tmp_path / 'out'
  shutil.copytree(finished.folder, folder)
  return finished._replace(folder=folder)
