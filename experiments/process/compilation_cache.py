"""JAX's compilation cache: private to its user, with damaged entries compiled anew.

A process that is killed while it writes an entry leaves a part of it. JAX then warns at each
start and compiles, but never replaces the entry.
"""

import contextlib
import glob
import importlib
import os
import re
import stat
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax
from absl import logging

_WARNING = 'Error reading persistent compilation cache entry for '
_UNREADABLE = re.compile(f"{_WARNING}'([^']+)'")


def make_private(folder: Path) -> bool:
  """Makes the folder of the cache, and its parent, writable by this user alone.

  Entries are machine code: a user who can write one can run any code in the process that
  reads it.

  Returns:
    Whether both folders are private now; if they are not, no cache may be used.
  """
  try:
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    return all(_is_private(path) for path in (folder.parent, folder))
  except OSError:
    return False


def _is_private(folder: Path) -> bool:
  """Makes a folder, or changes its mode, and tells whether this user alone may write there."""
  folder.mkdir(mode=0o700, exist_ok=True)
  status = folder.stat()
  if status.st_uid != getattr(os, 'getuid', lambda: status.st_uid)():
    return False
  if stat.S_IMODE(status.st_mode) & 0o077:  # made by an earlier command, with its umask
    folder.chmod(0o700)
  return True


def mend() -> None:
  """Deletes the entries that JAX warns about from now on, and shows all other warnings."""
  show = warnings.showwarning

  def mend_or_show(message: Any, *where: Any, **options: Any) -> None:
    unreadable = _UNREADABLE.match(str(message))
    if not unreadable:
      show(message, *where, **options)
      return
    module = unreadable[1]
    forget(Path(jax.config.values['jax_compilation_cache_dir']), module)
    logging.warning('a damaged entry of the compilation cache is made again: %s', module)

  warnings.showwarning = mend_or_show
  warnings.filterwarnings('always', _WARNING)  # by default Python shows equal warnings once


def forget(folder: Path, module: str) -> None:
  """Deletes the damaged entries of a compiled module, or all of them if none looks damaged."""
  entries = list(folder.glob(f'{glob.escape(module)}-*-cache'))
  for path in [entry for entry in entries if not _is_whole(entry)] or entries:
    with contextlib.suppress(OSError):  # another process may have deleted it first
      path.unlink()


def _is_whole(path: Path) -> bool:
  """Tests whether an entry can be decompressed by zlib or by zstandard.

  JAX compresses by zstandard where it is installed, and by zlib elsewhere.
  """
  try:
    data = path.read_bytes()
  except OSError:
    return False
  with contextlib.suppress(zlib.error):
    zlib.decompress(data)
    return True
  with contextlib.suppress(Exception):
    zstandard = importlib.import_module('zstandard')
    zstandard.ZstdDecompressor().decompress(data)
    return True
  return False
