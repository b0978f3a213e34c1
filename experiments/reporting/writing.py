"""The files of a report: a self-contained HTML page, with its tables and pictures beside it."""

import base64
from collections.abc import Iterator
from pathlib import Path

import jinja2

from experiments.analysis.text import text_of
from experiments.reporting.content import Image, Page, Table
from experiments.reporting.page import make_page
from mamljax import atomic


def write_report(output_dir: Path, *, title: str) -> Path:
  """Writes OUT/report.html and the folder OUT/report, and returns the path of the page.

  Equal results make equal files. All files are read and all pictures drawn before anything is
  written, and the page is written last.

  Args:
    output_dir: the folder OUT, which holds results or folders of results.
    title: title of the page.

  Raises:
    InputError: if there are no results, if one of their files is damaged, or if the folder
      cannot be written.
  """
  page = make_page(output_dir, title)
  html = render(page)
  for name, data in files(page):
    atomic.write_bytes(output_dir / 'report' / name, data)
  path = output_dir / 'report.html'
  atomic.write_text(path, html)
  return path


def render(page: Page) -> str:
  """The page as HTML, with its pictures embedded."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('experiments.reporting', 'templates'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['uri'] = _uri
  return environment.get_template('report.html.j2').render(page=page)


def files(page: Page) -> Iterator[tuple[str, bytes]]:
  """The tables and pictures of the page, each with the name of its file."""
  if page.headline:
    yield 'headline.csv', atomic.encoded(page.headline.csv)
  for section in page.sections:
    if section.csv:
      yield f'{section.anchor}_table.csv', atomic.encoded(section.csv)
    images = [image for figure in (*section.lead, *section.figures) for image in figure.images]
    sheets = [gallery.sheet for gallery in section.galleries]
    yield from ((image.name, image.data) for image in (*images, *sheets))
  yield 'runs.csv', atomic.encoded(_csv(page.provenance))


def _csv(table: Table) -> str:
  """A table as CSV, with the entries as shown on the page."""
  rows = [row for group in table.groups for row in group.rows]
  return text_of([table.headings, *([entry.text for entry in row] for row in rows)])


def _uri(image: Image) -> str:
  """An image as a data URI."""
  return f'data:image/png;base64,{base64.b64encode(image.data).decode()}'
