"""One page about everything found: `python -m experiments.report --output_dir=OUT`.

Reads the results in OUT and in the folders in it, and writes OUT/report.html, which needs no
other file, and OUT/report with its tables as CSV and its pictures as PNG.
"""

from collections.abc import Sequence

from absl import flags

from experiments.process import arguments, cli
from experiments.reporting.writing import write_report

_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'out', 'where the results are')
_TITLE = flags.DEFINE_string('title', 'What one meta-gradient gives away', 'of the page')


def main(argv: Sequence[str]) -> None:
  """Writes the report."""
  del argv
  print(write_report(arguments.folder('output_dir', _OUTPUT_DIR.value), title=_TITLE.value))


if __name__ == '__main__':
  cli.run(main)
