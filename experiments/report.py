"""Report on all results in a folder: `python -m experiments.report --output_dir=OUT`.

Reads the results in OUT and in its subfolders. Writes the page OUT/report.html, which needs no
other file, and OUT/report, with the tables of the page as CSV and the pictures as PNG.
"""

from collections.abc import Sequence

from absl import flags

from experiments.process import arguments, cli
from experiments.reporting.writing import write_report

_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', 'out', 'folder with the results, to which the report is written'
)
_TITLE = flags.DEFINE_string('title', 'What one meta-gradient gives away', 'title of the page')


def main(argv: Sequence[str]) -> None:
  """Writes the report and prints its path."""
  del argv
  print(write_report(arguments.folder('output_dir', _OUTPUT_DIR.value), title=_TITLE.value))


if __name__ == '__main__':
  cli.run(main)
