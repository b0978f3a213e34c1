"""Every example runs as it stands, from any folder, without a warning."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / 'examples').glob('*.py'))
NOTEBOOKS = sorted((ROOT / 'examples').glob('*.ipynb'))


@pytest.mark.slow
@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path):
  """Else a reader's first own program begins with a broken one."""
  if 'torch' in path.stem:
    pytest.importorskip('torch')
  places = {**os.environ, 'PYTHONPATH': str(ROOT)}
  command = [sys.executable, '-W', 'error', str(path)]
  subprocess.run(command, check=True, cwd=tmp_path, env=places)


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_its_script(path: Path):
  """Else a reader of the notebook runs what no test runs, or sees nothing until he runs it."""
  cells = json.loads(path.read_text())['cells']
  code = [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']
  script = path.with_suffix('.py').read_text()
  kept = re.findall(r'^# %%\n(.*?)(?=^# %%|\Z)', script, re.MULTILINE | re.DOTALL)
  assert code == [text.strip() for text in kept]
  outputs = [output for cell in cells for output in cell.get('outputs', [])]
  assert not any('traceback' in output for output in outputs)
  assert not any(output.get('name') == 'stderr' for output in outputs)
  assert {'stream', 'display_data'} <= {output['output_type'] for output in outputs}
  assert path.stat().st_size < 200_000


class Undocumented(ast.NodeTransformer):
  """A program without its docstrings."""

  def visit_Expr(self, node):
    return None if isinstance(node.value, ast.Constant) else node


def code_of(text: str) -> str:
  """A program without comments, docstrings and line breaks."""
  return ast.unparse(Undocumented().visit(ast.parse(text)))


@pytest.mark.parametrize('name', ['README.md', 'docs/index.md', 'docs/questions/own_model.md'])
def test_the_first_program_is_one_everywhere(name: str):
  """Else a reader of two pages wonders which of two learners is meant."""
  found = re.findall(
    r'^```python\n(.*?)^```', (ROOT / name).read_text(), re.MULTILINE | re.DOTALL
  )
  assert code_of(found[0]) == code_of((ROOT / 'examples/own_model.py').read_text())


def test_examples_are_named_where_a_reader_looks():
  """Else nobody finds them."""
  pages = '\n'.join(path.read_text() for path in (ROOT / 'docs').rglob('*.md'))
  assert EXAMPLES
  assert [path.name for path in EXAMPLES if f'examples/{path.name}' not in pages] == []
