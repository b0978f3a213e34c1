"""The report in a real browser: it is shown, in light and dark, and no wider than a phone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.reporting.writing import write_report
from tests import browser
from tests.experiments.reported import make_result, write_pictures, write_sweep

POLICY = 'http-equiv="Content-Security-Policy"'  # which lets no script measure
WIDTHS = (360, 390, 1280)
# Beside the page as a whole, whatever of it reaches farthest without scrolling by itself.
RIGHTS = """[
  document.documentElement.scrollWidth,
  ...[...document.querySelectorAll('body *')].filter((e) => !e.closest('.scroll, .card'))
    .map((e) => e.getBoundingClientRect().right)
]"""

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason='needs Chromium')


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A report with wide tables and pictures, and a name that cannot be broken."""
  out = tmp_path_factory.mktemp('browser')
  folder = out / ('wide' * 20)
  found = [make_result(ways=ways) for ways in (3, 5)]
  write_sweep(folder, found)
  write_pictures(folder, found[0])
  return write_report(out, title='Title')


def test_the_page_never_scrolls_sideways(page, tmp_path):
  """On a phone a table may scroll within itself; the text around it must not."""
  (tmp_path / 'page.html').write_text(page.read_text().replace(POLICY, ''))
  needed = browser.measured(tmp_path / 'profile', tmp_path / 'page.html', RIGHTS, widths=WIDTHS)
  assert needed.keys() == {*WIDTHS}
  assert all(width >= pixels for width, pixels in needed.items()), needed


def test_a_script_in_the_page_does_not_run(page, tmp_path):
  """Whatever name or title slips through, the page had no policy against it."""
  script = '<script>document.title = "ran"</script></body>'
  (tmp_path / 'page.html').write_text(page.read_text().replace('</body>', script))
  shown = browser.opened(tmp_path / 'profile', tmp_path / 'page.html', '--dump-dom')
  assert '<title>Title</title>' in shown


def test_the_page_is_shown_in_light_and_in_dark(page, tmp_path):
  """Styles that do not load leave a blank page, or black letters on black."""
  lightness = []
  for scheme in ('1', '0'):  # Blink's light and dark
    path = tmp_path / f'{scheme}.png'
    browser.opened(
      tmp_path / 'profile',
      page,
      *(f'--blink-settings=preferredColorScheme={scheme}', '--window-size=390,1500'),
      f'--screenshot={path}',
    )
    with Image.open(path) as image:
      lightness.append(np.asarray(image.convert('L')) / 255)
  light, dark = lightness
  assert np.median(light) > 0.9
  assert np.median(dark) < 0.2
  for shown, ink in ((light, light < 0.5), (dark, dark > 0.5)):
    assert shown.shape[1] == 390
    assert 0.01 < np.mean(ink) < 0.5
