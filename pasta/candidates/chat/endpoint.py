"""Requests to an OpenAI-compatible endpoint: bounded, patient, discreet.

Requests of all threads share one event loop in a thread of its own, and with it
the connections, the limit of requests at once and the pauses that the endpoint
asks for. A deadline cancels whatever a request is doing, so that a turn's time
is bounded whatever the endpoint does. The key goes into one header and nowhere
else: no message, log line or file has it.
"""

import asyncio
import concurrent.futures
import dataclasses
import enum
import json
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import httpx
import ml_collections
from absl import logging

from pasta import credentials, errors
from pasta.candidates import counters as counters_lib
from pasta.candidates.chat import access, forms
from pasta.candidates.chat import reader as reader_lib

_CONNECT_SECONDS = 10.0
_SECONDS_BETWEEN_REPORTS = 10
_MAX_DOUBLINGS = 5  # of the pause before another attempt
_RATE_STATUS = (429, 503)
_RETRY_STATUS = (408, 425, 429)
# Servers that lack a field reject it with one of these, and name it.
_LACKING_STATUS = (400, 415, 422, 500, 501)
_MIN_SECRET_CHARS = 12  # shorter "keys" are words such as 'ollama'
# What OpenAI says with status 429 to accounts without money.
_NO_MONEY = 'insufficient_quota'


@dataclasses.dataclass(frozen=True)
class Reply:
  """What came back of a request.

  Attributes:
    text: what the model wrote; where that is of no use, what came last.
    is_whole: whether the endpoint finished it; cut for its length counts.
    is_usable: whether it is worth taking.
  """

  text: str
  is_whole: bool
  is_usable: bool = True


class _End(enum.Enum):
  """How an attempt ended."""

  WHOLE = enum.auto()  # with an answer
  LATE = enum.auto()  # by its deadline
  BROKEN = enum.auto()  # by the endpoint or the network: try again
  UNREACHED = enum.auto()  # before there was a connection: try again
  CHANGED = enum.auto()  # the endpoint lacks something: try without
  REFUSED = enum.auto()  # for good


@dataclasses.dataclass(frozen=True)
class _Outcome:
  end: _End
  text: str = ''
  said: str = ''


