"""The running command, known before its module is imported; needs no other module of ours."""

import contextlib
import os
import re
import sys
from pathlib import Path


def name() -> str:
  """The name of the command, with which the lines that it prints begin."""
  return about_to_run() or Path(sys.argv[0]).stem


def about_to_run() -> str:
  """The module of this package that Python is about to run as a command; '' if none."""
  if sys.argv[:1] != ['-m']:
    return ''
  pattern = r'(?:-\w*m)?experiments\.(\w+)'
  matches = (re.fullmatch(pattern, argument) for argument in sys.orig_argv)
  return next((match[1] for match in matches if match), '')


def say(message: str) -> None:
  """Writes a line on standard error at once.

  A signal handler may run inside a write to one of Python's streams, so it avoids them.
  """
  with contextlib.suppress(OSError):
    os.write(2, f'{name()}: {message}\n'.encode())


def fill_descriptors() -> None:
  """Opens descriptors 0 to 2 where they are closed.

  Else a file opened later would get such a number, and with it whatever is printed.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number
