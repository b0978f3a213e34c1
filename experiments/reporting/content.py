"""The content of a report, ready for the template: texts and pictures without logic."""

import dataclasses
from typing import NamedTuple


class Entry(NamedTuple):
  """A field of a table: its text and, for a verdict, the class that colours it."""

  text: str
  mark: str = ''


class Group(NamedTuple):
  """Rows of a table under a common heading; '' for no heading."""

  heading: str
  rows: list[list[Entry]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """A table; the first entry of a row is its heading.

  Attributes:
    caption: the caption.
    headings: the headings of the columns.
    numeric: for each column, True if it holds numbers.
    groups: the rows, in groups.
    note: an explanation below the table; '' for none.
  """

  caption: str
  headings: list[str]
  numeric: list[bool]
  groups: list[Group]
  note: str = ''


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image:
  """A picture.

  Attributes:
    name: name of the file.
    data: the bytes of a PNG.
    alt: a description in words, for readers who cannot see the picture.
    width: natural width in CSS pixels.
  """

  name: str
  data: bytes
  alt: str
  width: int


class Figure(NamedTuple):
  """Pictures side by side under one caption."""

  caption: str
  images: list[Image]


class Pair(NamedTuple):
  """A candidate beside its reconstruction, the truth, the score and the decision."""

  image: Image
  truth: str
  score: str
  decision: Entry


class Gallery(NamedTuple):
  """The first trials of a cell in pictures: a pair each, and one sheet of all as a file."""

  caption: str
  pairs: list[Pair]
  sheet: Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """A run: its question, its results, and the command that repeats it.

  Attributes:
    anchor: target of links to the section, and start of the names of its files.
    title: a line.
    question: a line.
    claim: the statement of the paper about it; '' for none.
    findings: sentences about the curves.
    lead: the figures before the tables.
    tables: the tables.
    figures: the figures after the tables.
    galleries: the reconstructions, last.
    trials: the number of trials behind each value, and the choice of the threshold; '' for a
      run without cells.
    settings: fields that all cells share, with their values.
    command: the command that repeats the run.
    csv: the content of the file of the table; '' for no file.
  """

  anchor: str
  title: str
  question: str
  claim: str
  findings: list[str]
  lead: list[Figure]
  tables: list[Table]
  figures: list[Figure]
  galleries: list[Gallery]
  trials: str
  settings: list[tuple[str, str]]
  command: str
  csv: str


class Headline(NamedTuple):
  """The answer in sentences, and the strongest attacks behind it."""

  sentences: list[str]
  table: Table
  csv: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
  """A report; `headline` is None if no cell is without a defence."""

  title: str
  headline: Headline | None
  sections: list[Section]
  provenance: Table
  versions: list[tuple[str, str]]
  command: str
