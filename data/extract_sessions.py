"""Sessions and their features, from the features of distinct images and texts.

Leaves what collecting and `launch.extract_features` leave of own sessions:
sessions/NNNNN.jsonl and beside them features/NNNNN.npz, which all stages read.
"""

import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from data import index
from pasta import errors
from pasta.interaction import extraction
from pasta.storage import feature_rows, sessions, shards
from pasta.storage import session_features as features_lib

_SHARD_SESSIONS = 200


class Found(NamedTuple):
  """A session and where its features are.

  Attributes:
    session: as recorded.
    texts: rows of the texts of `index.session_texts`.
    images: rows of the images, [number of shown columns, M].
  """

  session: sessions.Session
  texts: np.ndarray
  images: np.ndarray


def write(
  directory: str,
  found: index.Index,
  features: Mapping[str, feature_rows.FeatureRows],
  bad: set[int],
  encoder_id: str,
  *,
  with_pool: bool,
) -> dict[str, Any]:
  """Writes all sessions whose images are whole.

  Args:
    directory: of the features; sessions go to `sessions` beside it.
    found: the split's index.
    features: rows of distinct 'text' and 'image'.
    bad: broken images.
    encoder_id: who made the features.
    with_pool: whether `found` has all candidates' texts, to be kept.

  Returns:
    Numbers of sessions and of those left out.

  Raises:
    PastaError: sessions of mixed sizes, none is left, or other sessions are
      there already.
  """
  sizes, models, num_turns, kept, dropped = set(), set(), 0, 0, 0
  for item in _whole(found, bad):
    if item is None:
      dropped += 1
      continue
    session = item.session
    sizes |= {
      (session.images_per_prompt, len(t.slate), with_pool * len(t.candidates))
      for t in session.turns
    }
    models.add(session.t2i_id)
    num_turns, kept = max(num_turns, len(session.turns)), kept + 1
  if not sizes:
    raise errors.PastaError(
      f'no session can be used: {dropped} have broken images, {kept} no turn'
    )
  if len(sizes) > 1:
    raise errors.PastaError(
      f'sessions of mixed sizes (M, L, C): {sorted(sizes)}; prepare them apart'
      + (', or set with_pool = False' if with_pool else '')
    )
  if len(models) > 1:
    raise errors.PastaError(
      f'sessions show images of {sorted(models)}; prepare them apart'
    )
  where = os.path.join(os.path.dirname(directory), 'sessions')
  os.makedirs(where, exist_ok=True)
  whole = (item for item in _whole(found, bad) if item is not None)
  batches = iter(lambda: list(itertools.islice(whole, _SHARD_SESSIONS)), [])
  for number, batch in enumerate(batches):
    path = sessions.shard_path(where, number)
    records = [item.session for item in batch]
    if not os.path.exists(path):
      sessions.write_shard(path, records)
    elif sessions.read_shard(path) != records:
      raise errors.PastaError(
        f'{path}: other sessions are there already; use another --workdir, or '
        "set config field 'output' to a directory in it"
      )
    features_lib.save(
      shards.features_path(directory, path),
      _assemble(batch, (num_turns, *next(iter(sizes))), features, encoder_id),
    )
  return {'num_sessions': kept, 'num_dropped': dropped}


def _whole(found: index.Index, bad: set[int]) -> Iterator[Found | None]:
  """All sessions; None for one with a broken image."""
  for shard, path in enumerate(found.paths):
    for i, item in enumerate(found.items(shard)):
      if bad and any(image in bad for c in item['columns'] for image in c):
        yield None
        continue
      yield Found(
        sessions.from_json(item['session'], f'{path}:{i}'),
        np.array(item['texts']),
        np.array(item['columns']),
      )


def _assemble(
  batch: list[Found],
  size: tuple[int, int, int, int],
  features: Mapping[str, feature_rows.FeatureRows],
  encoder_id: str,
) -> features_lib.SessionFeatures:
  """Features of some sessions; `size` is (T, M, L, C), C = 0 for no pool."""
  num_turns, num_images, num_columns, num_candidates = size
  dim = features['text'].shape[1]
  shape = len(batch), num_turns
  text = np.zeros((*shape, num_columns, dim), np.float16)
  image = np.zeros((*shape, num_columns, num_images, dim), np.float16)
  pool = np.zeros((*shape, num_candidates, dim), np.float16)
  for i, item in enumerate(batch):
    turns = item.session.turns
    num = len(turns)
    where = item.images.reshape(num, num_columns, num_images)
    image[i, :num] = features['image'][where]
    prompts = features['text'][item.texts[1:].reshape(num, -1)]
    if num_candidates:
      pool[i, :num] = prompts
      prompts = np.stack([p[list(t.slate)] for p, t in zip(prompts, turns)])
    text[i, :num] = prompts
  return extraction.assemble(
    [item.session for item in batch],
    features['text'][np.array([item.texts[0] for item in batch])],
    text,
    image,
    encoder_id=encoder_id,
    candidate_text=pool if num_candidates else None,
  )
