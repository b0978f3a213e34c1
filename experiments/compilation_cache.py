"""Entries of JAX's compilation cache that cannot be read: deleted, to be made again.

A process that is killed while it writes one leaves a part of it. JAX warns of it each time,
compiles, and never replaces it.
"""

import contextlib
import glob
import importlib
import re
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax
from absl import logging

_WARNING = 'Error reading persistent compilation cache entry for '
_UNREADABLE = re.compile(f"{_WARNING}'([^']+)'")


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
