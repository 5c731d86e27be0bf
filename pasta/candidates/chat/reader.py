"""Reads what comes back from a chat endpoint, up to a number of bytes.

Endpoints answer with one JSON object, or with a stream of events that each
carry a few more letters. Of both, what has come before a cut is kept.
"""

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any

_CONTENT = re.compile(r'"content"\s*:\s*"')
_DURATION = re.compile(r'(\d+(?:\.\d+)?)(ms|s|m|h|d)')
_SECONDS = {'ms': 0.001, 's': 1.0, 'm': 60.0, 'h': 3600.0, 'd': 86400.0}
_MAX_MESSAGE_CHARS = 300
# Waits above are misread dates or beyond what anybody will sit through.
_MAX_WAIT_SECONDS = 86_400.0
_FIRST_DATE = 1e9  # numbers from here on are Unix times


class Reader:
  """Collects one answer.

  Attributes:
    is_cut: whether it was longer than the limit.
    error: what an error event inside of the stream says, '' for none.
  """

  def __init__(self, limit: int, is_stream: bool):
    """Args: most bytes to take; whether events come instead of one object."""
    self.is_cut = False
    self.error = ''
    self._left = limit
    self._is_stream = is_stream
    self._buffer = bytearray()
    self._deltas: list[str] = []

  def feed(self, chunk: bytes) -> bool:
    """Takes the next bytes; returns whether more are wanted."""
    self.is_cut = len(chunk) > self._left
    chunk = chunk[: self._left]
    self._left -= len(chunk)
    self._buffer += chunk
    if self._is_stream:
      *lines, self._buffer = self._buffer.split(b'\n')
      for line in lines:
        self._event(line)
    return not self.is_cut and not self.error

  def _event(self, line: bytes) -> None:
    if not line.startswith(b'data:'):
      return
    content = _parse(line[5:])
    if isinstance(content, dict) and content.get('error'):
      self.error = message(line[5:])
    self._deltas.append(_text(content, 'delta'))

  def body(self) -> bytes:
    """All bytes so far that are not events."""
    return bytes(self._buffer)

  def text(self) -> str:
    """What the model has written so far."""
    if self._is_stream:
      return ''.join(self._deltas)
    content = _parse(self._buffer)
    if content is None:
      return _beginning(self._buffer.decode('utf-8', 'replace'))
    return _text(content, 'message')


def message(body: bytes) -> str:
  """What an endpoint says is wrong, in one short line."""
  content = _parse(body)
  if isinstance(content, list) and content:  # as Gemini wraps it
    content = content[0]
  text = body.decode('utf-8', 'replace')
  if isinstance(content, dict):
    error = content.get('error', content)
    found = error.get('message', error) if isinstance(error, dict) else error
    text = found if isinstance(found, str) else json.dumps(found)
  text = ' '.join(''.join(c if c.isprintable() else ' ' for c in text).split())
  if len(text) > _MAX_MESSAGE_CHARS:
    text = text[:_MAX_MESSAGE_CHARS] + ' ...'
  return text or 'nothing more'


def wait_seconds(headers: Mapping[str, str], is_limited: bool) -> float | None:
  """How long an endpoint asks to wait before the next request.

  Args:
    headers: of its answer, names in lower case.
    is_limited: whether it has just rejected a request for its rate.

  Returns:
    Seconds; None where it does not say.
  """
  if is_limited:
    waits = [
      _seconds(headers.get('retry-after-ms', ''), unit=0.001),
      _seconds(headers.get('retry-after', '')),
    ]
    for wait in waits:
      if wait is not None:
        return wait
  used_up, resets = [], []
  for kind in ('-requests', '-tokens', ''):
    wait = _seconds(headers.get(f'x-ratelimit-reset{kind}', ''))
    if wait is not None:
      resets.append(wait)
      if headers.get(f'x-ratelimit-remaining{kind}', '').strip() == '0':
        used_up.append(wait)
  if is_limited and not used_up:
    used_up = resets
  return max(used_up, default=None)


def _seconds(value: str, unit: float = 1.0) -> float | None:
  """Seconds from '7', '7.5', '6m0s', '20ms', a Unix time or an HTTP date."""
  value = value.strip()
  parts = _DURATION.findall(value)
  if parts and ''.join(n + u for n, u in parts) == value:
    seconds = sum(float(n) * _SECONDS[u] for n, u in parts)
  else:
    try:
      seconds = float(value) * unit
      if seconds >= _FIRST_DATE:
        seconds -= time.time()
    except ValueError:
      try:
        date = email.utils.parsedate_to_datetime(value)
      except (ValueError, TypeError):
        return None
      seconds = date.timestamp() - time.time()
  return max(seconds, 0.0) if seconds <= _MAX_WAIT_SECONDS else None


def _parse(body: bytes) -> Any:
  """JSON, or None."""
  try:
    return json.loads(body)
  except (ValueError, RecursionError):
    return None


def _text(content: Any, name: str) -> str:
  """The text in choices[0].message, or in choices[0].delta of an event."""
  try:
    found = content['choices'][0][name]['content']
  except (LookupError, TypeError):
    return ''
  if isinstance(found, list):  # parts
    found = ''.join(
      p['text']
      for p in found
      if isinstance(p, dict) and isinstance(p.get('text'), str)
    )
  return found if isinstance(found, str) else ''


def _beginning(body: str) -> str:
  """The text of an answer whose end is missing."""
  match = _CONTENT.search(body)
  if match is None:
    return ''
  start = match.end() - 1
  try:
    return json.JSONDecoder().raw_decode(body, start)[0]
  except ValueError:
    pass
  # An escape that is cut, too, has at most five characters.
  for end in range(len(body), max(len(body) - 7, start), -1):
    try:
      return json.loads(body[start:end] + '"')
    except ValueError:
      continue
  return ''
