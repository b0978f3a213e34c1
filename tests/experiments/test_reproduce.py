"""Everything in one command: what it runs, where to, and what it says of a mistake."""

from pathlib import Path

import pytest

from tests.experiments.tiny import Ended, finish, start


def reproduce(*options: str) -> Ended:
  return finish(start(options, module='reproduce'))


@pytest.mark.parametrize(
  ('parts', 'said'),
  [
    ('', 'no parts are given'),
    ('figure33', "did you mean 'figure13'"),
    ('figure4,row_space', 'may be attacks/row_space or noise/row_space or trained/row_space'),
  ],
)
def test_a_wrong_part_is_refused_before_any_is_run(parts, said, tmp_path):
  """Else hours of computation end in a typing error."""
  ended = reproduce(f'--parts={parts}', f'--output_dir={tmp_path / "out"}')
  assert ended.status == 2
  assert said in ended.err
  assert len(ended.err.splitlines()) == 1
  assert not (tmp_path / 'out').exists()


def test_a_part_that_fails_is_named_and_does_not_stop_the_next(tmp_path: Path):
  """Else one missing data set costs a night, and nobody sees which."""
  options = (f'--data_dir={tmp_path / "nothing"}', f'--output_dir={tmp_path / "out"}')
  ended = reproduce('--parts=figure4,figure5', *options)
  assert ended.status == 2
  assert 'failed: paper/figure4, paper/figure5;' in ended.err.splitlines()[-1]
  assert [line for line in ended.out.splitlines() if line.startswith('==')] == [
    '== paper/figure4',
    '== paper/figure5',
  ]
