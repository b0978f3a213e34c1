"""Atomic files: whole or absent, however their writing is interrupted.

A sealed file also carries its own SHA-256, so that later damage is noticed. Damaged files are
renamed, never deleted.
"""

import contextlib
import contextvars
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from mamljax.errors import InputError
from mamljax.file_kinds import kind_of

_DIGEST_SIZE = hashlib.sha256().digest_size
_SIGNATURE = b'mamljax\n'  # the first bytes of a sealed file

# Called before every rename. A context variable, so that a whole call tree can be fenced
# without a parameter in each of its functions.
_FENCE = contextvars.ContextVar[Callable[[], object]]('_FENCE', default=lambda: None)


class DamagedFile(InputError):
  """A file whose content differs from what was written; the message names the file."""


class ForeignFile(DamagedFile):
  """A file that another program wrote."""


def regular(path: str | os.PathLike[str], *, kind: str = '') -> Path:
  """The path of a regular file, checked before it is opened.

  To read a pipe would wait for a writer, and a device may never end.

  Args:
    path: the path to check.
    kind: the format to read, such as '.npz', for the message.

  Raises:
    InputError: if there is a folder, a pipe or a device at the path.
    OSError: if there is nothing.
  """
  path = Path(path)
  mode = path.stat().st_mode
  if not stat.S_ISREG(mode):
    actual = 'a folder' if stat.S_ISDIR(mode) else 'a pipe or a device'
    purpose = f' as {kind}' if kind else ''
    raise InputError(f'cannot read {path}{purpose}: it is {actual}, not a file')
  return path


@contextlib.contextmanager
def fenced(check: Callable[[], object]) -> Iterator[None]:
  """Calls `check` before each file written inside the context replaces an earlier one.

  If `check` raises, the earlier file stays: a process whose lease has passed to another one
  cannot overwrite the other's work.
  """
  token = _FENCE.set(check)
  try:
    yield
  finally:
    _FENCE.reset(token)


def write_bytes(path: str | os.PathLike[str], data: bytes, *, private: bool = False) -> None:
  """Writes `data` to `path` so that a reader finds the old file or the new one, never a part.

  The data go to a temporary file in the same folder, which is made if need be; the temporary
  file is synced to disk and then renamed. On failure it is deleted, and an earlier file stays.

  Args:
    path: the file.
    data: the new content.
    private: make the file readable by its owner alone, whatever the umask: for private
      images.

  Raises:
    InputError: if the folder cannot be written; the message names it and the reason.
  """
  path = Path(path)
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.tmp')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(temporary, 'xb', opener=_open_private if private else None) as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    _FENCE.get()()  # as late as possible: the right to write may be lost at any time
    os.replace(temporary, path)
  except OSError as error:
    raise InputError(
      f'cannot write {path.name} in the folder {path.parent}: {error.strerror}'
    ) from error
  finally:
    with contextlib.suppress(OSError):
      temporary.unlink()  # exists only after a failure
  _sync_folder(path.parent)


def write_sealed(
  path: str | os.PathLike[str], payload: bytes, *, private: bool = False
) -> None:
  """Writes a payload behind a signature and its SHA-256, for `read_sealed` to verify."""
  write_bytes(path, _SIGNATURE + hashlib.sha256(payload).digest() + payload, private=private)


def read_sealed(path: str | os.PathLike[str]) -> bytes:
  """The payload that `write_sealed` wrote, verified.

  Raises:
    DamagedFile: if a byte of the file is missing or changed.
    ForeignFile: if `write_sealed` did not write the file.
    InputError: if the path is not that of a regular file.
    OSError: if the file cannot be read.
  """
  data = regular(path).read_bytes()
  sealed = data.removeprefix(_SIGNATURE)  # earlier versions wrote no signature
  digest, payload = sealed[:_DIGEST_SIZE], sealed[_DIGEST_SIZE:]
  if hashlib.sha256(payload).digest() == digest:
    return payload
  # The damage may lie in the signature itself, or cut it short: half of it is enough.
  matches = [expected == byte for expected, byte in zip(_SIGNATURE, data, strict=False)]
  if 2 * sum(matches) >= len(matches):
    raise DamagedFile(f'{path} is damaged')
  kind = kind_of(path)
  what = f': it is {kind.what}, read by {kind.reader}' if kind.reader else ''
  raise ForeignFile(f'{path} is not a file that mamljax wrote{what}')


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """Writes a text in UTF-8, as `encoded` gives it, with its line ends untouched."""
  write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
  r"""A text as UTF-8, also where it quotes file names that are not valid text.

  Python represents a file name's undecodable bytes by surrogates, which UTF-8 cannot encode.
  Bytes that are UTF-8 after all, as under an ASCII locale, become what they were; others are
  escaped, as in `\xff`.
  """
  try:
    data = text.encode('utf-8', 'surrogateescape')
  except UnicodeEncodeError:  # a surrogate that stands for no byte
    return text.encode('utf-8', 'backslashreplace')
  return data.decode('utf-8', 'backslashreplace').encode()


def remove(path: str | os.PathLike[str]) -> None:
  """Deletes a file, if it exists.

  Raises:
    InputError: if the file cannot be deleted.
  """
  try:
    Path(path).unlink(missing_ok=True)
  except OSError as error:
    raise InputError(f'cannot delete {path}: {error.strerror}') from error


def set_aside(path: str | os.PathLike[str], *, reason: str = 'damaged') -> Path:
  """Renames a file to `<name>.<reason>`, or `<name>.<reason>.1`, ...: nothing is overwritten.

  Args:
    path: the file.
    reason: the suffix that says why the file is put away.

  Returns:
    The new path.

  Raises:
    InputError: if the file cannot be renamed.
  """
  path = Path(path)
  aside = path.with_name(f'{path.name}.{reason}')
  number = 0
  while aside.exists():
    number += 1
    aside = path.with_name(f'{path.name}.{reason}.{number}')
  try:
    path.rename(aside)
  except OSError as error:
    raise InputError(f'cannot rename {path} to {aside.name}: {error.strerror}') from error
  return aside


def remove_leftovers(folder: str | os.PathLike[str], *, seconds: float = 3600) -> None:
  """Deletes temporary files older than `seconds`: those of writers that were killed."""
  for path in Path(folder).glob('.*.tmp'):
    _remove_if_older(path, seconds)


def _remove_if_older(path: Path, seconds: float) -> None:
  # Another process may delete the same file first.
  with contextlib.suppress(OSError):
    if time.time() - path.stat().st_mtime > seconds:
      path.unlink()


def _open_private(path: str, flags: int) -> int:
  return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
  """Syncs a folder, where the file system allows it, so that a rename survives a power cut."""
  with contextlib.suppress(OSError):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
      os.fsync(descriptor)
    finally:
      os.close(descriptor)
