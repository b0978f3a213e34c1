"""A real browser without a screen, for tests of pages."""

import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
# Frames, since Chromium's own windows are at least 500 pixels wide.
_FRAMES = """
<title></title>
<script>onmessage = (message) => {{ document.title += message.data }}</script>
{}
"""
_MEASURE = """
<script>addEventListener('load', () => {{
  const rights = {};
  parent.postMessage(`${{innerWidth}}:${{Math.ceil(Math.max(...rights))}};`, '*');
}});</script>
</body>
"""


def opened(profile: Path, page: Path, *arguments: str) -> str:
  """The standard output of a browser that opens a page.

  Args:
    profile: a folder for the browser's own files.
    page: the page.
    arguments: what else to do, such as `--dump-dom`.
  """
  command = [
    *(str(CHROMIUM), '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars'),
    *('--virtual-time-budget=10000', f'--user-data-dir={profile}', *arguments, page.as_uri()),
  ]
  return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def measured(
  profile: Path, page: Path, rights: str, *, widths: tuple[int, ...]
) -> dict[int, int]:
  """The rightmost of some pixels of a page, by the width of the screen.

  Args:
    profile: a folder for the browser's own files.
    page: a page that lets scripts run; files are written beside it.
    rights: the pixels, as a list in JavaScript.
    widths: the widths of the screen.
  """
  copy, frames = (page.with_name(f'{name}_{page.name}') for name in ('measured', 'frames'))
  copy.write_text(page.read_text().replace('</body>', _MEASURE.format(rights)))
  one = '<iframe src="{}" width="{}" height="800"></iframe>'
  frames.write_text(_FRAMES.format(''.join(one.format(copy.name, width) for width in widths)))
  found = re.findall(r'(\d+):(\d+)', opened(profile, frames, '--dump-dom'))
  return {int(width): int(pixels) for width, pixels in found}
