"""Reproduction of the whole paper in one command: `python -m experiments.reproduce`.

Runs the command of each flagfile that --parts names, with results in OUT/<part> and a common
store in OUT/store, then writes the report. The same command, run again, resumes.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.analysis.catalogue import SUBJECTS, Entry, known_names, matching
from experiments.process import arguments, cli, preemption, subprocesses
from mamljax.errors import InputError, unknown

_PARTS = flags.DEFINE_list(
  'parts', ['paper'], 'flagfiles to run, such as paper/table1 or table1, or whole subjects'
)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', 'out/all', 'folder for the results, with a subfolder for each part'
)
_QUICK = flags.DEFINE_bool(
  'quick', False, 'run each part in minutes, with few trials; results go to OUT_quick'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'folder of the prepared data sets (default: that of TFDS)'
)

SHARING = ('sweep', 'train')  # the modules with the flags --store_dir and --data_dir
QUICK = (*SHARING, 'runtime', 'benchmark', 'growth')  # the modules with the flag --quick


def main(argv: Sequence[str]) -> None:
  """Runs the parts and writes the report; the parts that fail are named at the end."""
  del argv
  output_dir = arguments.folder('output_dir', _OUTPUT_DIR.value)
  output_dir = cli.quick_folder(output_dir) if _QUICK.value else output_dir
  parts = list(dict.fromkeys(entry for part in _PARTS.value for entry in _entries(part)))
  if not parts:
    raise InputError('no parts are given: --parts=table1,figure5, or --parts=paper for all')
  failed = [part.name for part in parts if not _run(part.name, _command(part, output_dir))]
  report = subprocesses.command('report', [f'--output_dir={output_dir}'])
  if len(failed) < len(parts) and not _run('report', report):
    failed.append('report')
  if failed:
    raise InputError(f'failed: {", ".join(failed)}; the reasons are above')


def _entries(part: str) -> list[Entry]:
  """The experiments that a name in --parts stands for.

  Raises:
    InputError: if the name is unknown, or ambiguous and not that of a subject.
  """
  entries = matching(part)
  if not entries:
    raise unknown('part', part, known_names())
  if len(entries) > 1 and part not in SUBJECTS:
    raise InputError(f'part {part!r} may be {" or ".join(entry.name for entry in entries)}')
  return entries


def _command(part: Entry, output_dir: Path) -> list[str]:
  """The command of a part, with a separate folder for its results."""
  options = [f'--flagfile={part.path}', f'--output_dir={output_dir / part.name}']
  if part.module in SHARING:
    options += [f'--store_dir={output_dir / "store"}']
    options += [f'--data_dir={_DATA_DIR.value}'] if _DATA_DIR.value else []
  if part.module in QUICK and _QUICK.value:
    options += ['--quick']
  return subprocesses.command(part.module, options)


def _run(name: str, line: list[str]) -> bool:
  """Runs a command, and returns whether it ended well.

  Raises:
    Interrupted: if the command or this process was asked to stop.
  """
  print(f'== {name}', flush=True)
  status = subprocesses.run(line, [{}], patient=())
  if preemption.received() or status in preemption.STOPPED:
    raise preemption.Interrupted
  return status == 0


if __name__ == '__main__':
  cli.run(main, resumes=True)
