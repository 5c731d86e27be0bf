"""Address and key of a chat endpoint: checked, and the key never shown."""

import os

import httpx

from pasta import credentials, errors

_URL_FIELD = 'candidates.chat.base_url'


def completions_url(base_url: str) -> str:
  """The address of requests.

  Raises:
    PastaError: it is no address, or holds something that may be a key.
  """
  where = f"config field '{_URL_FIELD}'"
  example = "expected an address such as 'http://localhost:8000/v1'"
  try:
    url = httpx.URL(base_url)
  except (httpx.InvalidURL, TypeError):
    raise errors.PastaError(f'{where} is no address; {example}') from None
  credentials.check_address(base_url, _URL_FIELD)
  if url.scheme not in ('http', 'https') or not url.host:
    raise errors.PastaError(f'{where} is {base_url!r}; {example}')
  return base_url.rstrip('/') + '/chat/completions'


def read_key(name: str) -> str:
  """The key in an environment variable; '' where none is needed.

  Raises:
    PastaError: it is not set, or can be no key.
  """
  if not name:
    return ''
  key = os.environ.get(name, '').strip()
  if not key:
    raise errors.PastaError(
      f"config field 'candidates.chat.key_env' names the environment variable "
      f'{name}, which is not set'
    )
  if not key.isascii() or not key.isprintable() or ' ' in key:
    raise errors.PastaError(
      f'the environment variable {name} (config field '
      "'candidates.chat.key_env') holds characters that no key has"
    )
  return key


def redacted(text: str, key: str) -> str:
  """A text without the key, should the endpoint have repeated it."""
  return text.replace(key, '***') if key else text
