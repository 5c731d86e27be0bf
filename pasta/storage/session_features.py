"""Features of sessions: the arrays that both learners read.

A shard of features is one .npz file that belongs to the session shard of the
same name. Writing is atomic; reading checks version, shapes and encoder.
"""

import dataclasses
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from pasta import errors, files
from pasta.types import screen_position

VERSION = 2
MISSING_COMPARISON = -2


@dataclasses.dataclass(frozen=True)
class Pool:
  """The candidates that slates were picked from.

  Naive and conservative Q-learning, cloning and off-policy evaluation need
  them; IQL does not. Turns beyond a session's end hold zeros.

  Attributes:
    text: float16 [N, T, C, D], the candidates' text features.
    category: int8 [N, T, C], as `SessionFeatures.slate_category`.
    slate: int16 [N, T, L], the shown candidates.
    log_propensity: float32 [N, T], of the slate as a set; NaN where unknown.
  """

  text: np.ndarray
  category: np.ndarray
  slate: np.ndarray
  log_propensity: np.ndarray


@dataclasses.dataclass(frozen=True)
class SessionFeatures:
  """N sessions as arrays.

  Letters: T turns, L columns, M images per prompt, D width of features.

  Turns beyond a session's end hold zeros, choice -1, satisfaction NaN and
  comparison MISSING_COMPARISON.

  Attributes:
    session_id: N texts.
    user_id: N texts; who sat in front of the session.
    initial_text: float16 [N, D], the initial prompt's text features.
    slate_text: float16 [N, T, L, D], the shown prompts' text features.
    slate_image: float16 [N, T, L, M, D], the shown images' features.
    slate_category: int8 [N, T, L], index into types.CATEGORIES; -1
      where it is not known.
    choice: int8 [N, T], index of the chosen slate entry.
    satisfaction: float32 [N, T] in [0, 1], NaN where not given.
    comparison: int8 [N, T], -1 worse, 0 same, 1 better than the turn before.
    encoder_id: which encoder made the features.
    t2i_id: which model made the images; several are joined by ' + '.
    generator_id: who wrote the candidates; several are joined by ' + '.
    pool: what the slates were picked from; None where it was not kept.
    columns: int8 [N, T, L], on-screen order: screen column c shows slate entry
      columns[c]; -1 in turns whose order is not known. None: it is of none.
  """

  session_id: tuple[str, ...]
  user_id: tuple[str, ...]
  initial_text: np.ndarray
  slate_text: np.ndarray
  slate_image: np.ndarray
  slate_category: np.ndarray
  choice: np.ndarray
  satisfaction: np.ndarray
  comparison: np.ndarray
  encoder_id: str
  t2i_id: str
  generator_id: str = ''
  pool: Pool | None = None
  columns: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.session_id)

  @property
  def position(self) -> np.ndarray | None:
    """Where columns stood on the screen [N, T, L], see `screen_position`."""
    return None if self.columns is None else screen_position(self.columns)

  def select(self, index: np.ndarray) -> 'SessionFeatures':
    """The sessions at the given integer positions, in that order."""
    index = np.asarray(index)
    picked = {}
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, np.ndarray):
        picked[field.name] = value[index]
      elif isinstance(value, tuple):
        picked[field.name] = tuple(value[i] for i in index)
    if self.pool is not None:
      picked['pool'] = _map_pool(lambda x: x[index], self.pool)
    return dataclasses.replace(self, **picked)


def _map_pool(function: Callable[..., np.ndarray], *pools: Pool) -> Pool:
  """A pool of function(arrays of the same field)."""
  return Pool(
    **{k: function(*(getattr(p, k) for p in pools)) for k in _POOL_ARRAYS}
  )


_ARRAYS = {  # field -> (dtype, axes)
  'initial_text': (np.float16, 'ND'),
  'slate_text': (np.float16, 'NTLD'),
  'slate_image': (np.float16, 'NTLMD'),
  'slate_category': (np.int8, 'NTL'),
  'choice': (np.int8, 'NT'),
  'satisfaction': (np.float32, 'NT'),
  'comparison': (np.int8, 'NT'),
}
_COLUMNS = (np.int8, 'NTL')
_POOL_ARRAYS = {
  'text': (np.float16, 'NTCD'),
  'category': (np.int8, 'NTC'),
  'slate': (np.int16, 'NTL'),
  'log_propensity': (np.float32, 'NT'),
}


