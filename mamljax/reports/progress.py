"""Progress bar of an audit, on a terminal or on request."""

from types import TracebackType
from typing import Any, Self


class Progress:
  """Bar of tqdm that counts trials scored, all attacks together."""

  def __init__(self, *, total: int, done: int, shown: bool | None):
    """Opens a bar.

    Args:
      total: trials to score.
      done: trials whose scores were found on disk.
      shown: None for a terminal only.
    """
    from tqdm.auto import tqdm

    options: dict[str, Any] = {'disable': None if shown is None else not shown}
    self._bar = tqdm(total=total, initial=done, unit='score', leave=False, **options)

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._bar.close()

  def advance(self, name: str, count: int) -> None:
    """Adds trials that an attack scored."""
    self._bar.set_description(name, refresh=False)
    self._bar.update(count)
