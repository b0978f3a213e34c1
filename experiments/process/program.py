"""The command that runs, also before its module is imported; nothing here needs another."""

import contextlib
import os
import re
import sys
from pathlib import Path


def name() -> str:
  """The name of the command, as its lines begin."""
  return about_to_run() or Path(sys.argv[0]).stem


def about_to_run() -> str:
  """The module of this package that Python looks for, to run it as a command; '' if none."""
  if sys.argv[:1] != ['-m']:
    return ''
  found = (re.fullmatch(r'(?:-\w*m)?experiments\.(\w+)', told) for told in sys.orig_argv)
  return next((module[1] for module in found if module), '')


def say(message: str) -> None:
  """Writes a line on standard error at once, past Python's streams: a signal may be inside."""
  with contextlib.suppress(OSError):
    os.write(2, f'{name()}: {message}\n'.encode())


def fill_descriptors() -> None:
  """Opens descriptors 0 to 2 where they are closed: a file would get what is printed."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number
