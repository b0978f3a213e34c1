"""Files that are whole or absent, whatever interrupts their writing; damaged ones kept."""

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

_DIGEST_SIZE = hashlib.sha256().digest_size
_OURS = b'mamljax\n'  # what a sealed file begins with


_FENCE = contextvars.ContextVar[Callable[[], object]]('_FENCE', default=lambda: None)


class DamagedFile(InputError):
  """A file whose content is not what was written; the message names the file."""


class ForeignFile(DamagedFile):
  """A file that another program wrote."""


def regular(path: str | os.PathLike[str], *, kind: str = '') -> Path:
  """The path, if it is a regular file's: a pipe keeps its reader waiting, a device never ends.

  Args:
    path: of what is to be read.
    kind: what it is to be read as, such as '.npz', for the message.

  Raises:
    InputError: if it is that of something else.
    OSError: if there is nothing.
  """
  path = Path(path)
  mode = path.stat().st_mode
  if not stat.S_ISREG(mode):
    found = 'a folder' if stat.S_ISDIR(mode) else 'a pipe or a device'
    told = f' as {kind}' if kind else ''
    raise InputError(f'cannot read {path}{told}: it is {found}, not a file')
  return path


@contextlib.contextmanager
def fenced(check: Callable[[], object]) -> Iterator[None]:
  """Has `check` called before each file is put in its place, for as long as it lasts.

  What it raises leaves the earlier file: nothing is written by who has lost the right to.
  """
  token = _FENCE.set(check)
  try:
    yield
  finally:
    _FENCE.reset(token)


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
    _FENCE.get()()
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
  """`write_bytes` of the payload behind our name and its SHA-256, for `read_sealed`."""
  write_bytes(path, _OURS + hashlib.sha256(payload).digest() + payload, private=private)


def read_sealed(path: str | os.PathLike[str]) -> bytes:
  """The payload that `write_sealed` wrote.

  Raises:
    DamagedFile: if a byte of the file is missing or changed.
    ForeignFile: if it is none that `write_sealed` wrote.
    InputError: if it is no file.
    OSError: if it cannot be read.
  """
  data = regular(path).read_bytes()
  sealed = data.removeprefix(_OURS)  # earlier versions wrote none
  digest, payload = sealed[:_DIGEST_SIZE], sealed[_DIGEST_SIZE:]
  if hashlib.sha256(payload).digest() == digest:
    return payload
  # The name may be what is damaged, or cut short: most of it is enough.
  alike = [ours == theirs for ours, theirs in zip(_OURS, data, strict=False)]
  if 2 * sum(alike) >= len(alike):
    raise DamagedFile(f'{path} is damaged')
  raise ForeignFile(f'{path} is not a file that mamljax wrote')


def write_text(path: str | os.PathLike[str], text: str) -> None:
  """`write_bytes` of the text in UTF-8 as `encoded` gives it, its line ends untouched."""
  write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
  r"""A text as UTF-8, whatever file names stand in it.

  Python holds the bytes of a name that it cannot decode as surrogates, which UTF-8 has not.
  Those that are UTF-8 after all, as under an ASCII locale, are what they were; others are
  escaped, as `\xff`.
  """
  try:
    data = text.encode('utf-8', 'surrogateescape')
  except UnicodeEncodeError:  # a surrogate that no file name has
    return text.encode('utf-8', 'backslashreplace')
  return data.decode('utf-8', 'backslashreplace').encode()


def remove(path: str | os.PathLike[str]) -> None:
  """Deletes a file, if it is there.

  Raises:
    InputError: if it cannot be deleted.
  """
  try:
    Path(path).unlink(missing_ok=True)
  except OSError as error:
    raise InputError(f'cannot delete {path}: {error.strerror}') from error


def set_aside(path: str | os.PathLike[str], *, reason: str = 'damaged') -> Path:
  """Renames a file to `<name>.damaged` (or `.damaged.1`, ...); returns the new path.

  Nothing is deleted or overwritten.

  Args:
    path: the file.
    reason: what is added to its name.

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