def check(features: SessionFeatures, name: str = 'features') -> None:
  """Raises PastaError unless dtypes, shapes and values fit together."""
  sizes = {'N': len(features.session_id)}
  if len(features.user_id) != sizes['N']:
    raise errors.PastaError(
      f'{name}: {len(features.user_id)} user ids for {sizes["N"]} sessions'
    )
  arrays = [(k, getattr(features, k), *v) for k, v in _ARRAYS.items()]
  if features.pool is not None:
    arrays += [
      (f'pool_{k}', getattr(features.pool, k), *v)
      for k, v in _POOL_ARRAYS.items()
    ]
  if features.columns is not None:
    arrays.append(('columns', features.columns, *_COLUMNS))
  for field, array, dtype, axes in arrays:
    if array.dtype != dtype or array.ndim != len(axes):
      raise errors.PastaError(
        f'{name}: {field} is {array.dtype}{list(array.shape)}, expected '
        f'{np.dtype(dtype)} with axes {list(axes)}'
      )
    for axis, size in zip(axes, array.shape):
      if sizes.setdefault(axis, size) != size:
        raise errors.PastaError(
          f'{name}: {field} has {axis} = {size}, others {sizes[axis]}'
        )
  for field, array, dtype, _ in arrays:
    if dtype != np.float16:
      continue
    finite = np.isfinite(array).reshape(sizes['N'], -1)
    if not finite.all():
      bad = int(np.argmin(finite.all(1)))
      raise errors.PastaError(
        f'{name}: {field} of session {features.session_id[bad]} is not finite'
      )
  choice = features.choice
  if ((choice < -1) | (choice >= sizes['L'])).any():
    bad = int(np.argmax(((choice < -1) | (choice >= sizes['L'])).any(1)))
    raise errors.PastaError(
      f'{name}: session {features.session_id[bad]} chose outside its slate '
      f'of {sizes["L"]}: {choice[bad].tolist()}'
    )
  for field, outside, expected in (
    (
      'satisfaction',
      ~np.isnan(features.satisfaction)
      & ~((features.satisfaction >= 0) & (features.satisfaction <= 1)),
      'in [0, 1], or NaN where it was not given',
    ),
    (
      'comparison',
      ~np.isin(features.comparison, (-1, 0, 1, MISSING_COMPARISON)),
      f'-1, 0 or 1, or {MISSING_COMPARISON} where it was not given',
    ),
  ):
    if outside.any():
      bad = int(np.argmax(outside.any(1)))
      raise errors.PastaError(
        f'{name}: {field} of session {features.session_id[bad]} is '
        f'{getattr(features, field)[bad][outside[bad]][0]}, expected {expected}'
      )
  if features.columns is not None:
    order = np.sort(features.columns, -1)
    is_order = (order == np.arange(sizes['L'])).all(-1)
    broken = ~(is_order | (order == -1).all(-1)).all(1)
    if broken.any():
      bad = int(np.argmax(broken))
      raise errors.PastaError(
        f'{name}: columns of session {features.session_id[bad]} are '
        f'{features.columns[bad].tolist()}, expected orders of {sizes["L"]}, '
        'or -1 throughout a turn whose order is not known'
      )
  if features.pool is not None:
    outside = (features.pool.slate < 0) | (features.pool.slate >= sizes['C'])
    if outside.any():
      bad = int(np.argmax(outside.reshape(sizes['N'], -1).any(1)))
      raise errors.PastaError(
        f'{name}: session {features.session_id[bad]} shows candidates outside '
        f'its pool of {sizes["C"]}'
      )


def save(path: str, features: SessionFeatures) -> None:
  """Writes one shard atomically."""
  check(features, path)
  pool = {}
  if features.pool is not None:
    pool = {f'pool_{k}': getattr(features.pool, k) for k in _POOL_ARRAYS}
  columns = {}
  if features.columns is not None:
    columns = {'columns': features.columns}
  save_arrays(
    path,
    {
      'version': np.int64(VERSION),
      'session_id': np.array(features.session_id, np.str_),
      'user_id': np.array(features.user_id, np.str_),
      'encoder_id': np.array(features.encoder_id),
      't2i_id': np.array(features.t2i_id),
      'generator_id': np.array(features.generator_id),
      **{k: getattr(features, k) for k in _ARRAYS},
      **pool,
      **columns,
    },
  )


