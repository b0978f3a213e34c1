"""What computed a result: the versions of the packages, and the commit of the code."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'mamljax')


def versions() -> dict[str, str | None]:
  """The versions of Python and of the packages that a result depends on.

  None for a package that is importable but not installed.
  """
  return {'python': platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def git_revision(*, folder: str | os.PathLike[str] = Path(__file__).parent) -> str | None:
  """The commit that `folder` is at, with '-dirty' if tracked files differ; None outside git."""
  command = ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
  try:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
