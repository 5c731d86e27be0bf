"""A stage's recorded configuration against the one that it is run with.

A field that a later version added has the value that stands for what was done
before there was such a field. So results stay good through an upgrade, and what
an upgrade does otherwise is refused by name.
"""

import fnmatch
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_MAX_SHOWN_FIELDS = 3  # of those that differ
_ABSENT = object()
# Parts that are another stage's config.
_NESTED = ('collect', 'extract_features', 'fit', 'sweep')

# By the last version without the field: patterns of dotted names, and what that
# version did. What its other fields left unused has today's default.
_LACKED = {
  '0.1.0': {
    '*policy.feedback': [],
    'behaviour.*.feedback': [],
    'policies.*.feedback': [],
    '*policy.num_candidates': 0,
    'behaviour.*.num_candidates': 0,
    'policies.*.num_candidates': 0,
    '*policy.sparing_weight': 0.2,
    'behaviour.*.sparing_weight': 0.2,
    'policies.*.sparing_weight': 0.2,
    'population.careless_share': 0.0,
    'population.habituation': 0.0,
    'population.position_bias': 0.0,
    'world.candidates.append_only': False,
    'world.candidates.arguments': '',
    'world.candidates.*.allow_unusable': False,
    'world.t2i.arguments': '',
    'name': '',
    'prompts': '',
    'people': 'hidden',
    'policies.*.value': '',
    # evaluate
    'beliefs_of': '',
    'ceilings.slate_particles': 192,
    'returning.num_sessions': 1,
    'returning.num_people': 150,
    'returning.policies': ['pasta'],
    # train_user_model: beliefs heard choices alone.
    'belief.choice': 1.0,
    'belief.satisfaction': 0.0,
    'belief.comparison': 0.0,
    'belief.widening': 0.0,
    'lapse': False,
    'typical_lapse': 0.05,
    'lapse_ridge': 0.25,
    'position': False,
    'position_ridge': 0.1,
    # train_value, and fitted_q of off_policy
    '*history': 'full',
    '*item_text': True,
    '*projection_dim': 4,
    '*tiring': False,
  },
}


class Difference(NamedTuple):
  """A field that differs.

  Attributes:
    name: dotted.
    before: its recorded value, or what stands for it.
    now: its value; `before` and `now` may be absent.
    lacked_by: the version that had no such field; '' where it is recorded.
  """

  name: str
  before: Any
  now: Any
  lacked_by: str = ''

  def is_growth(self) -> bool:
    """Whether a whole number became a larger one."""
    values = self.before, self.now
    return all(type(x) is int for x in values) and self.before < self.now


def differences(
  old: Mapping[str, Any], new: Mapping[str, Any], ignore: Sequence[str] = ()
) -> list[Difference]:
  """The fields in which two configurations differ.

  Args:
    old: the recorded one.
    new: plain, as `files.to_plain` returns it.
    ignore: dotted names of fields, or of what holds them, that may differ.
  """
  old_fields, new_fields = flatten(old), flatten(new)
  found = []
  for name in new_fields | old_fields:
    if is_ignored(name, ignore):
      continue
    before, lacked_by = old_fields.get(name, _ABSENT), ''
    if before is _ABSENT:
      before, lacked_by = _lacked(name)
    now = new_fields.get(name, _ABSENT)
    # 1 == True in Python, not in a configuration.
    if before is _ABSENT or now is _ABSENT or _text(before) != _text(now):
      found.append(Difference(name, before, now, lacked_by))
  return found


def describe(found: Sequence[Difference], path: str) -> str:
  """The first few differences from the record at `path`, in one line."""
  lines = [
    f'config field {d.name!r} is {_text(d.before)} in {path}'
    + (f' (version {d.lacked_by} had no such field)' if d.lacked_by else '')
    + f' but {_text(d.now)} here'
    for d in found[:_MAX_SHOWN_FIELDS]
  ]
  more = len(found) - _MAX_SHOWN_FIELDS
  return '; '.join(lines) + (f'; and {more} more' if more > 0 else '')


def flatten(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Dotted names to values; an empty mapping is a value."""
  fields = {}
  for name, value in config.items():
    if isinstance(value, Mapping) and value:
      fields |= flatten(value, f'{prefix}{name}.')
    else:
      fields[prefix + name] = value
  return fields


def is_ignored(name: str, ignore: Sequence[str]) -> bool:
  """Whether a dotted name is one of those to ignore, or lies below one."""
  return any(name == x or name.startswith(x + '.') for x in ignore)


def _lacked(name: str) -> tuple[Any, str]:
  """What stands for a field that is not recorded, and the version without."""
  while name.partition('.')[0] in _NESTED:
    name = name.partition('.')[2]
  for version, fields in _LACKED.items():
    for pattern, value in fields.items():
      if fnmatch.fnmatchcase(name, pattern):
        return value, version
  return _ABSENT, ''


def _text(value: Any) -> str:
  return 'absent' if value is _ABSENT else json.dumps(value)
