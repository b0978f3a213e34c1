"""The arguments of a command, with the lines of each flagfile in its place."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mamljax.errors import InputError

_DIRECTIVE = re.compile(r'--?flagfile(?:=(.*))?', re.DOTALL)
_LARGEST = 2**20  # bytes of a flagfile
_LONGEST = 100  # letters of a flag's name


def expand(arguments: Sequence[str], *, within: tuple[str, ...] = ()) -> list[str]:
  """The arguments with flagfiles replaced by their lines, without comments and blank ones.

  absl does the same, but in the encoding of the user's locale, and with a traceback where a
  file is in another.

  Args:
    arguments: of the command, or the lines of a flagfile.
    within: the flagfiles that these are in.

  Raises:
    InputError: if a flagfile cannot be read, is no text in UTF-8, or includes itself; if a flag
      has a name that is too long to look for the one that was meant.
  """
  expanded, rest = [], iter(arguments)
  for argument in rest:
    found = _DIRECTIVE.fullmatch(argument)
    if not found:
      expanded.append(_checked(argument))
      continue
    path = (next(rest, '') if found[1] is None else found[1]).strip()
    if path in within:
      raise InputError(f'the flagfile {path} includes itself')
    expanded += expand([*_lines(path)], within=(*within, path))
  return expanded


def _checked(argument: str) -> str:
  name = argument.partition('=')[0]
  if name.startswith('-') and len(name) > _LONGEST:
    raise InputError(f'unknown flag {name[:_LONGEST]}...')
  return argument


def folder(flag: str, text: str | None) -> Path:
  """The folder that a flag names.

  Raises:
    InputError: if it names none, or is in the home of a user who is not known.
  """
  if not text:
    raise InputError(f'--{flag}= names no folder: give one, or . for this one')
  try:
    return Path(text).expanduser()
  except RuntimeError:
    raise InputError(f'--{flag}={text}: no home is known of {Path(text).parts[0]}') from None


def _lines(path: str) -> Iterator[str]:
  """The lines of a flagfile that are no comments."""
  for line in io.StringIO(_read(path), newline=None):
    if (text := line.strip()) and not text.startswith(('#', '//')):
      yield text


def _read(path: str) -> str:
  """The text of a flagfile."""
  if not path:
    raise InputError('--flagfile= names no file')
  try:
    with open(os.path.expanduser(path), 'rb') as file:
      data = file.read(_LARGEST + 1)
  except OSError as error:
    raise InputError(f'cannot read the flagfile: {error.strerror}: {path!r}') from error
  if len(data) > _LARGEST:
    raise InputError(f'{path!r} is no flagfile: it is larger than {_LARGEST >> 20} MiB')
  try:
    text = data.decode('utf-8-sig')  # Windows puts a mark before the first line
  except UnicodeDecodeError:
    text = '\0'
  if '\0' in text:  # as in UTF-16
    raise InputError(f'the flagfile {path!r} is no text in UTF-8: save it as such')
  return text
