"""Every example runs as it stands, from any folder, without a warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / 'examples').glob('*.py'))


@pytest.mark.slow
@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path):
  """Else a reader's first own program begins with a broken one."""
  if 'torch' in path.stem:
    pytest.importorskip('torch')
  places = {**os.environ, 'PYTHONPATH': str(ROOT)}
  command = [sys.executable, '-W', 'error', str(path)]
  subprocess.run(command, check=True, cwd=tmp_path, env=places)


def test_examples_are_named_where_a_reader_looks():
  """Else nobody finds them."""
  pages = '\n'.join(path.read_text() for path in (ROOT / 'docs').rglob('*.md'))
  assert EXAMPLES
  assert [path.name for path in EXAMPLES if f'examples/{path.name}' not in pages] == []
