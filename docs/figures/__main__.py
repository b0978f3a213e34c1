"""Draws the pictures of the mathematics: `python -m docs.figures [NAME ...]`."""

import sys
from pathlib import Path

import matplotlib as mpl

from docs.figures import filters, others, spans

FOLDER = Path(__file__).parents[1] / 'assets' / 'figures'
STYLE = {
  'axes.spines.right': False,
  'axes.spines.top': False,
  'font.size': 9,
  'savefig.bbox': 'tight',
  'savefig.dpi': 130,
  'legend.frameon': False,
}
PICTURES = {
  'reconstruction': others.reconstruction,
  'row_space': spans.row_space,
  'recovery': spans.recovery,
  'patch_space': spans.patch_space,
  'silent_units': spans.silent_units,
  'matched_filter': filters.matched_filter,
  'noise_filter': filters.noise_filter,
  'curvature_filter': filters.curvature_filter,
  'shadow_filter': filters.shadow_filter,
  'residual_filter': filters.residual_filter,
  'baselines': others.baselines,
  'bound': others.bound,
}


def main(names: list[str]) -> None:
  """Draws the pictures of these names, or all of them."""
  FOLDER.mkdir(parents=True, exist_ok=True)
  for name in names or PICTURES:
    with mpl.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
      path = FOLDER / f'{name}.png'
      # Without the version of the library, so that the same picture is the same file.
      PICTURES[name]().savefig(path, metadata={'Software': None})
    print(path)


if __name__ == '__main__':
  main(sys.argv[1:])
