"""File of an audit's report, refused before anything is computed if it cannot be one."""

from pathlib import Path

from absl import flags

from experiments.process import cli
from mamljax.errors import InputError
from mamljax.reports import Report, UpdateReport
from mamljax.reports.writing import SUFFIXES


def define(default: str) -> None:
  """Defines the flag of the file."""
  told = 'file of the report, .html or .json'
  flags.DEFINE_string('output', default, told, module_name=cli.group('report'))


def check(text: str) -> Path:
  """The file that the flag names.

  Raises:
    InputError: if its suffix is another, or its folder does not exist.
  """
  path = Path(text).expanduser()
  if path.suffix not in SUFFIXES:
    raise InputError(f'--output={text} must end in {" or ".join(SUFFIXES)}')
  if not path.absolute().parent.is_dir():
    raise InputError(f'--output={text}: there is no folder {path.absolute().parent}')
  return path


def write(report: Report | UpdateReport, path: Path) -> None:
  """Prints a report and writes it."""
  print(report)
  report.save(path)
  print(f'\nThe report is {path}')