def save_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes an .npz file atomically."""
  buffer = io.BytesIO()
  np.savez(buffer, **arrays)
  files.atomic_write(path, buffer.getvalue())


def load(path: str) -> SessionFeatures:
  """Reads one shard; PastaError names a file that is broken or foreign."""
  try:
    with np.load(path, allow_pickle=False) as shard:
      content = {k: shard[k] for k in shard.files}
  except FileNotFoundError:
    raise errors.PastaError(f'{path}: no such feature file') from None
  except (zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError) as e:
    raise errors.PastaError(
      f'{path}: not a complete feature file ({e})'
    ) from None
  if int(content.get('version', -1)) != VERSION:
    raise errors.PastaError(
      f'{path}: feature format version {content.get("version")}, expected '
      f'{VERSION}'
    )
  ids = {'session_id', 'user_id', 'encoder_id', 't2i_id', 'generator_id'}
  expected = ids | set(_ARRAYS)
  pool_names = {f'pool_{k}' for k in _POOL_ARRAYS}
  if pool_names & set(content):
    expected |= pool_names
  missing = expected - set(content)
  if missing:
    raise errors.PastaError(f'{path}: lacks {sorted(missing)}')
  features = SessionFeatures(
    session_id=tuple(content['session_id'].tolist()),
    user_id=tuple(content['user_id'].tolist()),
    encoder_id=str(content['encoder_id']),
    t2i_id=str(content['t2i_id']),
    generator_id=str(content['generator_id']),
    pool=Pool(**{k: content[f'pool_{k}'] for k in _POOL_ARRAYS})
    if pool_names <= set(content)
    else None,
    columns=content.get('columns'),  # Older files have no order.
    **{k: content[k] for k in _ARRAYS},
  )
  check(features, path)
  return features


def concatenate(parts: Sequence[SessionFeatures]) -> SessionFeatures:
  """Joins shards; all must come from the same encoder and have equal sizes.

  Pools are joined where all have one, and left out otherwise. On-screen orders
  are joined where one has them, -1 standing for those of the others.
  """
  if not parts:
    raise errors.PastaError('no features to join: expected at least one shard')
  first = parts[0]
  for part in parts[1:]:
    if part.encoder_id != first.encoder_id:
      raise errors.PastaError(
        f'features of two encoders: {first.encoder_id} and {part.encoder_id}'
      )
    if part.slate_image.shape[1:] != first.slate_image.shape[1:]:
      raise errors.PastaError(
        f'features of different sizes [T, L, M, D]: '
        f'{first.slate_image.shape[1:]} and {part.slate_image.shape[1:]}'
      )
  pools = [p.pool for p in parts]
  pool = None
  if all(p is not None for p in pools):
    sizes = {p.text.shape[2] for p in pools}
    if len(sizes) > 1:
      raise errors.PastaError(
        f'features with pools of different sizes C: {sorted(sizes)}'
      )
    pool = _map_pool(lambda *x: np.concatenate(x), *pools)
  columns = None
  if any(p.columns is not None for p in parts):
    columns = np.concatenate(
      [
        np.full(p.slate_category.shape, -1, np.int8)
        if p.columns is None
        else p.columns
        for p in parts
      ]
    )
  return dataclasses.replace(
    first,
    pool=pool,
    columns=columns,
    t2i_id=_joined(p.t2i_id for p in parts),
    generator_id=_joined(p.generator_id for p in parts),
    session_id=sum((p.session_id for p in parts), ()),
    user_id=sum((p.user_id for p in parts), ()),
    **{k: np.concatenate([getattr(p, k) for p in parts]) for k in _ARRAYS},
  )


def _joined(ids: Iterable[str]) -> str:
  """All ids that occur, each of which may be such a joined one."""
  return ' + '.join(sorted({i for text in ids for i in text.split(' + ') if i}))


def load_dir(directory: str) -> SessionFeatures:
  """Reads all shards of a directory, in the order of their names."""
  if not os.path.isdir(directory):
    raise errors.PastaError(f'{directory}: no such feature directory')
  names = sorted(n for n in os.listdir(directory) if n.endswith('.npz'))
  if not names:
    raise errors.PastaError(
      f'{directory}: holds no features (expected *.npz); run '
      'launch.extract_features first'
    )
  return concatenate([load(os.path.join(directory, n)) for n in names])
