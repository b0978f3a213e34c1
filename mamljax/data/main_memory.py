"""The main memory of this machine."""

import os
from pathlib import Path

# A container's limit, in version 2 and in version 1 of Linux's control groups.
_LIMITS = (
  Path('/sys/fs/cgroup/memory.max'),
  Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'),
)


def memory_bytes() -> int | None:
  """The bytes of main memory that all processes may use together; None where unknown."""
  try:
    physical = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, ValueError, OSError):
    return None
  return min([physical, *filter(None, map(_limit, _LIMITS))])


def _limit(path: Path) -> int | None:
  """The number in a file; None if the file is absent or holds none."""
  try:
    return int(path.read_text(encoding='ascii'))
  except (OSError, ValueError):
    return None
