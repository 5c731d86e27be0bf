"""The commands that a table is prepared and fitted with, as far as it tells.

Columns are told by their names and by what their first rows hold. What could
not be told, or is not certain, is said beside.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from configs import prepare_data as config_lib
from data.formats import field_paths, raw_files, records
from data.own import cells, table

_LOOKED_AT = 100  # rows
_IMAGE_ENDING = re.compile(r'\.(jpe?g|png|webp)$', re.IGNORECASE)
_NAMES = {  # what fields are called elsewhere, the likelier ones first
  'person': 'person person_id user user_id rater rater_id annotator '
  'annotator_id worker worker_id participant participant_id judge uid sid',
  'prompt': 'prompt caption text query description',
  'prompt_features': 'prompt_features prompt_embedding text_embedding '
  'text_features prompt_emb text_emb',
  'chosen': 'chosen choice winner preferred preference best selected label_a '
  'label_0 label vote answer',
  'rating': 'rating score stars grade original_score',
  'time': 'time timestamp created_at date order',
  'session': 'session session_id conversation conversation_id',
  'turn': 'turn turn_id step round',
  'prompts': 'prompts candidates expansions texts',
}
_PAIR_ENDS = (('a', 'b'), ('left', 'right'), ('0', '1'), ('1', '2'))


class Proposal(NamedTuple):
  """What a table is taken for.

  Attributes:
    kind: variant of configs/prepare_data.py.
    fields: column by field.
    options: by name, those that differ from the defaults.
    doubts: what was not found or is not certain, for a person to read.
  """

  kind: str
  fields: dict[str, str]
  options: dict[str, Any]
  doubts: list[str]


def lines(raw: str, names: Sequence[str]) -> Iterator[str]:
  """Yields what `launch.inspect_data` prints last.

  Args:
    raw: what --raw names.
    names: the files that were found, relative to their directory.
  """
  directory = raw if os.path.isdir(raw) else os.path.dirname(raw) or '.'
  files = table.open_table(directory)
  found = {n: table.columns(files, n) for n in names}
  name = next(iter(found))
  proposal = guess(_samples(files, name))
  if proposal is None:
    yield (
      'Not taken for pairs, ratings, slates or sessions of your own: see '
      'data/README.md for what their columns hold.'
    )
    return
  is_one = all(c == found[name] for c in found.values())
  where = raw if is_one else os.path.join(directory, name)
  yield f'Taken for {proposal.kind} of your own. Next:'
  yield ''
  yield from _commands(proposal, where)
  if proposal.doubts:
    yield ''
    yield from (f'Not certain: {doubt}' for doubt in proposal.doubts)


def _samples(files: raw_files.RawFiles, name: str) -> dict[str, list[Any]]:
  """Cells of the first rows, by column."""
  found = {c: [] for c in table.columns(files, name)}
  for place in records.first_places(files, name, _LOOKED_AT):
    for _, record in records.read(files, name, [place]):
      for column, values in found.items():
        values.append(record.get(column))
  return found


def guess(samples: Mapping[str, Sequence[Any]]) -> Proposal | None:
  """What a table is; None where it is none of what is known.

  Args:
    samples: cells of some rows, by column.
  """
  named = {_plain(c): c for c in reversed(samples)}
  images = [c for c, values in samples.items() if _is_image(values)]
  fields = {}
  for field, known in _NAMES.items():
    column = next((named[n] for n in known.split() if n in named), '')
    if column and column not in images or field == 'prompt_features':
      fields[field] = column
  lists = [c for c, values in samples.items() if _is_list_of_images(values)]
  features = [c for c, values in samples.items() if _is_features(values)]
  features = [c for c in features if c != fields.get('prompt_features')]
  options, doubts = {}, []
  for found in (images, features):
    pair = _pair(found)
    if pair:
      kind, taken = 'pairs', {'image_a': pair[0], 'image_b': pair[1]}
      if pair[2]:
        options['first_index'] = 1
    elif len(found) > 2:
      kind, taken = 'slates', {'images': ','.join(found)}
    elif lists and fields.get('session') and fields.get('prompts'):
      kind, taken = 'sessions', {'images': lists[0]}
    elif lists:
      kind, taken = 'slates', {'images': lists[0]}
    elif len(found) == 1 and 'rating' in fields:
      kind, taken = 'ratings', {'image': found[0]}
    else:
      continue
    break
  else:
    return None
  if found is features or any(
    _is_features(v[0]) for c in lists if (v := [x for x in samples[c] if x])
  ):
    options['encoder_id'] = 'NAME_OF_ENCODER'
    doubts.append('options.encoder_id: say who made the features')
  fields = {**fields, **taken}
  if kind == 'pairs':
    _guess_chosen(samples, fields, options, doubts)
  return _checked(kind, fields, options, doubts)


def _checked(kind, fields, options, doubts) -> Proposal:
  """The fields of the kind alone, with what is missing among the doubts."""
  known = config_lib.OPTIONS[kind]['fields']
  fields = {f: fields.get(f, '') for f in known}
  for field in ('person', 'prompt', 'chosen', 'rating'):
    if field not in known or fields[field]:
      continue
    if field == 'prompt' and 'encoder_id' in options:
      continue
    doubts.append(
      {
        'person': 'fields.person: no column found, every row would be a person '
        'of its own',
        'prompt': 'fields.prompt: no column found, prompts would be empty',
      }.get(field, f'fields.{field}: no column found; it is needed')
    )
  if kind == 'sessions':
    return Proposal(kind, fields, {}, doubts)
  if 'encoder_id' in options:
    fields['prompt'] = known['prompt']  # Not read.
    if not fields['prompt_features']:
      doubts.append('fields.prompt_features: no column found; it is needed')
  else:
    fields['prompt_features'] = ''
  return Proposal(kind, fields, options, doubts)


def _guess_chosen(samples, fields, options, doubts) -> None:
  """Whether the column of choices numbers an image or says how much."""
  column = fields.get('chosen')
  if not column:
    return
  values = [v for v in samples[column] if v not in (None, '')]
  try:
    numbers = {cells.preference(v, column) for v in values}
  except ValueError:
    return
  if not numbers <= {0.0, 1.0} or any(isinstance(v, bool) for v in values):
    options['chosen_is'] = 'preference'
  elif 'label' in column.lower() or 'preference' in column.lower():
    options['chosen_is'] = 'preference'
    doubts.append(
      f'{column!r} holds 0 and 1: taken for 1 = image a; does it number the '
      'chosen image, drop options.chosen_is'
    )
  else:
    doubts.append(
      f'{column!r} holds 0 and 1: taken for the number of the chosen image; is '
      '1 = image a, add --config.options.chosen_is=preference'
    )


def _commands(proposal: Proposal, raw: str) -> Iterator[str]:
  """Both commands, a flag a line."""
  kind = proposal.kind
  flags = [
    f'--config.fields.{field}={shlex.quote(column) if column else ""}'
    for field, column in proposal.fields.items()
    if column != config_lib.OPTIONS[kind]['fields'][field]
  ]
  flags += [
    f'--config.options.{name}={shlex.quote(str(value))}'
    for name, value in proposal.options.items()
  ]
  yield from _command(
    'prepare_data',
    f'--config=configs/prepare_data.py:{kind}',
    f'--raw={shlex.quote(raw)}',
    '--workdir=DIR',
    *flags,
  )
  flags = []
  if not proposal.fields['person'] and kind != 'sessions':
    flags.append(
      '--config.train_user_model.sources.preferences.membership=example'
    )
  if 'encoder_id' in proposal.options:
    flags.append('--config.extract_features.encoder=')
  yield from _command(
    'fit_preferences',
    f'--config=configs/fit_preferences.py:{kind}',
    '--workdir=DIR',
    *flags,
  )


def _command(name: str, *flags: str) -> Iterator[str]:
  yield f'python -m launch.{name} \\'
  for flag in flags[:-1]:
    yield f'  {flag} \\'
  yield f'  {flags[-1]}'


def _plain(name: str) -> str:
  return re.sub(r'\W+', '_', name.strip().lower())


def _pair(columns: Sequence[str]) -> tuple[str, str, bool] | None:
  """Two columns for the sides of a pair, and whether they count from 1."""
  named = {_plain(c): c for c in columns}
  for first, second in _PAIR_ENDS:
    for name, column in named.items():
      stem = re.sub(rf'(^|_|(?<=[a-z])){first}$', '', name)
      if stem == name:
        continue
      other = named.get(name.removesuffix(first) + second)
      if other and len(columns) == 2:
        return column, other, first == '1'
  return None


def _is_image(values: Sequence[Any]) -> bool:
  found = [cells.reference(v) for v in values if v not in (None, '')]
  return bool(found) and all(
    isinstance(v, bytes) or isinstance(v, str) and _IMAGE_ENDING.search(v)
    for v in found
  )


def _is_features(values: Sequence[Any]) -> bool:
  found = [field_paths.unpack(v) for v in values if v not in (None, '')]
  return bool(found) and all(
    isinstance(v, list) and v and all(type(x) in (int, float) for x in v)
    for v in found
  )


def _is_list_of_images(values: Sequence[Any]) -> bool:
  found = [field_paths.unpack(v) for v in values if v not in (None, '')]
  return bool(found) and all(
    isinstance(v, list) and len(v) > 1 and (_is_image(v) or _is_features(v))
    for v in found
  )
