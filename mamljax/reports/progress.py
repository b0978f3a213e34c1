"""Progress bar of an audit, on a terminal or on request."""

from types import TracebackType
from typing import Any, Self

_FORMAT = '{desc}: {percentage:.0f} %|{bar}| {n_fmt} of {total_fmt} scores'


class Progress:
  """Bar of tqdm that counts trials scored, all attacks together.

  It shows no time of tqdm's own, which would take the pace of cheap attacks for that of all.
  """

  def __init__(self, *, total: int, done: int, shown: bool | None):
    """Opens a bar.

    Args:
      total: trials to score.
      done: trials whose scores were found on disk.
      shown: None for a terminal only.
    """
    from tqdm.auto import tqdm

    options: dict[str, Any] = {'disable': None if shown is None else not shown}
    options |= {'bar_format': _FORMAT, 'leave': False, 'desc': 'audit'}
    self._bar = tqdm(total=total, initial=done, **options)

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._bar.refresh()
    self._bar.close()

  def say(self, text: str) -> None:
    """Shows what is being done."""
    self._bar.set_description_str(text)

  def advance(self, count: int) -> None:
    """Adds trials that an attack scored."""
    self._bar.update(count)

  def leave_out(self, count: int) -> None:
    """Takes trials off the total that no attack will score."""
    self._bar.total = max(self._bar.total - count, self._bar.n)
    self._bar.refresh()
