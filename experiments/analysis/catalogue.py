"""The catalogue of experiments: what each flagfile asks, and what came out, from its header.

A header is comments before the flags: the title, a blank line, fields in a fixed order, and
notes after another blank line. A field goes on in lines that are indented further.

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
_MORE = re.compile(r'#   (\S.*)')
_COMMAND = re.compile(r'python -m experiments\.(\w+) --flagfile=(\S+)')
_KINDS = ('Table', 'Figure')  # the paper's, in the order of a report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """An experiment: a flagfile, as its header describes it.

  Attributes:
    name: of the flagfile in the folder of all of them, without its ending: 'paper/table1'.
    title: a heading.
    command: what runs it.
    question: what it is to answer.
    claim: what the paper says about it; '' for nothing.
    paper: the table or figure of the paper that it belongs to; '' for none.
    data: the data sets, and where they are if not in those that `prepare_data` prepares.
    time: what to expect.
    result: what came out, and what to expect again.
    made: how the published results were made where not with the flags as they stand.
    notes: all else that a reader should know.
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
    """The flagfile."""
    return FLAGFILES / f'{self.name}.flags'

  @property
  def subject(self) -> str:
    """The folder that the flagfile is in, and the results; '' for the first to run."""
    return self.name.rpartition('/')[0]

  @property
  def module(self) -> str:
    """The command of the experiments that runs it, such as 'sweep'."""
    found = _COMMAND.fullmatch(self.command)
    return found[1] if found else ''

  @property
  def was_run(self) -> bool:
    """Whether there are published results of it."""
    return not self.result.startswith('not run')


@functools.cache
def catalogue() -> tuple[Entry, ...]:
  """All experiments, in the order of their lists and of a report.

  Raises:
    InputError: if a header is not as it must be.
  """
  names = (path.relative_to(FLAGFILES) for path in FLAGFILES.rglob('*.flags'))
  entries = (read_entry(FLAGFILES / name, name.with_suffix('').as_posix()) for name in names)
  return tuple(sorted(entries, key=_position))


def matching(name: str, entries: Sequence[Entry] | None = None) -> list[Entry]:
  """The experiments that a name may mean: one, those of a subject, or those called alike.

  Args:
    name: such as 'paper/table1', 'paper' or 'table1'.
    entries: where to look; all of the catalogue by default.
  """
  entries = catalogue() if entries is None else entries
  meanings = (
    [entry for entry in entries if entry.name == name],
    [entry for entry in entries if entry.subject == name != ''],
    [entry for entry in entries if entry.name.rpartition('/')[2] == name],
  )
  return next(filter(None, meanings), [])


def known_names() -> set[str]:
  """All that `matching` finds something for."""
  names = [entry.name for entry in catalogue()]
  return {*names, *(name.rpartition('/')[2] for name in names), *filter(None, SUBJECTS)}


def described(folder: Path) -> Entry | None:
  """The experiment whose results a folder holds, by its name; None if no flagfile says so.

  A folder of a quick look is called as that of the whole, and `_quick`.
  """
  parts = [part.removesuffix('_quick') for part in folder.resolve().parts[-2:]]
  named = matching('/'.join(parts)) or matching(parts[-1])
  return named[0] if len(named) == 1 else None


def read_entry(path: Path, name: str) -> Entry:
  """The header of a flagfile.

  Raises:
    InputError: if it is not as the module describes it; names the file and the line.
  """
  header = [*_header(path)]
  title, blank, *rest = [*header, '', '']
  if not title.startswith('# ') or blank != '#':
    raise _wrong(path, 1, 'a header begins with "# Title" and a line "#"')
  end = rest.index('#') if '#' in rest else len(header) - 2
  fields = _fields(path, rest[:end])
  for number, line in enumerate(rest[end:], end + 3):
    if line and not re.fullmatch(r'#( \S.*)?', line):
      raise _wrong(path, number, f'notes are lines "# ...", not {line!r}')
  missing = [key for key in _FIELDS if key not in fields and key not in _OPTIONAL]
  if missing:
    raise _wrong(path, 3, f'the header has no field {missing[0]!r}')
  notes = '\n'.join(line[2:] for line in rest[end:])
  return Entry(name=name, title=title[2:], notes=notes.strip(), **fields)


def _header(path: Path) -> Iterator[str]:
  """The lines of a flagfile before its flags."""
  for line in path.read_text(encoding='utf-8').splitlines():
    if not line.startswith('#'):
      return
    yield line.rstrip()


def _fields(path: Path, lines: Sequence[str]) -> dict[str, str]:
  """The fields of a header, in their order."""
  fields: dict[str, str] = {}
  for number, line in enumerate(lines, 3):
    if fields and (more := _MORE.fullmatch(line)):
      key = next(reversed(fields))
      fields[key] += f' {more[1]}'
    elif (found := _FIELD.fullmatch(line)) and _follows(found[1], fields):
      fields[found[1]] = found[2]
    else:
      raise _wrong(path, number, f'fields are {", ".join(_FIELDS)}, in this order: {line!r}')
  return fields


def _follows(key: str, fields: dict[str, str]) -> bool:
  """Whether a field may stand after these."""
  return key in _FIELDS and all(_FIELDS.index(key) > _FIELDS.index(name) for name in fields)


def _wrong(path: Path, number: int, reason: str) -> InputError:
  return InputError(f'{path}, line {number}: {reason}')


def _position(entry: Entry) -> tuple[object, ...]:
  """Sorts experiments: by subject; of the paper's, tables come before figures."""
  kinds = [kind for kind in _KINDS if entry.paper.startswith(kind)]
  kind = _KINDS.index(kinds[0]) if kinds and entry.subject == 'paper' else len(_KINDS)
  numbers = re.split(r'(\d+)', entry.name)
  natural = [int(part) if part.isdigit() else part for part in numbers]
  subjects = [*SUBJECTS]
  where = subjects.index(entry.subject) if entry.subject in subjects else len(subjects)
  return (where, kind, natural)
