"""Sessions that PASTA has recorded or simulated; images are drawn again."""

import functools
import io
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data import base
from data.formats import checks, raw_directory
from data.pasta_sessions import shard_parts
from pasta import errors
from pasta.storage import sessions
from pasta.t2i import base as t2i_lib
from pasta.t2i.sketch import sketch
from pasta.types import Candidate

_SESSIONS_PER_UNIT = {'none': 200, 'render': 25}  # by option `images`
_MAX_IMAGES = 64  # of a prompt
_NO_COMPARISON = -2
_PNG_LEVEL = 3  # more takes three times as long and gains nothing
_T2I_ID = re.compile(r'(?P<name>.+)@(?P<size>[0-9]{1,4})/v[0-9]+')
_TEXTS = (
  'session_id',
  'user_id',
  'source',
  'initial_prompt',
  'policy_id',
  'generator_id',
  't2i_id',
)


class Builder(base.SessionBuilder):
  """Sessions as `pasta.storage.sessions` writes them."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  HOMEPAGE = 'https://arxiv.org/abs/2412.10419'

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    if found['images'] not in ('none', 'render'):
      raise errors.PastaError(
        f"config field 'options.images' is {found['images']!r}, expected "
        "'none' or 'render'"
      )
    return found

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    features = tfds.features

    def whole(doc: str) -> features.Scalar:
      return features.Scalar(np.int32, doc=doc)

    def number(doc: str) -> features.Tensor:
      # As bytes: a float64 that is stored as a number becomes a float32.
      return features.Tensor(
        shape=(), dtype=np.float64, encoding='bytes', doc=doc
      )

    spec = {
      'session_id': features.Text(doc='Unique.'),
      'user_id': features.Text(doc='Who answered.'),
      'source': features.Text(doc="'human', 'population' or 'simulated'."),
      'initial_prompt': features.Text(doc='What the person typed.'),
      'policy_id': features.Text(doc='What chose the slates.'),
      'generator_id': features.Text(doc='What wrote the candidates.'),
      't2i_id': features.Text(doc='What drew the images.'),
      'images_per_prompt': whole('M.'),
      'started_at': number('Unix time, seconds.'),
      'turns': features.Sequence(
        {
          'num_candidates': whole('C, entries of `candidates`.'),
          'num_columns': whole('L, entries of `slate`, `columns`, `seeds`.'),
          'log_propensity': number(
            'Log probability of showing this set of candidates; NaN: unknown.'
          ),
          'choice': whole('Position in the slate, 0 to L - 1.'),
          'satisfaction': number('In [0, 1]; NaN: not asked.'),
          'comparison': whole(
            'With the turn before: -1 worse, 0 same, 1 better; -2: not asked.'
          ),
          'critique': features.Text(doc="'' where none."),
          'answered_at': number('Unix time, seconds.'),
        },
        doc='Oldest first.',
      ),
      'candidates': features.Sequence(
        {
          'text': features.Text(doc='The whole prompt.'),
          'category': features.Text(doc="Kind of expansion; '': unknown."),
          'score': number(
            "The policy's; NaN in all of a turn: it scores nothing."
          ),
        },
        doc='C of the first turn, then of the next, ...',
      ),
      'slate': features.Sequence(
        np.int32,
        doc="L shown ones of the first turn (positions in the turn's "
        'candidates, in the order of selection), then of the next, ...',
      ),
      'columns': features.Sequence(
        np.int32,
        doc='L of each turn: screen column c shows entry columns[c] of the '
        'slate.',
      ),
      'seeds': features.Tensor(
        shape=(None,),
        dtype=np.uint64,
        encoding='bytes',
        doc='L of each turn: T2I seed of each entry of the slate.',
      ),
    }
    if options['images'] == 'render':
      spec['images'] = features.Sequence(
        features.Image(shape=(None, None, 3), encoding_format='png'),
        doc='Of each turn L times M: M of each entry of the slate.',
      )
    return spec

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    raw_directory.check(raw)
    groups = list(
      shard_parts.groups(raw, _SESSIONS_PER_UNIT[options['images']])
    )
    if not groups:
      raise errors.PastaError(
        f'{raw}: holds no session, expected shards NNNNN.jsonl, found '
        f'{sorted(os.listdir(raw))[:3] or "nothing"}'
      )
    found = (s for parts in groups for _, s in shard_parts.read(raw, parts))
    first = next((s for s in found if s.turns), None)
    sizes = sorted(_sizes(first))[:1] if first else []
    return {
      'train': [
        base.Unit(
          f'{parts[0]["file"]}#{parts[0]["row"]}',
          tuple(dict.fromkeys(p['file'] for p in parts)),
          {'parts': parts, 'sizes': sizes},
        )
        for parts in groups
      ]
    }

  @classmethod
  def read(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, dict[str, Any]] | base.Skipped]:
    # Shards are whole or not at all, so nothing is skipped.
    sizes = set(unit.spec['sizes'])
    for where, session in shard_parts.read(raw, unit.spec['parts']):
      where = f'{where}: session {session.session_id!r:.60}'
      try:
        example = _example(session)
        _check_sizes(sizes | _sizes(session))
        if options['images'] == 'render':
          example['images'] = _draw(session)
      except ValueError as e:
        raise errors.PastaError(f'{where}: {e}') from None
      yield session.session_id, example

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    if 'images' not in example:
      raise errors.PastaError(
        f'{cls.name}: prepared without images; prepare it again with config '
        "field 'options.images' = 'render'"
      )
    return list(example['images'])

  @classmethod
  def session(cls, example: Mapping[str, Any]) -> sessions.Session:
    turns, candidates = example['turns'], example['candidates']
    in_pool = _integers(turns['num_candidates'])
    in_slate = _integers(turns['num_columns'])
    pool = [
      Candidate(text.decode(), category.decode())
      for text, category in zip(candidates['text'], candidates['category'])
    ]
    content = {
      'candidates': _split(pool, in_pool),
      'scores': [
        None if all(x is None for x in scores) else scores
        for scores in _split(_optional(_numbers(candidates['score'])), in_pool)
      ],
      'slate': _split(_integers(example['slate']), in_slate),
      'columns': _split(_integers(example['columns']), in_slate),
      'seeds': _split(
        np.frombuffer(example['seeds'], np.uint64).tolist(), in_slate
      ),
      'log_propensity': _optional(_numbers(turns['log_propensity'])),
      'choice': _integers(turns['choice']),
      'satisfaction': _optional(_numbers(turns['satisfaction'])),
      'comparison': [
        None if x == _NO_COMPARISON else x
        for x in _integers(turns['comparison'])
      ],
      'critique': [x.decode() for x in turns['critique']],
      'answered_at': _numbers(turns['answered_at']),
    }
    return sessions.Session(
      **{name: example[name].decode() for name in _TEXTS},
      images_per_prompt=int(example['images_per_prompt']),
      started_at=_numbers([example['started_at']])[0],
      turns=tuple(
        sessions.Turn(**dict(zip(content, values)))
        for values in zip(*content.values())
      ),
    )


def _sizes(session: sessions.Session) -> set[tuple[int, int]]:
  return {(session.images_per_prompt, len(t.slate)) for t in session.turns}


def _check_sizes(sizes: set[tuple[int, int]]) -> None:
  if len(sizes) > 1:
    raise ValueError(
      f'sessions of mixed sizes (M, L): {sorted(sizes)}; prepare them apart'
    )


def _example(session: sessions.Session) -> dict[str, Any]:
  """A session as `feature_spec` says; ValueError for what cannot be stored."""
  turns = session.turns
  return {
    **{n: checks.as_text(getattr(session, n), n) for n in _TEXTS},
    'images_per_prompt': checks.as_integer(
      session.images_per_prompt, 'images_per_prompt', 1, _MAX_IMAGES
    ),
    'started_at': _number(session.started_at, 'started_at'),
    'turns': [
      {
        'num_candidates': len(t.candidates),
        'num_columns': len(t.slate),
        'log_propensity': _number(t.log_propensity, 'log_propensity'),
        'choice': t.choice,
        'satisfaction': _number(t.satisfaction, 'satisfaction'),
        'comparison': _NO_COMPARISON if t.comparison is None else t.comparison,
        'critique': checks.as_text(t.critique, 'critique'),
        'answered_at': _number(t.answered_at, 'answered_at'),
      }
      for t in turns
    ],
    'candidates': [
      {
        'text': checks.as_text(candidate.text, 'candidates'),
        'category': candidate.category,
        'score': _number(score, 'scores'),
      }
      for t in turns
      for candidate, score in zip(
        t.candidates,
        [None] * len(t.candidates) if t.scores is None else t.scores,
      )
    ],
    'slate': [i for t in turns for i in t.slate],
    'columns': [i for t in turns for i in t.columns],
    'seeds': np.array(
      [
        checks.as_integer(x, 'seeds', 0, 2**64 - 1)
        for t in turns
        for x in t.seeds
      ],
      np.uint64,
    ),
  }


def _number(value: float | None, name: str) -> float:
  """A number as float64, NaN for None; ValueError where it is another one."""
  if value is None:
    return math.nan
  if float(value) != value:
    raise ValueError(f'{name} is {value!r:.40}, more digits than a float64 has')
  return float(value)


def _draw(session: sessions.Session) -> list[bytes]:
  """All images as PNG; ValueError for a T2I model that is not at hand."""
  model = _t2i(session.t2i_id)
  found = []
  for turn in session.turns:
    pixels = model.generate(
      turn.prompts, np.array(turn.seeds, np.uint64), session.images_per_prompt
    )  # [L, M, H, W, 3]
    for image in pixels.reshape(-1, *pixels.shape[2:]):
      file = io.BytesIO()
      Image.fromarray(image).save(file, 'PNG', compress_level=_PNG_LEVEL)
      found.append(file.getvalue())
  return found


@functools.lru_cache(maxsize=8)
def _t2i(t2i_id: str) -> t2i_lib.TextToImage:
  """The model of that id, exactly."""
  match = _T2I_ID.fullmatch(t2i_id)
  reason = ''
  if match:
    try:
      # No other model: what a file names must not be what is imported.
      model = sketch.Sketch(look=match['name'], size=int(match['size']))
      if model.model_id == t2i_id:
        return model
      reason = f' ({model.model_id} can)'
    except ValueError as e:
      reason = f' ({e})'
  raise ValueError(
    f't2i_id is {t2i_id!r:.80}, whose images cannot be drawn here{reason}; '
    "set config field 'options.images' = 'none'"
  )


def _integers(values: Iterable[Any]) -> list[int]:
  return [int(x) for x in values]


def _numbers(values: Iterable[Any]) -> list[float]:
  """Numbers that are stored as bytes, each alone."""
  return np.frombuffer(b''.join(values), np.float64).tolist()


def _optional(values: Iterable[float]) -> list[float | None]:
  return [None if math.isnan(x) else x for x in values]


def _split(values: Sequence[Any], counts: Iterable[int]) -> list[tuple]:
  """The values of each turn."""
  rest = iter(values)
  return [tuple(next(rest) for _ in range(n)) for n in counts]
