"""What a prepared split holds, by content: the first pass of extraction.

Each shard's images and texts are known by a digest of their bytes, so that what
several examples share is encoded once. An index file a shard says where each
image lies and what was said about it. Runs in workers; imports no jax.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from data import base, read
from pasta import errors
from pasta.storage import session_features as features_lib
from pasta.storage import sessions

_DIGEST_BYTES = 16


class Job(NamedTuple):
  """One shard to look through.

  Attributes:
    name: of the data set.
    prepared: directory of the prepared data set.
    split: name.
    shard: number.
    path: the index file to write.
    with_pool: of sessions: whether all candidates' texts count, or what was
      shown alone.
  """

  name: str
  prepared: str
  split: str
  shard: int
  path: str
  with_pool: bool = False


@dataclasses.dataclass(frozen=True)
class Index:
  """All of a split.

  Attributes:
    image_at: shard, row and position of each distinct image [I, 3], int64, in
      the order in which they come first.
    texts: distinct prompts, as bytes (features of data sets that have those).
    image_of: by shard, the distinct image of each mention.
    text_of: by shard, the distinct text of each mention.
    paths: the index files.
  """

  image_at: np.ndarray
  texts: list[bytes]
  image_of: list[np.ndarray]
  text_of: list[np.ndarray]
  paths: list[str]

  def items(self, shard: int) -> list[dict[str, Any]]:
    """What was said in a shard, its mentions as distinct rows."""
    with np.load(self.paths[shard], allow_pickle=False) as f:
      items = json.loads(f['items'].tobytes())
    images, texts = self.image_of[shard], self.text_of[shard]
    for item in items:
      item['columns'] = [images[c].tolist() for c in item['columns']]
      item['texts'] = texts[item['texts']].tolist()
    return items


def build(job: Job) -> int:
  """Looks through one shard, unless its index is there; returns 1."""
  if os.path.exists(job.path):
    return 1
  cls = base.builder_class(job.name)
  prepared = read.Prepared(job.prepared)
  images, texts, items = [], [], []
  for row, example in enumerate(prepared.examples(job.split, job.shard)):
    first = len(images)
    encoded = cls.images(example)
    images += [(_digest(x), row, i) for i, x in enumerate(encoded)]
    for item, prompts in _items(cls, example, job):
      found = item['columns']
      if not all(0 <= i < len(encoded) for column in found for i in column):
        raise errors.PastaError(
          f'{job.prepared}: split {job.split}, shard {job.shard}, example '
          f'{row} names an image that it does not have'
        )
      item['columns'] = [[first + i for i in column] for column in found]
      item['texts'] = list(range(len(texts), len(texts) + len(prompts)))
      texts += [p if isinstance(p, bytes) else p.encode() for p in prompts]
      items.append(item)
  features_lib.save_arrays(
    job.path,
    {
      'image_digest': _digests([x[0] for x in images]),
      'image_at': np.array([x[1:] for x in images], np.int64).reshape(-1, 2),
      'text_bytes': np.frombuffer(b''.join(texts), np.uint8),
      'text_ends': np.cumsum([len(t) for t in texts], dtype=np.int64),
      'items': np.frombuffer(json.dumps(items).encode(), np.uint8),
    },
  )
  return 1


def _items(cls, example, job) -> Iterator[tuple[dict, list[str | bytes]]]:
  """What was said of an example, as plain values, and its texts."""
  if issubclass(cls, base.SessionBuilder):
    session = cls.session(example)
    sessions.check(session, f'{job.prepared}: split {job.split}')
    num = session.images_per_prompt
    count = sum(len(t.slate) for t in session.turns)
    if len(cls.images(example)) != count * num:
      raise errors.PastaError(
        f'{job.prepared}: session {session.session_id} has '
        f'{len(cls.images(example))} images, expected {count} times {num}'
      )
    columns = [list(range(i * num, i * num + num)) for i in range(count)]
    item = {'session': sessions.to_json(session), 'columns': columns}
    yield item, session_texts(session, job.with_pool)
    return
  for item in cls.observations(example, job.split):
    yield (
      {
        'columns': [list(c) for c in item.columns],
        'feedback': item.feedback,
        'user_id': item.user_id,
        'weight': item.weight,
        'extra': dict(item.extra),
      },
      [item.prompt],
    )


def session_texts(session: sessions.Session, with_pool: bool) -> list[str]:
  """The initial prompt, then each turn's candidates or what it showed."""
  found = [session.initial_prompt]
  for turn in session.turns:
    found += [c.text for c in turn.candidates] if with_pool else turn.prompts
  return found


def merge(paths: list[str]) -> Index:
  """Joins the shards' indices; equal bytes become one row.

  Raises:
    PastaError: an index is missing: another process has not written it, or
      not to the same file system.
  """
  digests, places, counts = [], [], []
  text_digests, text_counts, texts = [], [], []
  for shard, path in enumerate(paths):
    if not os.path.exists(path):
      raise errors.PastaError(
        f'{path}: missing; all processes need the same --workdir, on a file '
        'system that they share'
      )
    with np.load(path, allow_pickle=False) as f:
      digests.append(f['image_digest'])
      at = f['image_at']
      places.append(np.insert(at, 0, shard, axis=1))
      counts.append(len(at))
      ends = f['text_ends']
      content = f['text_bytes'].tobytes()
    found = [
      content[a:b] for a, b in zip(np.concatenate([[0], ends[:-1]]), ends)
    ]
    texts.append(found)
    text_digests.append(_digests([_digest(t) for t in found]))
    text_counts.append(len(found))
  first, image_of = _distinct(digests)
  text_first, text_of = _distinct(text_digests)
  flat = [t for part in texts for t in part]
  return Index(
    image_at=np.concatenate(places)[first],
    texts=[flat[i] for i in text_first],
    image_of=np.split(image_of, np.cumsum(counts)[:-1]),
    text_of=np.split(text_of, np.cumsum(text_counts)[:-1]),
    paths=paths,
  )


def _distinct(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """First mention of each distinct digest, and each mention's number."""
  every = np.ascontiguousarray(np.concatenate(parts))
  keys = every.view(f'V{_DIGEST_BYTES}').reshape(-1)
  _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
  order = np.argsort(first)
  rank = np.empty_like(order)
  rank[order] = np.arange(len(order))
  return first[order], rank[inverse]


def _digest(data: bytes) -> bytes:
  return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _digests(found: list[bytes]) -> np.ndarray:
  return np.frombuffer(b''.join(found), np.uint8).reshape(-1, _DIGEST_BYTES)
