"""What the options of the map say: parsed, and consistent in themselves."""

import math
import string
from collections.abc import Mapping
from typing import Any, NamedTuple

from data.formats import field_paths
from pasta import errors
from pasta.types import CATEGORIES

NUM_COLUMNS = 4  # L
IMAGES_PER_PROMPT = 4  # M
OF_SESSION = ('session_id', 'user_id', 'initial_prompt')
OF_TURN = (
  'prompts',
  'images',
  'category',
  'turn',
  'choice',
  'satisfaction',
  'comparison',
)
FIELDS = (*OF_SESSION, 'turns', *OF_TURN, 'critique')
_NUMBERS = (
  'turn_base',
  'first_index',
  'choice_base',
  'satisfaction_low',
  'satisfaction_high',
)
_ONE_OF = {
  'rows': ('session', 'turn'),
  'turn_base': (0, 1),
  'flat_images': ('', 'column', 'row'),
  'first_index': (0, 1),
  'choice_is': ('index', 'flags', 'prompt'),
  'choice_base': (0, 1),
}
_REQUIRED = ('records', 'session_id', 'initial_prompt', 'prompts', 'choice')
_COMPARISONS = (
  ('comparison_better', 1),
  ('comparison_same', 0),
  ('comparison_worse', -1),
)
_PLACES = {  # what a field's path may hold
  'prompts': ({'column'},),
  'category': ({'column'},),
  'images': ({'column'}, {'column', 'image'}, {'index'}),
}
_IMAGE_PATH = ({'column', 'image'}, {'index'})


class Parsed(NamedTuple):
  """What is looked for in a record.

  Attributes:
    paths: by name of a field that is given; several where each column, or each
      image, has its own.
    categories: the release's names of categories, and ours.
    comparisons: the release's words for better, same and worse, as 1, 0, -1.
  """

  paths: dict[str, list[field_paths.Path]]
  categories: dict[str, str]
  comparisons: dict[str, int]


def parse(options: Mapping[str, Any]) -> Parsed:
  """Takes all options.

  Raises:
    PastaError: one is missing or cannot be meant so.
  """
  _check_values(options)
  _check_combination(options)
  paths = {n: _paths(options, n) for n in FIELDS if options[n]}
  if options['image_path']:
    _check_image_path(options)
  categories = _categories(options)
  comparisons = {options[name]: value for name, value in _COMPARISONS}
  if len(comparisons) < len(_COMPARISONS):
    raise _wrong(
      options, 'comparison_better', 'another text than the other two'
    )
  return Parsed(paths, categories, comparisons)


def _check_values(options: Mapping[str, Any]) -> None:
  """Types, required ones, and those that have few values."""
  for name, value in options.items():
    is_text = name not in _NUMBERS
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (isinstance(value, str) if is_text else number):
      raise _wrong(options, name, f'a {"text" if is_text else "number"}')
    if not is_text and not math.isfinite(value):
      raise _wrong(options, name, 'a finite number')
    if name in _ONE_OF and value not in _ONE_OF[name]:
      raise _wrong(options, name, f'one of {_ONE_OF[name]}')
  for name in _REQUIRED:
    if not options[name]:
      raise errors.PastaError(
        f"config field 'options.{name}' is empty; the names of this data "
        'set are not public: run launch.inspect_data and see '
        'data/pasta_release/README.md'
      )


def _check_combination(options: Mapping[str, Any]) -> None:
  """What the options must be together."""
  given = {n for n, v in options.items() if v != ''}
  by_turn = options['rows'] == 'turn'
  if len(given & {'images', 'image_path'}) != 1:
    what = 'both' if 'images' in given else 'neither'
    raise errors.PastaError(
      f"config fields 'options.images' and 'options.image_path': {what} of "
      'them is given, expected one'
    )
  if by_turn and 'turn' not in given:
    raise _wrong(options, 'turn', "a path, as 'options.rows' = 'turn'")
  if by_turn and 'turns' in given:
    raise _wrong(options, 'turns', "'' as 'options.rows' = 'turn'")
  for name in ('flat_images', 'images_cut', 'images_folder'):
    if name in given and 'images' not in given:
      raise _wrong(options, name, "'' without 'options.images'")
  if options['satisfaction_low'] == options['satisfaction_high']:
    raise _wrong(
      options, 'satisfaction_low', 'another number than the high one'
    )


def _paths(options: Mapping[str, Any], name: str) -> list[field_paths.Path]:
  """One path, or one for each column or image where it has placeholders."""
  text, first = options[name], options['first_index']
  places = _places(text)
  allowed = _PLACES.get(name, ())
  if places is None or (places and places not in allowed):
    names = [' and '.join(f'{{{p}}}' for p in sorted(a)) for a in allowed]
    raise _wrong(
      options, name, f'a path with {" or ".join(names) or "no braces"}'
    )
  if name == 'images' and options['flat_images'] and places:
    raise _wrong(options, 'flat_images', "'' as 'options.images' has {}")
  columns, images = range(NUM_COLUMNS), range(IMAGES_PER_PROMPT)
  if places == {'column'}:
    values = [{'column': c + first} for c in columns]
  elif places == {'index'}:
    num = NUM_COLUMNS * IMAGES_PER_PROMPT
    values = [{'index': i + first} for i in range(num)]
  elif places:
    values = [
      {'column': c + first, 'image': m + first} for c in columns for m in images
    ]
  else:
    values = [{}]
  try:
    return [
      field_paths.parse(text.format(**v) if places else text) for v in values
    ]
  except ValueError as e:
    raise errors.PastaError(f"config field 'options.{name}': {e}") from None


def _check_image_path(options: Mapping[str, Any]) -> None:
  path = options['image_path']
  places = _places(path)
  names = {'session_id', 'user_id', 'turn', 'column', 'image', 'index'}
  wanted = (
    places is not None
    and places <= names
    and any(w <= places for w in _IMAGE_PATH)
    and {'session_id', 'turn'} <= places
  )
  if not wanted:
    raise _wrong(
      options,
      'image_path',
      'a path with {session_id}, {turn} and {column} and {image}, or {index}',
    )
  try:
    path.format(session_id='s', user_id='u', turn=1, column=1, image=1, index=1)
  except (ValueError, TypeError) as e:
    raise errors.PastaError(
      f"config field 'options.image_path' is {path!r}: {e}"
    ) from None


def _categories(options: Mapping[str, Any]) -> dict[str, str]:
  """The release's names of categories and ours."""
  text = options['category_names']
  if not text:
    return {c: c for c in CATEGORIES}
  found = {}
  for pair in text.split(','):
    theirs, _, ours = (p.strip() for p in pair.rpartition('='))
    if not theirs or ours not in CATEGORIES:
      raise _wrong(
        options,
        'category_names',
        f"'THEIRS=OURS, ...' with ours of {CATEGORIES}",
      )
    found[theirs] = ours
  return found


def _places(text: str) -> set[str] | None:
  """Names of the placeholders of a template; None for what is none."""
  try:
    parts = list(string.Formatter().parse(text))
  except ValueError:
    return None
  names = set()
  for _, name, spec, conversion in parts:
    if name is None:
      continue
    if not name.isidentifier() or '{' in spec or conversion:
      return None
    names.add(name)
  return names


def _wrong(
  options: Mapping[str, Any], name: str, expected: str
) -> errors.PastaError:
  return errors.PastaError(
    f"config field 'options.{name}' is {options[name]!r}, expected {expected}"
  )
