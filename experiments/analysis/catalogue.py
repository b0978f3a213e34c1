"""The catalogue of experiments: question, command and result from each flagfile's header.

A header consists of the comments before the flags: a title, a blank line, fields in a fixed
order, and notes after another blank line. A field continues on lines that are indented further.

  # Table I: the support attack
  #
  # command: python -m experiments.sweep --flagfile=experiments/flagfiles/paper/table1.flags
  # question: Can the meta-learner tell whether an image is in the support set?
  # claim: accuracy 0.51 to 0.91
  # paper: Table I
  # data: mnist, fashion_mnist
  # time: 1 hour on two cores
  # result: accuracy 0.600 [0.53, 0.67] to 0.830 [0.77, 0.88]
  # made: the last two rows with --iterations=100
  #
  # Notes, in as many paragraphs as it takes.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mamljax.errors import InputError

FLAGFILES = Path(__file__).parents[1] / 'flagfiles'

# Folders of flagfiles and of results, in the order in which they are listed.
SUBJECTS = {
  '': 'First',
  'paper': "The paper's tables and figures",
  'attacks': "Other attacks on the paper's tasks",
  'protocol': 'Sizes of tasks, inner loops and networks',
  'noise': 'Noise, and attacks that know it or do not',
  'trained': 'Trained models',
  'tuning': 'How settings were chosen, on calibration images',
  'speed': 'Time, memory and scaling',
}

_OPTIONAL = ('claim', 'paper', 'made')
_FIELDS = ('command', 'question', 'claim', 'paper', 'data', 'time', 'result', 'made')
_FIELD = re.compile(r'# (\w+): (.*\S)\s*')
_CONTINUATION = re.compile(r'#   (\S.*)')
_COMMAND = re.compile(r'python -m experiments\.(\w+) --flagfile=(\S+)')
_KINDS = ('Table', 'Figure')  # of the paper, in the order of a report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """An experiment: a flagfile, as its header describes it.

  Attributes:
    name: path of the flagfile below `FLAGFILES`, without its suffix: 'paper/table1'.
    title: heading of the experiment.
    command: the command line that runs it.
    question: the question that it answers.
    claim: the statement of the paper about it; '' for none.
    paper: the table or figure of the paper that it belongs to; '' for none.
    data: the data sets, with their source if `prepare_data` does not prepare them.
    time: the expected running time.
    result: the published result, to be expected again.
    made: the differences between the flags and the way the published results were made.
    notes: everything else that a reader should know.
  """

  name: str
  title: str
  command: str
  question: str
  data: str
  time: str
  result: str
  claim: str = ''
  paper: str = ''
  made: str = ''
  notes: str = ''

  @property
  def path(self) -> Path:
    """The path of the flagfile."""
    return FLAGFILES / f'{self.name}.flags'

  @property
  def subject(self) -> str:
    """The folder of the flagfile and of the results; '' for the experiment to run first."""
    return self.name.rpartition('/')[0]

  @property
  def module(self) -> str:
    """The module of `experiments` that runs the experiment, such as 'sweep'."""
    match = _COMMAND.fullmatch(self.command)
    return match[1] if match else ''

  @property
  def was_run(self) -> bool:
    """True if the experiment has published results."""
    return not self.result.startswith('not run')


@functools.cache
def catalogue() -> tuple[Entry, ...]:
  """All experiments, in the order in which lists and reports show them.

  Raises:
    InputError: if a header is malformed.
  """
  names = (path.relative_to(FLAGFILES) for path in FLAGFILES.rglob('*.flags'))
  entries = (read_entry(FLAGFILES / name, name.with_suffix('').as_posix()) for name in names)
  return tuple(sorted(entries, key=_position))


def matching(name: str, *, entries: Sequence[Entry] | None = None) -> list[Entry]:
  """The experiments that a name may mean: one, a subject's, or those with the same last part.

  Args:
    name: a name such as 'paper/table1', 'paper' or 'table1'.
    entries: the experiments to choose from; the whole catalogue by default.
  """
  entries = catalogue() if entries is None else entries
  meanings = (
    [entry for entry in entries if entry.name == name],
    [entry for entry in entries if entry.subject == name != ''],
    [entry for entry in entries if entry.name.rpartition('/')[2] == name],
  )
  return next(filter(None, meanings), [])


def known_names() -> set[str]:
  """All names for which `matching` finds an experiment."""
  names = [entry.name for entry in catalogue()]
  return {*names, *(name.rpartition('/')[2] for name in names), *filter(None, SUBJECTS)}


def described(folder: Path) -> Entry | None:
  """The experiment that a folder of results is named after; None if there is no single one.

  The folder of a quick run has the name of that of the full run with `_quick` at its end.
  """
  parts = [part.removesuffix('_quick') for part in folder.resolve().parts[-2:]]
  named = matching('/'.join(parts)) or matching(parts[-1])
  return named[0] if len(named) == 1 else None


def read_entry(path: Path, name: str) -> Entry:
  """Reads the header of a flagfile.

  Raises:
    InputError: if the header does not have the form that the module's docstring describes; the
      message names the file and the line.
  """
  header = [*_header(path)]
  title, blank, *rest = [*header, '', '']
  if not title.startswith('# ') or blank != '#':
    raise _malformed(path, 1, 'a header begins with "# Title" and a line "#"')
  end = rest.index('#') if '#' in rest else len(header) - 2
  fields = _fields(path, rest[:end])
  for number, line in enumerate(rest[end:], end + 3):
    if line and not re.fullmatch(r'#( \S.*)?', line):
      raise _malformed(path, number, f'notes are lines "# ...", not {line!r}')
  missing = [key for key in _FIELDS if key not in fields and key not in _OPTIONAL]
  if missing:
    raise _malformed(path, 3, f'the header has no field {missing[0]!r}')
  notes = '\n'.join(line[2:] for line in rest[end:])
  return Entry(name=name, title=title[2:], notes=notes.strip(), **fields)


def _header(path: Path) -> Iterator[str]:
  """The comment lines of a flagfile before its flags."""
  for line in path.read_text(encoding='utf-8').splitlines():
    if not line.startswith('#'):
      return
    yield line.rstrip()


def _fields(path: Path, lines: Sequence[str]) -> dict[str, str]:
  """The fields of a header, in their order, from its lines after the blank one."""
  fields: dict[str, str] = {}
  for number, line in enumerate(lines, 3):  # of the file: title and blank line come first
    if fields and (continuation := _CONTINUATION.fullmatch(line)):
      key = next(reversed(fields))
      fields[key] += f' {continuation[1]}'
    elif (field := _FIELD.fullmatch(line)) and _may_follow(field[1], fields):
      fields[field[1]] = field[2]
    else:
      raise _malformed(
        path, number, f'fields are {", ".join(_FIELDS)}, in this order: {line!r}'
      )
  return fields


def _may_follow(key: str, fields: dict[str, str]) -> bool:
  """Tests whether a key is that of a field that may stand after the given ones."""
  return key in _FIELDS and all(_FIELDS.index(key) > _FIELDS.index(name) for name in fields)


def _malformed(path: Path, number: int, reason: str) -> InputError:
  """The error for a line of a header."""
  return InputError(f'{path}, line {number}: {reason}')


def _position(entry: Entry) -> tuple[object, ...]:
  """Sort key of an experiment: its subject, tables of the paper before figures, its name."""
  kinds = [kind for kind in _KINDS if entry.paper.startswith(kind)]
  kind = _KINDS.index(kinds[0]) if kinds and entry.subject == 'paper' else len(_KINDS)
  numbers = re.split(r'(\d+)', entry.name)
  natural = [int(part) if part.isdigit() else part for part in numbers]
  subjects = [*SUBJECTS]
  subject = subjects.index(entry.subject) if entry.subject in subjects else len(subjects)
  return (subject, kind, natural)
