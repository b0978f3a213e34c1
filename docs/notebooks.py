"""Makes the notebooks of examples/ from their scripts, executed: `python -m docs.notebooks`.

A script whose cells begin with `# %%` is a notebook. It needs `pip install -e '.[notebooks]'`.
"""

import sys
from pathlib import Path

import jupytext
import nbclient
import nbformat

EXAMPLES = Path(__file__).parents[1] / 'examples'


def main(names: list[str]) -> None:
  """Executes the scripts of these names, or all that have cells."""
  for path in sorted(EXAMPLES.glob('*.py')):
    if (path.stem in names or not names) and '# %%' in path.read_text():
      print(write(path))


def write(path: Path) -> Path:
  """Executes a script cell by cell, and writes the notebook beside it."""
  notebook = jupytext.read(path)
  nbclient.NotebookClient(notebook, timeout=1200, record_timing=False).execute()
  for number, cell in enumerate(notebook.cells):
    cell.id = f'cell-{number}'
    if cell.cell_type == 'code':  # a warning names folders of this machine
      cell.outputs = [output for output in cell.outputs if output.get('name') != 'stderr']
  target = path.with_suffix('.ipynb')
  nbformat.write(notebook, target)
  return target


if __name__ == '__main__':
  main(sys.argv[1:])
