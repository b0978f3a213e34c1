"""HTML of a report: one self-contained page, or a fragment for notebooks."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
  import jinja2


class Table(NamedTuple):
  """A table of a page.

  Attributes:
    caption: what it shows.
    headings: of its columns.
    rows: entries under the headings.
  """

  caption: str
  headings: Sequence[str]
  rows: Sequence[Sequence[str]]


class Page(NamedTuple):
  """The content of a page.

  Attributes:
    title: of the page.
    verdict: the answer.
    pictures: SVG by captions.
    tables: the tables.
    lists: sentences under their titles; those without sentences are left out.
    is_alarm: whether the answer is a leak.
  """

  title: str
  verdict: str
  pictures: Mapping[str, str]
  tables: Sequence[Table]
  lists: Mapping[str, Sequence[str]]
  is_alarm: bool


def render(page: Page, *, fragment: bool = False) -> str:
  """The page as HTML.

  Args:
    page: the content.
    fragment: without the frame of a page: for a notebook.
  """
  template = _environment().get_template('fragment.html.j2' if fragment else 'page.html.j2')
  return template.render(page=page)


@functools.cache
def _environment() -> 'jinja2.Environment':
  import jinja2

  options: dict[str, Any] = {'trim_blocks': True, 'lstrip_blocks': True, 'autoescape': True}
  loader = jinja2.PackageLoader('mamljax.reports', 'templates')
  return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, **options)
