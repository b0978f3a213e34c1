"""What a report shows, ready for the template: words and pictures, no more decisions."""

import dataclasses
from typing import NamedTuple


class Entry(NamedTuple):
  """A field of a table: its text and, for a verdict, the class that colours it."""

  text: str
  mark: str = ''


class Group(NamedTuple):
  """Rows of a table under a heading of their own; '' for none."""

  heading: str
  rows: list[list[Entry]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
  """A table; the first field of a row names it.

  Attributes:
    caption: what it shows.
    headings: of the columns.
    numeric: whether a column holds numbers.
    groups: its rows.
    note: what must be known to read it; '' for nothing.
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
    name: of its file.
    data: the bytes of a PNG.
    alt: what it shows, for who cannot see it.
    width: natural, in CSS pixels.
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
  """The first trials of a cell in pictures, and all of them in one, for its file."""

  caption: str
  pairs: list[Pair]
  sheet: Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """A run: what it asked, what it found, and what remakes it.

  Attributes:
    anchor: where links lead to; it names the files too.
    title, question: a line each.
    claim: what the paper says about it; '' for nothing.
    findings: sentences.
    lead, tables, figures, galleries: in the order shown.
    trials: what each number rests on; '' without cells.
    settings: what all cells share, field and value.
    command: what remakes it.
    csv: the content of the table's file; '' for none.
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
  """A report. `headline` is None where nothing was attacked without a defence."""

  title: str
  headline: Headline | None
  sections: list[Section]
  provenance: Table
  versions: list[tuple[str, str]]
  command: str
