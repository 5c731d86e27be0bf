"""The form of a request: what an endpoint is not known to lack.

Servers understand different parts of the protocol. What one rejects, and names,
is left out from then on.
"""

import dataclasses
import re
from typing import Any

FORMATS = ('json_schema', 'json_object', 'none')  # what to fall back to: right
_FORMAT_WORDS = re.compile(
  'response_format|json_schema|json_object|schema|grammar|structured', re.I
)
_OPTIONAL_FIELDS = ('seed', 'temperature', 'stream')
# The chat templates of some models, Gemma's among them, know no system role.
_SYSTEM_WORDS = re.compile(r'system\W+role|role\W+.{0,20}system', re.I)
_SYSTEM = 'the system role'


@dataclasses.dataclass(frozen=True)
class Form:
  """How requests are written.

  Attributes:
    response_format: what the answer is held to, one of FORMATS.
    dropped: fields that the endpoint lacks.
  """

  response_format: str
  dropped: frozenset[str] = frozenset()

  def body(
    self, request: dict[str, Any], schema: dict[str, Any]
  ) -> dict[str, Any]:
    """A request with all that the endpoint is not known to lack."""
    body = {**request, 'stream': True}
    if self.response_format == 'json_schema':
      body['response_format'] = {
        'type': 'json_schema',
        'json_schema': {
          'name': 'candidates',
          'strict': True,
          'schema': schema,
        },
      }
    elif self.response_format == 'json_object':
      body['response_format'] = {'type': 'json_object'}
    if 'max_tokens' in self.dropped:
      body['max_completion_tokens'] = body['max_tokens']
    if _SYSTEM in self.dropped:
      body['messages'] = _without_system(body['messages'])
    return {k: v for k, v in body.items() if k not in self.dropped}

  def without(self, said: str) -> tuple[str | None, 'Form']:
    """What a rejection says is lacking, None for nothing; the form without."""
    if self.response_format != 'none' and _FORMAT_WORDS.search(said):
      following = FORMATS[FORMATS.index(self.response_format) + 1]
      return (
        f'response_format {self.response_format}',
        dataclasses.replace(self, response_format=following),
      )
    if _SYSTEM not in self.dropped and _SYSTEM_WORDS.search(said):
      return _SYSTEM, self._dropping(_SYSTEM)
    fields = set(_OPTIONAL_FIELDS)
    if 'max_completion_tokens' in said:
      fields.add('max_tokens')
    for field in sorted(fields - self.dropped):
      if re.search(rf'\b{field}\b', said):
        return field, self._dropping(field)
    return None, self

  def _dropping(self, field: str) -> 'Form':
    return dataclasses.replace(self, dropped=self.dropped | {field})


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """The same in one message of the user's."""
  system, user = messages
  content = user['content']
  if isinstance(content, str):
    content = f'{system["content"]}\n\n{content}'
  else:
    content = [{'type': 'text', 'text': system['content']}, *content]
  return [{'role': 'user', 'content': content}]
