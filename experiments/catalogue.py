"""Catalogue of the experiments that can be run: `python -m experiments.catalogue`.

Lists all flagfiles by subject, with title and time. --about=NAME shows everything about one
flagfile, about all of a subject, or about those of the same name in several subjects. --write
renews the lists in BUILD.md and results/README.md, which come from the same headers.
"""

import csv
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from absl import flags

from experiments.analysis.catalogue import SUBJECTS, Entry, catalogue, known_names, matching
from experiments.process import cli
from mamljax import atomic
from mamljax.errors import InputError, unknown

_ABOUT = flags.DEFINE_string('about', '', 'flagfile or subject to show in full')
_WRITE = flags.DEFINE_bool('write', False, 'renew the lists in BUILD.md and results/README.md')

ROOT = Path(__file__).parents[1]
BEGIN = '<!-- made by python -m experiments.catalogue --write -->'
END = '<!-- end of what was made -->'
_WIDTH = 96


def main(argv: Sequence[str]) -> None:
  """Prints the catalogue, or a part of it in full, or renews the lists made from it."""
  del argv
  if _WRITE.value:
    for path, text in renewed().items():
      atomic.write_text(path, text)
      print(path)
  elif _ABOUT.value:
    print(*map(_description, _matching(_ABOUT.value)), sep='\n\n')
  else:
    print(*_overview(), sep='\n')


def renewed() -> dict[Path, str]:
  """The files with lists made from the catalogue, each with its new text.

  Raises:
    InputError: if a file has no place for its list.
  """
  lists = {ROOT / 'BUILD.md': _tables(), ROOT / 'results' / 'README.md': _findings()}
  return {path: _insert(path, '\n'.join(lines)) for path, lines in lists.items()}


def _insert(path: Path, lines: str) -> str:
  """The text of a file with these lines between the two marks."""
  before, begin, rest = path.read_text(encoding='utf-8').partition(BEGIN)
  _, end, after = rest.partition(END)
  if not (begin and end):
    raise InputError(f'{path} has no lines {BEGIN!r} and {END!r} for the list')
  return f'{before}{BEGIN}\n\n{lines}\n\n{END}{after}'


def _matching(name: str) -> list[Entry]:
  """The experiments of a name; an InputError with the nearest name if there are none."""
  entries = matching(name)
  if not entries:
    raise unknown('experiment', name, known_names())
  return entries


def _by_subject() -> Iterator[tuple[str, list[Entry]]]:
  """The subjects that have experiments, each with its experiments."""
  for subject in SUBJECTS:
    if entries := [entry for entry in catalogue() if entry.subject == subject]:
      yield subject, entries


def _overview() -> Iterator[str]:
  """The lines of the catalogue: name, title and time of each experiment."""
  width = max(len(entry.name) for entry in catalogue())
  for subject, entries in _by_subject():
    yield f'{SUBJECTS[subject]}:'
    for entry in entries:
      yield f'  {entry.name:{width}}  {entry.title}'
      yield f'  {"":{width}}  {entry.time}'
    yield ''
  yield 'Everything about one: --about=paper/table1. The whole paper, with a report:'
  yield 'python -m experiments.reproduce'


def _description(entry: Entry) -> str:
  """The full description of an experiment."""
  items = {
    'question': entry.question,
    'the paper says': entry.claim,
    'in the paper': entry.paper,
    'data': entry.data,
    'time': entry.time,
    'result': entry.result,
    'made': entry.made,
    'notes': ' '.join(entry.notes.split()),
  }
  paragraphs = (_filled(f'{key}: {text}') for key, text in items.items() if text)
  return '\n'.join([f'{entry.name}: {entry.title}', entry.command, *paragraphs])


def _filled(text: str) -> str:
  """A paragraph broken into lines, but never inside a word such as an option."""
  return textwrap.fill(
    text, _WIDTH, subsequent_indent='  ', break_long_words=False, break_on_hyphens=False
  )


def _tables() -> Iterator[str]:
  """The lines of a Markdown table of experiments for each subject."""
  for index, (subject, entries) in enumerate(_by_subject()):
    folder = f' (`{subject}/`)' if subject else ''
    yield from [''] * (index > 0)
    yield f'**{SUBJECTS[subject]}**{folder}'
    yield ''
    yield '| flagfile | question | in the paper | time | command |'
    yield '|---|---|---|---|---|'
    for entry in entries:
      fields = (entry.question, entry.paper, entry.time, entry.module)
      yield f'| `{entry.name}` | {" | ".join(fields)} |'


def _findings() -> Iterator[str]:
  """The lines with a paragraph for each experiment: its result, and the making of it."""
  for index, (subject, entries) in enumerate(_by_subject()):
    yield from [''] * (index > 0)
    yield f'## {SUBJECTS[subject]}'
    for entry in entries:
      yield ''
      yield _finding(entry)


def _finding(entry: Entry) -> str:
  """The paragraph about the result of an experiment."""
  link = f'[`{entry.name}`]({entry.name})' if entry.was_run else f'`{entry.name}`'
  paragraph = (
    f'- {link}: {entry.title}. {_count(entry)}Time: {entry.time}. **Result:** {entry.result}.'
  )
  if entry.made:
    paragraph += f' **Made:** {entry.made}.'
  return _filled(paragraph)


def _count(entry: Entry) -> str:
  """The numbers of rows and trials in the published table of a sweep; '' without one."""
  path = ROOT / 'results' / entry.name / 'results.csv'
  if not path.exists():
    return ''
  with path.open(encoding='utf-8', newline='') as file:
    trials = [line['trials'] for line in csv.DictReader(file)]
  return f'{_counted(len(trials), "row")} of {" or ".join(_distinct(trials))} trials. '


def _counted(count: int, noun: str) -> str:
  return f'{count} {noun}{"s" if count > 1 else ""}'


def _distinct(numbers: Iterable[str]) -> list[str]:
  """The different numbers of a column, largest first, with thousands separated."""
  return [f'{number:,}' for number in sorted({*map(int, numbers)}, reverse=True)]


if __name__ == '__main__':
  cli.run(main)
