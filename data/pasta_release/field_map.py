"""Which fields of whose records become what of a session.

The map is the options of the data set, each a text or a number; README.md tells
what each means.
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from data.formats import checks, field_paths, raw_directory, raw_files
from data.pasta_release import map_options
from data.pasta_release.map_options import IMAGES_PER_PROMPT, NUM_COLUMNS
from pasta import errors
from pasta.types import UNKNOWN_CATEGORY

MAX_TURNS = 5
NOT_ASKED = -2  # in place of a comparison
_OPTIONAL = ('satisfaction', 'comparison', 'critique', 'category')
_SHOWN_FIELDS = 40
_WHOLE = re.compile(r'([+-]?\d{1,18})(?:\.0*)?')
_FLAGS = {
  **dict.fromkeys(('true', '1', '1.0'), True),
  **dict.fromkeys(('false', '0', '0.0', 'none', ''), False),
}


class _Turn(NamedTuple):
  """Where the fields of a turn are found.

  Attributes:
    holder: a record, or an entry of its list of turns.
    place: the turn's place in each field of `holder` that is a list over
      turns; None where a field is the turn's own.
  """

  holder: Any
  place: int | None


class FieldMap:
  """A map that is consistent in itself.

  Attributes:
    options: as given.
    columns: names that the map looks for in a record.
    id_columns: those of them that tell the session.
  """

  def __init__(self, options: Mapping[str, Any]):
    """Takes all options.

    Raises:
      PastaError: an option is missing or cannot be meant so.
    """
    self.options = dict(options)
    parsed = map_options.parse(self.options)
    self._paths, self._categories, self._comparisons = parsed
    every = [p for paths in self._paths.values() for p in paths]
    self.columns = _first_names(every)
    self.id_columns = _first_names(self._paths['session_id'])

  @property
  def by_turn(self) -> bool:
    """Whether a record is one turn."""
    return self.options['rows'] == 'turn'

  def session_id(self, record: Mapping[str, Any]) -> str:
    """The session of a record; ValueError where it has none."""
    value, _ = field_paths.find(record, self._paths['session_id'][0])
    return checks.as_user(value, 'session_id')

  def check_required(self, record: Mapping[str, Any], where: str) -> None:
    """Raises PastaError where a record lacks what every one must have."""
    holder = record
    for name in map_options.FIELDS:
      if name not in self._paths or name in _OPTIONAL:
        continue
      if name == 'turns':
        holder = self._entries(record)
      source = record if name in (*map_options.OF_SESSION, 'turns') else holder
      known = all(field_paths.find(source, p)[1] for p in self._paths[name])
      if not known or (name == 'turns' and not isinstance(holder, dict)):
        raise errors.PastaError(
          f"config field 'options.{name}' is {self.options[name]!r}, which "
          f'{where} {"lacks" if not known else "has, but as no list"}; found '
          f'there: {field_paths.fields(source, _SHOWN_FIELDS)}'
        )

  def check_optional(
    self, sessions: Sequence[Sequence[Mapping[str, Any]]], where: str
  ) -> None:
    """Raises PastaError for optional fields that no session's records have."""
    for name in _OPTIONAL:
      if name in self._paths and not any(
        self._has(records, name) for records in sessions
      ):
        raise errors.PastaError(
          f"config field 'options.{name}' is {self.options[name]!r}, which "
          f'none of the first {len(sessions)} sessions of {where} has; found '
          f'there: {field_paths.fields(sessions[0][0], _SHOWN_FIELDS)}'
        )

  def example(
    self, records: Sequence[Mapping[str, Any]], files: raw_files.RawFiles
  ) -> dict[str, Any]:
    """A session as `Builder.feature_spec` has it.

    Args:
      records: one, or those of its turns.
      files: to read images from.

    Raises:
      ValueError: what is wrong with it.
    """
    session_id = self.session_id(records[0])
    turns = self._turns(records)
    found = {
      'session_id': session_id,
      'user_id': session_id,
      'initial_prompt': self._same(records, 'initial_prompt', _text),
      'generator_id': self.options['generator_id'],
      't2i_id': self.options['t2i_id'],
    }
    if 'user_id' in self._paths:
      found['user_id'] = self._same(records, 'user_id', checks.as_user)
    made = []
    for t, (number, turn) in enumerate(turns):
      try:
        made.append(self._turn(turn, t))
      except ValueError as e:
        raise ValueError(f'turn {number}: {e}') from None
    names = {'session_id': session_id, 'user_id': found['user_id']}
    for (number, _), turn in zip(turns, made):
      try:
        read = self._images(turn.pop('given'), {**names, 'turn': number}, files)
      except ValueError as e:
        raise ValueError(f'turn {number}: {e}') from None
      turn['images'], turn['files'] = read
    for name in ('prompts', 'categories', 'files', 'images'):
      found[name] = list(itertools.chain(*(t[name] for t in made)))
    for name in ('choice', 'satisfaction', 'comparison', 'critique'):
      found[name] = [t[name] for t in made]
    return found

  def _turns(self, records: Sequence[Any]) -> list[tuple[int, _Turn]]:
    """A session's turns with their numbers, oldest first."""
    if self.by_turn:
      turns = [_Turn(r, None) for r in records]
    elif 'turns' in self._paths:
      entries, _ = field_paths.find(records[0], self._paths['turns'][0])
      turns = [_Turn(e, None) for e in _list(entries, 'turns')]
    else:
      path = self._paths['prompts'][0]
      value, _ = field_paths.find(records[0], path)
      num = len(_list(value, 'prompts'))
      turns = [_Turn(records[0], t) for t in range(num)]
      for name in (*map_options.OF_TURN, 'critique'):
        for path in self._paths.get(name, ()):
          value, _ = field_paths.find(records[0], path)
          _list(value, path.text, num)
    if not 1 <= len(turns) <= MAX_TURNS:
      raise ValueError(f'{len(turns)} turns, expected 1 to {MAX_TURNS}')
    first = self.options['turn_base']
    numbers = list(range(first, first + len(turns)))
    if 'turn' in self._paths:
      given = [_whole(self._get(t, 'turn'), 'turn') for t in turns]
      if sorted(given) != numbers:
        raise ValueError(f'its turns are {sorted(given)}, expected {numbers}')
      turns = [t for _, t in sorted(zip(given, turns), key=lambda x: x[0])]
    return list(zip(numbers, turns))

  def _turn(self, turn: _Turn, t: int) -> dict[str, Any]:
    """All of a turn but its images."""
    prompts = [_text(p, 'prompts') for p in self._columns(turn, 'prompts')]
    given = ()
    if 'images' in self._paths:
      given = self._image_entries(turn)
    categories = [UNKNOWN_CATEGORY] * NUM_COLUMNS
    if 'category' in self._paths:
      categories = [self._category(c) for c in self._columns(turn, 'category')]
    critique = self._get(turn, 'critique')
    return {
      'prompts': prompts,
      'given': given,
      'categories': categories,
      'choice': self._choice(turn, prompts),
      'satisfaction': self._satisfaction(turn),
      'comparison': self._comparison(turn) if t else NOT_ASKED,
      'critique': ''
      if critique is None
      else checks.as_text(critique, 'critique'),
    }

  def _choice(self, turn: _Turn, prompts: Sequence[str]) -> int:
    value, kind = self._get(turn, 'choice'), self.options['choice_is']
    if kind == 'index':
      low = self.options['choice_base']
      high = low + NUM_COLUMNS - 1
      return (
        checks.as_integer(_whole(value, 'choice'), 'choice', low, high) - low
      )
    if kind == 'prompt':
      flags = [p == value for p in prompts]
    else:
      given = [str(f).lower() for f in _list(value, 'choice', NUM_COLUMNS)]
      if not all(f in _FLAGS for f in given):
        raise ValueError(f'choice is {value!r:.100}, expected true and false')
      flags = [_FLAGS[f] for f in given]
    if sum(flags) != 1:
      raise ValueError(
        f'choice {value!r:.100} names {sum(flags)} columns, expected 1'
      )
    return flags.index(True)

  def _satisfaction(self, turn: _Turn) -> float:
    """In [0, 1]; NaN where it was not asked."""
    value = self._get(turn, 'satisfaction')
    if value is None or value == '':
      return math.nan
    low, high = (
      float(self.options[f'satisfaction_{n}']) for n in ('low', 'high')
    )
    if isinstance(value, str):
      try:
        value = float(value)
      except ValueError:
        raise ValueError(
          f'satisfaction is {value!r:.40}, expected a number'
        ) from None
    value = checks.as_number(
      value, 'satisfaction', min(low, high), max(low, high)
    )
    return (value - low) / (high - low)

  def _comparison(self, turn: _Turn) -> int:
    value = self._get(turn, 'comparison')
    if value is None or value == '':
      return NOT_ASKED
    text = str(value)
    if isinstance(value, bool | list | dict) or text not in self._comparisons:
      raise ValueError(
        f'comparison is {value!r:.40}, expected one of '
        f'{list(self._comparisons)}'
      )
    return self._comparisons[text]

  def _category(self, value: Any) -> str:
    if value is None or value == '':
      return UNKNOWN_CATEGORY
    if not isinstance(value, str) or value not in self._categories:
      raise ValueError(
        f'category is {value!r:.40}, expected one of {list(self._categories)}'
      )
    return self._categories[value]

  def _image_entries(self, turn: _Turn) -> list[Any]:
    """L * M paths or encoded images, column after column."""
    num = NUM_COLUMNS * IMAGES_PER_PROMPT
    paths = self._paths['images']
    if len(paths) == num:
      return [self._at(turn, p, 'images') for p in paths]
    if self.options['flat_images']:
      flat = _list(self._at(turn, paths[0], 'images'), 'images', num)
      if self.options['flat_images'] == 'row':
        flat = [x for c in range(NUM_COLUMNS) for x in flat[c::NUM_COLUMNS]]
      return flat
    columns = self._columns(turn, 'images')
    lists = [_list(c, 'images of a column', IMAGES_PER_PROMPT) for c in columns]
    return list(itertools.chain(*lists))

  def _images(
    self,
    given: Sequence[Any],
    names: Mapping[str, Any],
    files: raw_files.RawFiles,
  ) -> tuple[list[bytes], list[str]]:
    """Encoded images and their paths, '' for those that a record holds."""
    if not given:
      first = self.options['first_index']
      given = [
        self.options['image_path'].format(
          **names,
          column=c + first,
          image=m + first,
          index=c * IMAGES_PER_PROMPT + m + first,
        )
        for c in range(NUM_COLUMNS)
        for m in range(IMAGES_PER_PROMPT)
      ]
    images, paths = [], []
    for entry in given:
      if isinstance(entry, bytes):
        data, path = raw_directory.check_image(entry), ''
      else:
        path = self._file(entry)
        data = files.image(path)
      images.append(data)
      paths.append(checks.as_text(path, 'image path'))
    return images, paths

  def _file(self, entry: Any) -> str:
    """The name of an image file, from what a record says."""
    if 'images' not in self._paths:
      return entry
    cut, folder = self.options['images_cut'], self.options['images_folder']
    if cut and not (isinstance(entry, str) and entry.startswith(cut)):
      raise ValueError(
        f'image path {entry!r:.200} does not begin with images_cut = {cut!r}'
      )
    name = raw_files.safe_name(entry[len(cut) :] if cut else entry)
    if name is None:
      raise ValueError(
        f'{entry!r:.200} is no path of an image within its folder'
      )
    return f'{folder.rstrip("/")}/{name}' if folder else name

  def _columns(self, turn: _Turn, name: str) -> list[Any]:
    """The L entries of a field that has one for each column."""
    paths = self._paths[name]
    if len(paths) > 1:
      return [self._at(turn, p, name) for p in paths]
    return _list(self._at(turn, paths[0], name), name, NUM_COLUMNS)

  def _get(self, turn: _Turn, name: str) -> Any:
    """A turn's field; None where it has none."""
    if name not in self._paths:
      return None
    return self._at(turn, self._paths[name][0], name)

  def _at(self, turn: _Turn, path: field_paths.Path, name: str) -> Any:
    value, _ = field_paths.find(turn.holder, path)
    return value if turn.place is None else _list(value, name)[turn.place]

  def _same(
    self, records: Sequence[Any], name: str, convert: Callable[[Any, str], str]
  ) -> str:
    """A field of the session, which later turns may repeat or leave out."""
    values = [field_paths.find(r, self._paths[name][0])[0] for r in records]
    given = {convert(v, name) for v in values if v is not None and v != ''}
    if len(given) > 1:
      raise ValueError(f'{name} differs between its turns: {sorted(given)[:2]}')
    return given.pop() if given else convert(values[0], name)

  def _entries(self, record: Any) -> Any:
    """The first of a record's turns; None where it has no list of them."""
    turns = field_paths.unpack(
      field_paths.find(record, self._paths['turns'][0])[0]
    )
    return turns[0] if isinstance(turns, list) and turns else None

  def _has(self, records: Sequence[Any], name: str) -> bool:
    try:
      turns = self._turns(records)
    except ValueError:
      return False
    return any(
      field_paths.find(turn.holder, path)[1]
      for _, turn in turns
      for path in self._paths[name]
    )


def _first_names(paths: Sequence[field_paths.Path]) -> set[str]:
  return {p.text for p in paths} | {p.steps[0] for p in paths}


def _list(value: Any, name: str, length: int | None = None) -> list:
  value = field_paths.unpack(value)
  if not isinstance(value, list):
    raise ValueError(f'{name} is {value!r:.60}, expected a list')
  if length is not None and len(value) != length:
    raise ValueError(f'{name} has {len(value)} entries, expected {length}')
  return value


def _text(value: Any, name: str) -> str:
  if not checks.as_text(value, name).strip():
    raise ValueError(f'{name} is empty')
  return value


def _whole(value: Any, name: str) -> int:
  """A whole number, also as CSV and columns with gaps have it: '2', 2.0."""
  if isinstance(value, str):
    match = _WHOLE.fullmatch(value.strip())
    if match is None:
      raise ValueError(f'{name} is {value!r:.40}, expected a whole number')
    return int(match[1])
  if isinstance(value, float) and value.is_integer():
    return int(value)
  return checks.as_integer(value, name)
