"""Hooks of the site's build: formulas as MathML, tables for phones, files beside the pages.

Nothing is fetched by a reader's browser: formulas are MathML in the page, made here. Files that
a page links to outside docs/ (results, examples, BUILD.md) are copied into the site, at their
path in the repository, so that a link is right for a reader of the repository, too. On a narrow
screen assets/site.css stacks the cells of a row, each under the heading that it is given here.
"""

import html
import itertools
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml import converter
from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[1]
SHIPPED = (
  'BUILD.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'LICENSE',
  'examples/*.py',
  'examples/*.ipynb',
  'mamljax/data/sample/ORIGIN.md',
  'results/README.md',
  'results/**/*.csv',
  'results/**/*.json',
  'results/**/*.png',
)
_LINK = re.compile(r'(\]\()([^)#\s]+)((?:#[^)\s]*)?\))')
_TABLE = re.compile(r'<table>.*?</table>', re.DOTALL)
_WORDY = 16  # characters of a cell, on average
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
  """Adds the files of the repository that pages link to."""
  for name in shipped():
    file = File(name, str(ROOT), config.site_dir, config.use_directory_urls)
    file.inclusion = InclusionLevel.NOT_IN_NAV
    files.append(file)
  return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
  """Points links between files of the repository to where the site has them."""
  source = page.file.src_uri
  return _LINK.sub(lambda m: f'{m[1]}{in_site(m[2], source)}{m[3]}', markdown)


def on_page_content(content: str, **_: Any) -> str:
  """Turns each formula into MathML, and gives the cells of wordy tables their headings."""
  return _TABLE.sub(_labelled, _FORMULA.sub(_formula, content))


def shipped() -> Iterator[str]:
  """Paths in the repository of the files that are copied into the site."""
  for pattern in SHIPPED:
    yield from sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def in_site(link: str, source: str) -> str:
  """The link of a page of the site, from one that is right in the repository.

  Args:
    link: a relative path, from the page's file in the repository.
    source: the page's path in the site, which is that in the repository, less docs/.

  >>> in_site('../../results/paper/table1/results.csv', 'paper/tables.md')
  '../results/paper/table1/results.csv'
  >>> in_site('docs/limits.md', 'BUILD.md'), in_site('other.md', 'paper/tables.md')
  ('limits.md', 'other.md')
  """
  if re.match(r'[a-z]+:|/', link):
    return link
  outside = source in set(shipped())
  home = posixpath.dirname(source if outside else f'docs/{source}')
  path = posixpath.normpath(posixpath.join(home, link))
  if (ROOT / path).is_dir():
    path = _index(path)
  return posixpath.relpath(path.removeprefix('docs/'), posixpath.dirname(source) or '.')


def _index(folder: str) -> str:
  """The file that stands for a folder of results: its table, else its picture."""
  names = sorted(path.name for path in (ROOT / folder).iterdir() if path.is_file())
  tables = [name for name in names if name.endswith('.csv')]
  return posixpath.join(folder, (tables or names)[0])


def _labelled(match: re.Match[str]) -> str:
  """A table whose cells have their headings, if it is one of words; numbers are compared."""
  table = match[0]
  headings, cells = (_elements(tag, table) for tag in ('th', 'td'))
  if len(headings) < 3 or sum(map(len, map(_text, cells))) < _WORDY * len(cells):
    return table
  labels = itertools.cycle(html.escape(_text(heading)) for heading in headings)
  table = re.sub(r'<td(?=[ >])', lambda _: f'<td data-label="{next(labels)}"', table)
  return table.replace('<table', '<table data-stacks', 1)


def _elements(tag: str, table: str) -> list[str]:
  """The elements of a tag, none of which is within another."""
  return re.findall(rf'<{tag}[ >].*?</{tag}>', table, re.DOTALL)


def _text(element: str) -> str:
  """The text of an element."""
  return html.unescape(re.sub(r'<[^>]+>', '', element)).strip()


def _formula(match: re.Match[str]) -> str:
  """The MathML of a formula that arithmatex marked."""
  tag, bracket, tex = match[1], match[2], html.unescape(match[3]).strip()
  display = 'block' if bracket == '[' else 'inline'
  return f'<{tag} class="formula">{converter.convert(tex, display=display)}</{tag}>'
