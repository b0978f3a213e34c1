"""Before and beside the results: the folder they go to and the code they came from."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from experiments.process import provenance
from experiments.store import cells
from mamljax.errors import InputError


@pytest.mark.parametrize('path', ['new', 'new/deeper', '.'])
def test_checking_a_good_folder_leaves_nothing_behind(tmp_path, path):
  """The check comes before the rest is known to be right: nothing may be written yet."""
  cells.check_output_dir(tmp_path / path)
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('path', ['file', 'file/deeper', 'occupied', 'x' * 300])
def test_a_folder_that_cannot_be_is_refused(tmp_path, path):
  """Found out after hours of computing, the results would be lost."""
  (tmp_path / 'file').write_text('kept')
  (tmp_path / 'occupied').mkdir()
  (tmp_path / 'occupied' / 'cells').write_text('kept')
  with pytest.raises(InputError, match='cannot write to the output folder') as caught:
    cells.check_output_dir(tmp_path / path)
  assert '\n' not in str(caught.value)
  assert sorted(os.listdir(tmp_path)) == ['file', 'occupied']


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='root may write anywhere')
def test_a_read_only_folder_is_refused(tmp_path):
  """Permissions are the usual reason."""
  tmp_path.chmod(0o500)
  with pytest.raises(InputError, match='Permission denied'):
    cells.check_output_dir(tmp_path / 'out')


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='needs a read-only file system')
def test_a_read_only_file_system_is_refused():
  """Here even root may not write."""
  with pytest.raises(InputError, match='/proc/self/out: '):
    cells.check_output_dir('/proc/self/out')


def git(folder, *arguments):
  identity = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false']
  done = subprocess.run(
    ['git', *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
  )
  return done.stdout.strip()


@pytest.mark.skipif(shutil.which('git') is None, reason='needs git')
def test_git_revision_names_the_commit_and_says_dirty(tmp_path):
  """A number that no commit reproduces must say so; a tag must not hide the hash."""
  assert provenance.git_revision(folder=tmp_path) is None
  git(tmp_path, 'init', '--quiet')
  assert provenance.git_revision(folder=tmp_path) is None
  (tmp_path / 'code').write_text('1')
  git(tmp_path, 'add', 'code')
  git(tmp_path, 'commit', '--quiet', '--message=one')
  git(tmp_path, 'tag', '--annotate', 'v1', '--message=v1')
  head = git(tmp_path, 'rev-parse', 'HEAD')
  assert provenance.git_revision(folder=tmp_path) == head
  (tmp_path / 'code').write_text('2')
  assert provenance.git_revision(folder=tmp_path) == f'{head}-dirty'


def test_versions_name_what_a_result_depends_on():
  """Without them a change of numbers between releases could not be traced."""
  versions = provenance.versions()
  assert set(versions) == {'python', 'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'mamljax'}
  assert versions['numpy'] == np.__version__
