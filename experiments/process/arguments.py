"""Command-line arguments, with the lines of each flagfile in the place of the flagfile."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mamljax.errors import InputError

_DIRECTIVE = re.compile(r'--?flagfile(?:=(.*))?', re.DOTALL)
_FLAGFILES = Path(__file__).parent.parent / 'flagfiles'
_MAX_BYTES = 2**20  # of a flagfile
_MAX_NAME = 100  # characters of a flag's name


def expand(arguments: Sequence[str], *, within: tuple[str, ...] = ()) -> list[str]:
  """The arguments with each flagfile replaced by its lines, without comments and blank lines.

  absl does the same, but reads a file in the encoding of the user's locale, and fails with a
  traceback on a file in another encoding.

  Args:
    arguments: the arguments of the command, or the lines of a flagfile.
    within: the flagfiles that these lines come from, outermost first.

  Raises:
    InputError: if a flagfile cannot be read, is not text in UTF-8, or includes itself; if the
      name of a flag is too long to search for the nearest right one.
  """
  expanded, rest = [], iter(arguments)
  for argument in rest:
    directive = _DIRECTIVE.fullmatch(argument)
    if not directive:
      expanded.append(_checked(argument))
      continue
    path = (next(rest, '') if directive[1] is None else directive[1]).strip()
    if path in within:
      raise InputError(f'the flagfile {path} includes itself')
    expanded += expand([*_lines(path)], within=(*within, path))
  return expanded


def _checked(argument: str) -> str:
  """The argument, unless it is a flag with an absurdly long name."""
  name = argument.partition('=')[0]
  if name.startswith('-') and len(name) > _MAX_NAME:
    raise InputError(f'unknown flag {name[:_MAX_NAME]}...')
  return argument


def folder(flag: str, text: str | None) -> Path:
  """The folder that a flag names.

  Raises:
    InputError: if the text is empty, or names the home of an unknown user.
  """
  if not text:
    raise InputError(f'--{flag}= names no folder: give one, or . for this one')
  try:
    return Path(text).expanduser()
  except RuntimeError:
    user = Path(text).parts[0]
    raise InputError(f'--{flag}={text}: the home of {user} is not known') from None


def _lines(path: str) -> Iterator[str]:
  """The lines of a flagfile, without comments and blank lines."""
  for line in io.StringIO(_read(path), newline=None):
    if (text := line.strip()) and not text.startswith(('#', '//')):
      yield text


def _found(path: str) -> Path:
  """The place of a flagfile: as it is given, else among those of the package."""
  given, packaged = Path(os.path.expanduser(path)), _FLAGFILES / path
  return packaged if packaged.is_file() and not given.exists() else given


def _read(path: str) -> str:
  """The text of a flagfile."""
  if not path:
    raise InputError('--flagfile= names no file')
  try:
    with _found(path).open('rb') as file:
      data = file.read(_MAX_BYTES + 1)
  except OSError as error:
    raise InputError(f'cannot read the flagfile: {error.strerror}: {path!r}') from error
  if len(data) > _MAX_BYTES:
    raise InputError(f'{path!r} is no flagfile: it is larger than {_MAX_BYTES >> 20} MiB')
  try:
    text = data.decode('utf-8-sig')  # editors on Windows put a byte-order mark first
  except UnicodeDecodeError:
    text = '\0'
  if '\0' in text:  # UTF-16 may decode, with a zero byte in every other place
    raise InputError(f'the flagfile {path!r} is no text in UTF-8: save it as such')
  return text
