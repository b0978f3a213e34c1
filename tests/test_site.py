"""The site: what its pages link to is there, a browser fetches nothing else, phones show it."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests import browser

pytest.importorskip('mkdocs', reason='`make docs` installs it')

ROOT = Path(__file__).parent.parent
FETCHED = {'img', 'iframe', 'link', 'script', 'source'}  # by the browser itself
pytestmark = pytest.mark.slow


class Page(HTMLParser):
  """The addresses in a page, its anchors, and the formulas that were not made."""

  def __init__(self, text: str):
    super().__init__()
    self.addresses: list[tuple[str, str]] = []
    self.anchors: set[str] = set()
    self.tags: set[str] = set()
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    found = {key: value for key, value in attrs if value}
    self.tags.add(tag)
    self.anchors |= {found[key] for key in ('id', 'name') if key in found}
    # Canonical and alternate addresses are for machines that index.
    if found.get('rel') not in ('canonical', 'alternate'):
      self.addresses += [(tag, found[key]) for key in ('href', 'src') if key in found]


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
  """The pages of the site, built as `make docs` does."""
  folder = tmp_path_factory.mktemp('site')
  command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)]
  built = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
  assert built.returncode == 0, built.stderr
  # 404.html is for a server, with addresses from its root.
  paths = (path for path in folder.rglob('*.html') if path.name != '404.html')
  return {path: Page(path.read_text()) for path in paths}


def is_lost(path: Path, address: str, site: dict[Path, Page]) -> bool:
  """Tests whether an address in a page of the site leads nowhere."""
  target, _, anchor = unquote(address).partition('#')
  if re.match(r'[a-z]+:', target):
    return False
  file = (path.parent / target).resolve() if target else path
  named = not anchor or anchor.startswith('__') or file not in site
  return not file.exists() or not (named or anchor in site[file].anchors)


def test_every_link_leads_somewhere(site: dict[Path, Page]):
  """Else a reader meets a page that is not there, or the wrong part of one."""
  links = [(path, address) for path, page in site.items() for _, address in page.addresses]
  assert len(links) > 1000
  assert [link for link in links if is_lost(*link, site)] == []


def test_a_browser_fetches_nothing_from_elsewhere(site: dict[Path, Page]):
  """Else the site is not whole without a network, and tells others who reads it."""
  elsewhere = {
    address
    for page in site.values()
    for tag, address in page.addresses
    if tag in FETCHED and re.match(r'(https?:)?//', address)
  }
  assert elsewhere == set()
  texts = [path.read_text() for path in next(iter(site)).parent.rglob('*.css')]
  assert not any(re.search(r'url\(["\']?(https?:)?//|@import', text) for text in texts)


def test_formulas_are_in_the_page(site: dict[Path, Page]):
  """Else a reader sees TeX, or needs a script from elsewhere."""
  formulas = [path for path in site if path.parent.name == 'mathematics']
  assert len(formulas) > 4
  assert all('math' in site[path].tags for path in formulas)
  assert not any(r'\frac' in path.read_text().split('<annotation')[0] for path in formulas)


@pytest.mark.skipif(browser.CHROMIUM is None, reason='needs Chromium')
@pytest.mark.parametrize('name', ['which_attack', 'command'])
def test_tables_of_words_fit_a_phone(name: str, site: dict[Path, Page], tmp_path: Path):
  """Else a reader scrolls sideways in every row, and loses the name of the attack."""
  page = next(path for path in site if path.stem == name and path.parent.name == 'questions')
  rights = "[...document.querySelectorAll('td')].map((e) => e.getBoundingClientRect().right)"
  needed = browser.measured(tmp_path / 'profile', page, rights, widths=(390, 1280))
  assert needed.keys() == {390, 1280}
  assert needed[390] <= 390
  assert '<td data-label="' in page.read_text()
