"""Files that are whole or absent, whatever interrupts their writing; damaged ones kept."""

import contextlib
import hashlib
import os
import time
import uuid
from pathlib import Path

from mamljax.errors import InputError

_DIGEST_SIZE = hashlib.sha256().digest_size


class DamagedFile(InputError):
  """A file whose content is not what was written; the message names the file."""


def write_bytes(path: str | os.PathLike[str], data: bytes, *, private: bool = False) -> None:
  """Writes `data` to `path` so that a reader finds the old file or the new, never a part.

  The data go to a temporary file in the same folder, which is made if need be; the file is
  synced and then renamed. On failure no part of it is left, and an earlier file stays.

  Args:
    path: the file.
    data: its content.
    private: whether its user alone may read it, whatever the umask: for private images.

  Raises:
    InputError: if the folder cannot be written; it names the folder and the reason.
  """
  path = Path(path)
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.tmp')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(temporary, 'xb', opener=_open_private if private else None) as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError as error:
    raise InputError(
      f'cannot write {path.name} in the folder {path.parent}: {error.strerror}'
    ) from error
  finally:
    with contextlib.suppress(OSError):
      temporary.unlink()  # still there only on failure
  _sync_folder(path.parent)


def write_sealed(
  path: str | os.PathLike[str], payload: bytes, *, private: bool = False
) -> None:
  """`write_bytes` of the payload behind its SHA-256, for `read_sealed`."""
  write_bytes(path, hashlib.sha256(payload).digest() + payload, private=private)


def read_sealed(path: str | os.PathLike[str]) -> bytes:
  """The payload that `write_sealed` wrote.

  Raises:
    DamagedFile: if a byte of the file is missing or changed.
    OSError: if it cannot be read.
  """
  data = Path(path).read_bytes()
  digest, payload = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
  if hashlib.sha256(payload).digest() != digest:
    raise DamagedFile(f'{path} is damaged')
  return payload


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """`write_bytes` of the text in UTF-8, its line ends untouched."""
  write_bytes(path, text.encode())


def set_aside(path: str | os.PathLike[str]) -> Path:
  """Renames a damaged file to `<name>.damaged` (or `.damaged.1`, ...); returns the new path.

  Nothing is deleted or overwritten.

  Raises:
    InputError: if the file cannot be renamed.
  """
  path = Path(path)
  aside = path.with_name(f'{path.name}.damaged')
  number = 0
  while aside.exists():
    number += 1
    aside = path.with_name(f'{path.name}.damaged.{number}')
  try:
    path.rename(aside)
  except OSError as error:
    raise InputError(f'cannot rename {path} to {aside.name}: {error.strerror}') from error
  return aside


def remove_leftovers(folder: str | os.PathLike[str], *, seconds: float = 3600) -> None:
  """Deletes the temporary files of writers that were killed, if they are that old."""
  for path in Path(folder).glob('.*.tmp'):
    # Another process may be quicker.
    with contextlib.suppress(OSError):
      old = time.time() - path.stat().st_mtime > seconds
      path.unlink() if old else None


def _open_private(path: str, flags: int) -> int:
  return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
  """Makes a rename survive a power cut, where the file system lets a folder be synced."""
  with contextlib.suppress(OSError):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
      os.fsync(descriptor)
    finally:
      os.close(descriptor)
