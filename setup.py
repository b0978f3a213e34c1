"""Description of the package on an index: README, with links that lead somewhere from there.

An index shows README apart from the files that it links to. Where pyproject.toml has a `Source`
among its URLs, links and pictures become absolute; without one they become plain text.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

_ROOT = Path(__file__).parent
_LINK = re.compile(r'(!?)\[([^\]]*)\]\((?!https?:)([^)]+)\)')


def described(readme: str, source: str | None) -> str:
  """The text of README for an index.

  Args:
    readme: the text in the repository.
    source: the address of the repository, if it is known.
  """

  def elsewhere(link: re.Match[str]) -> str:
    picture, words, path = link.groups()
    if source is None:
      return '' if picture else words
    return f'{picture}[{words}]({source}/{"raw" if picture else "blob"}/HEAD/{path})'

  return _LINK.sub(elsewhere, readme)


if __name__ == '__main__':
  urls = tomllib.loads((_ROOT / 'pyproject.toml').read_text())['project'].get('urls', {})
  setup(
    long_description=described((_ROOT / 'README.md').read_text(), urls.get('Source')),
    long_description_content_type='text/markdown',
  )