class Endpoint:
  """One model behind one address."""

  def __init__(self, config: ml_collections.ConfigDict):
    """Checks what can be checked without a connection.

    Args:
      config: `candidates.chat` of configs/common.py.

    Raises:
      PastaError: base_url or key_env cannot be used.
    """
    self._config = config
    self._url = access.completions_url(config.base_url)
    credentials.check_variable(config.key_env, 'candidates.chat.key_env')
    self._lock = threading.Lock()
    self._loop: asyncio.AbstractEventLoop | None = None
    self._client: httpx.AsyncClient | None = None
    self._slots = asyncio.Semaphore(config.max_concurrency)
    # The rest belongs to the loop's thread.
    self._resume_at = 0.0  # on the loop's clock: no request before
    self._form = forms.Form(config.response_format)
    self._was_heard = False  # it has sent something
    self._has_accepted = False  # it has accepted a request

  def submit(
    self,
    request: dict[str, Any],
    schema: dict[str, Any],
    is_usable: Callable[[str], bool],
    counters: counters_lib.Counters,
  ) -> concurrent.futures.Future:
    """Sends a request, again where that may help, until its time is over.

    The time of a request, turn_seconds, begins when it is its turn to be sent.

    Args:
      request: the body without response_format and stream; has a seed.
      schema: JSON schema of the answer.
      is_usable: whether a model's text is worth taking.
      counters: says what happened.

    Returns:
      A future of a Reply. It raises PastaError where the endpoint cannot be
      reached or rejects the request and has never accepted one: the config is
      wrong.

    Raises:
      PastaError: there is no key where there should be one.
    """
    key = access.read_key(self._config.key_env)
    return asyncio.run_coroutine_threadsafe(
      self._ask(request, schema, is_usable, counters, key), self._running()
    )

  def _running(self) -> asyncio.AbstractEventLoop:
    """The event loop, in its thread."""
    with self._lock:
      if self._loop is None:
        self._client = httpx.AsyncClient(
          # Beyond connecting, whole attempts have deadlines instead.
          timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
          follow_redirects=False,  # would carry the prompts elsewhere
          limits=httpx.Limits(max_connections=self._config.max_concurrency),
        )
        self._loop = asyncio.new_event_loop()
        threading.Thread(
          target=_serve, args=(self._loop,), name='chat', daemon=True
        ).start()
        weakref.finalize(self, _stop, self._loop, self._client)
      return self._loop

  async def _ask(
    self,
    request: dict[str, Any],
    schema: dict[str, Any],
    is_usable: Callable[[str], bool],
    counters: counters_lib.Counters,
    key: str,
  ) -> Reply:
    async with self._slots:
      deadline = _now() + self._config.turn_seconds
      best, useless, num_retries, pause = '', '', 0, 0.0
      outcome = None
      while True:
        start = max(_now(), self._resume_at) + pause
        if start >= deadline:
          counters.add('out_of_time')
          break
        await asyncio.sleep(start - _now())
        if pause:
          counters.add('retries')
        # The same seed would give the same useless answer again.
        body = {**request, 'seed': request['seed'] + num_retries}
        outcome = await self._attempt(body, schema, deadline, counters, key)
        is_whole = outcome.end is _End.WHOLE
        if is_usable(outcome.text):
          if is_whole:
            return Reply(outcome.text, is_whole)
          best = max(best, outcome.text, key=len)
          if outcome.end is _End.LATE:
            break  # another attempt would take as long
        else:
          useless = outcome.text or outcome.said or useless
          counters.add('unusable', int(is_whole))
        if outcome.end is _End.CHANGED:
          pause = 0.0
          continue
        if (
          outcome.end is _End.REFUSED or num_retries == self._config.max_retries
        ):
          break
        pause = self._config.backoff_seconds * random.uniform(0.5, 1.0)
        pause *= 2.0 ** min(num_retries, _MAX_DOUBLINGS)
        num_retries += 1
    if (
      outcome is not None
      and outcome.end is _End.UNREACHED
      and not self._was_heard
    ):
      raise errors.PastaError(
        f"config field 'candidates.chat.base_url' is "
        f'{self._config.base_url!r}, which cannot be reached: {outcome.said}'
      )
    return Reply(best or useless, is_whole=False, is_usable=bool(best))

  async def _attempt(
    self,
    body: dict[str, Any],
    schema: dict[str, Any],
    deadline: float,
    counters: counters_lib.Counters,
    key: str,
  ) -> _Outcome:
    """Sends a request once."""
    form = self._form
    headers = {
      'Content-Type': 'application/json',
      'Accept-Encoding': 'identity',  # the limit is on bytes that are read
    }
    if key:
      headers['Authorization'] = f'Bearer {key}'
    reader = response = None
    counters.add('requests')
    try:
      async with (
        asyncio.timeout_at(
          min(deadline, _now() + self._config.timeout_seconds)
        ),
        self._client.stream(
          'POST',
          self._url,
          content=json.dumps(form.body(body, schema)),
          headers=headers,
        ) as response,
      ):
        self._was_heard = True
        kind = response.headers.get('content-type', '')
        reader = reader_lib.Reader(
          self._config.max_answer_bytes,
          response.is_success and kind.startswith('text/event-stream'),
        )
        async for chunk in response.aiter_bytes():
          if not reader.feed(chunk):
            break
    except TimeoutError:
      counters.add('timeouts')
      return _Outcome(_End.LATE, _so_far(response, reader, key))
    except (httpx.ConnectError, httpx.ConnectTimeout) as e:
      counters.add('connection_errors')
      said = str(e) or type(e).__name__
      return _Outcome(_End.UNREACHED, said=access.redacted(said, key))
    except httpx.RequestError:
      counters.add('connection_errors')
      return _Outcome(_End.BROKEN, _so_far(response, reader, key))
    return self._judge(response, reader, form, counters, key)

  def _judge(
    self,
    response: httpx.Response,
    reader: reader_lib.Reader,
    form: forms.Form,
    counters: counters_lib.Counters,
    key: str,
  ) -> _Outcome:
    """What an answer that came to its end means."""
    status = response.status_code
    wait = reader_lib.wait_seconds(response.headers, status in _RATE_STATUS)
    if wait is not None:
      self._resume_at = max(self._resume_at, _now() + wait)
    text = _so_far(response, reader, key)
    if response.is_success:
      self._has_accepted = True
      if reader.error:
        counters.add('server_errors')
        return _Outcome(_End.BROKEN, text)
      if reader.is_cut:
        counters.add('oversized')
      said = '' if text else _message(reader, key)
      return _Outcome(_End.WHOLE, text, said)
    body = reader.body()
    said = _message(reader, key)
    if status in _LACKING_STATUS and self._adapts(form, said, counters):
      return _Outcome(_End.CHANGED)
    is_broke = status == 429 and _NO_MONEY.encode() in body
    if (status in _RETRY_STATUS or status >= 500) and not is_broke:
      counters.add('rate_limited' if status == 429 else 'server_errors')
      logging.log_every_n_seconds(
        logging.WARNING,
        'chat: %s answered %d (%s)',
        _SECONDS_BETWEEN_REPORTS,
        self._config.base_url,
        status,
        said,
      )
      return _Outcome(_End.BROKEN, said=said)
    # Once it has worked, no single request may end a session.
    if not self._has_accepted:
      raise errors.PastaError(self._explained(status, said))
    counters.add('refused')
    logging.warning('chat: %s', self._explained(status, said))
    return _Outcome(_End.REFUSED)

  def _adapts(
    self, form: forms.Form, said: str, counters: counters_lib.Counters
  ) -> bool:
    """Gives up what the endpoint says it lacks; whether to send again."""
    if form != self._form:
      return True  # another request has found out meanwhile
    if self._has_accepted:
      return False  # this form is fine: it is something else
    lacking, self._form = form.without(said)
    if lacking is None:
      return False
    counters.add('fallbacks')
    logging.warning(
      'chat: the endpoint rejects %s (%s); requests go on without',
      lacking,
      said,
    )
    return True

  def _explained(self, status: int, said: str) -> str:
    """One line on a rejected request; names the field to look at."""
    config = self._config
    where = f'{config.base_url} answered {status} ({said})'
    if status in (401, 403):
      if not config.key_env:
        return (
          f"config field 'candidates.chat.key_env' is '': {where}; name the "
          'environment variable that holds the key'
        )
      return (
        f"config field 'candidates.chat.key_env': {where} to the key in the "
        f'environment variable {config.key_env}'
      )
    if status == 404:
      return (
        f"config field 'candidates.chat.model' is {config.model!r}: {where}; "
        "the model is unknown there, or 'candidates.chat.base_url' is wrong"
      )
    if 300 <= status < 400 or status == 405:
      return (
        f"config field 'candidates.chat.base_url': {where}, expected the "
        'address that /chat/completions follows'
      )
    return f"config field 'candidates.chat': {where}"


def _now() -> float:
  return asyncio.get_running_loop().time()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
  asyncio.set_event_loop(loop)
  loop.run_forever()
  loop.close()


def _stop(loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient) -> None:
  """Ends the loop's thread, from whichever thread."""

  async def close():
    await client.aclose()
    loop.stop()

  asyncio.run_coroutine_threadsafe(close(), loop)


def _message(reader: reader_lib.Reader, key: str) -> str:
  """What a body that is no answer says, in one short line."""
  body = reader.body()
  # Before it is cut: half a key is still a secret.
  return reader_lib.message(body.replace(key.encode(), b'***') if key else body)


def _so_far(
  response: httpx.Response | None,
  reader: reader_lib.Reader | None,
  key: str,
) -> str:
  """What the model has written when an attempt ends."""
  if reader is None or not response.is_success:
    return ''
  text = reader.text()
  return access.redacted(text, key) if len(key) >= _MIN_SECRET_CHARS else text
