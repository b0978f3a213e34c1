"""JAX's compilation cache: its user's alone, and entries that cannot be read are made again.

A process that is killed while it writes an entry leaves a part of it. JAX warns of it each
time, compiles, and never replaces it.
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
  """Makes a folder of the cache, and the one around it, such that nobody else may write there.

  Entries are machine code: whoever can write one runs what he likes in the process that reads
  it. Whether that is so now; where it is not, there is to be no cache.
  """
  try:
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    return all(_is_private(path) for path in (folder.parent, folder))
  except OSError:
    return False


def _is_private(folder: Path) -> bool:
  folder.mkdir(mode=0o700, exist_ok=True)
  told = folder.stat()
  if told.st_uid != getattr(os, 'getuid', lambda: told.st_uid)():
    return False
  if stat.S_IMODE(told.st_mode) & 0o077:  # as the umask of an earlier command had it
    folder.chmod(0o700)
  return True


def mend() -> None:
  """Has what JAX warns of from now on deleted; all other warnings are shown as they were."""
  show = warnings.showwarning

  def mend_or_show(message: Any, *where: Any, **options: Any) -> None:
    found = _UNREADABLE.match(str(message))
    if not found:
      show(message, *where, **options)
      return
    forget(Path(jax.config.values['jax_compilation_cache_dir']), found[1])
    logging.warning('a damaged entry of the compilation cache is made again: %s', found[1])

  warnings.showwarning = mend_or_show
  warnings.filterwarnings('always', _WARNING)  # not only the first of the same words


def forget(folder: Path, module: str) -> None:
  """Deletes the entries of a compiled module that are damaged: all, if none looks so."""
  entries = list(folder.glob(f'{glob.escape(module)}-*-cache'))
  for path in [entry for entry in entries if not _is_whole(entry)] or entries:
    with contextlib.suppress(OSError):  # another process may be quicker
      path.unlink()


def _is_whole(path: Path) -> bool:
  """Whether an entry can be unpacked, as JAX packs it: by zstandard if installed, else zlib."""
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
