"""JSON documents that carry a checksum of their content, in their first field."""

import hashlib
import json
import re
from typing import Any

from experiments.store import records


def document(content: dict[str, Any]) -> str:
  """The text of a document with this content.

  Raises:
    ValueError: if a number is NaN or infinite, which JSON cannot hold.
  """
  return json.dumps({'checksum': digest(content), **content}, indent=1, allow_nan=False)


def parse(data: bytes) -> dict[str, Any]:
  """The content of a document, verified and without its checksum.

  Raises:
    ValueError: if the document is damaged.
    RecursionError: if the document is damaged.
  """
  content = records.load_json(data)
  if not isinstance(content, dict) or 'checksum' not in content:
    raise ValueError('it has no checksum')
  body = {key: value for key, value in content.items() if key != 'checksum'}
  checksum = {'checksum': content['checksum']}
  if content['checksum'] != digest(body) or not _is_canonical(data, checksum | body):
    raise ValueError('its content does not match its checksum')
  return body


def digest(content: Any) -> str:
  """The SHA-256 of a JSON value, independent of key order and layout; floats count by repr."""
  text = json.dumps(content, sort_keys=True, separators=(',', ':'), allow_nan=False)
  return hashlib.sha256(text.encode()).hexdigest()


def _is_canonical(data: bytes, content: dict[str, Any]) -> bool:
  """Tests whether a file is this content as JSON, up to indentation.

  The checksum alone does not show all damage: it is of the parsed values, and the last digit of
  a float may change without changing its value.
  """
  compact = json.dumps(content, separators=(',', ': ')).encode()
  return re.sub(rb'\n *', b'', data) == compact
