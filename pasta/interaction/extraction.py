"""Logged sessions to features: what learners read."""

import numpy as np

from pasta import errors
from pasta.storage import session_features as features_lib
from pasta.storage import sessions
from pasta.types import category_index
from pasta.world import world as world_lib


def assemble(
  records: list[sessions.Session],
  initial_text: np.ndarray,
  slate_text: np.ndarray,
  slate_image: np.ndarray,
  *,
  encoder_id: str,
  candidate_text: np.ndarray | None,
) -> features_lib.SessionFeatures:
  """Joins feature arrays with the sessions' own fields.

  Args:
    records: N sessions of at most T turns.
    initial_text: [N, D].
    slate_text: [N, T, L, D].
    slate_image: [N, T, L, M, D].
    encoder_id: who made the features.
    candidate_text: [N, T, C, D], where the pools are to be kept.
  """
  num, num_turns, columns = slate_text.shape[:3]
  category = np.zeros((num, num_turns, columns), np.int8)
  choice = np.full((num, num_turns), -1, np.int8)
  satisfaction = np.full((num, num_turns), np.nan, np.float32)
  comparison = np.full(
    (num, num_turns), features_lib.MISSING_COMPARISON, np.int8
  )
  order = np.full((num, num_turns, columns), -1, np.int8)
  for i, record in enumerate(records):
    for t, turn in enumerate(record.turns):
      order[i, t] = turn.columns
      category[i, t] = [
        category_index(turn.candidates[c].category) for c in turn.slate
      ]
      choice[i, t] = turn.choice
      if turn.satisfaction is not None:
        satisfaction[i, t] = turn.satisfaction
      if turn.comparison is not None:
        comparison[i, t] = turn.comparison
  pool = None
  if candidate_text is not None:
    pool = _pool(records, candidate_text, columns)
  return features_lib.SessionFeatures(
    session_id=tuple(r.session_id for r in records),
    user_id=tuple(r.user_id for r in records),
    initial_text=initial_text.astype(np.float16),
    slate_text=slate_text.astype(np.float16),
    slate_image=slate_image.astype(np.float16),
    slate_category=category,
    choice=choice,
    satisfaction=satisfaction,
    comparison=comparison,
    encoder_id=encoder_id,
    t2i_id=records[0].t2i_id,
    generator_id=' + '.join(sorted({r.generator_id for r in records})),
    pool=pool,
    columns=order,
  )


def _pool(
  records: list[sessions.Session], candidate_text: np.ndarray, columns: int
) -> features_lib.Pool:
  """The pools of N sessions, from candidate_text [N, T, C, D]."""
  num, num_turns, size = candidate_text.shape[:3]
  pool = features_lib.Pool(
    text=candidate_text.astype(np.float16),
    category=np.zeros((num, num_turns, size), np.int8),
    slate=np.zeros((num, num_turns, columns), np.int16),
    log_propensity=np.full((num, num_turns), np.nan, np.float32),
  )
  for i, record in enumerate(records):
    for t, turn in enumerate(record.turns):
      pool.category[i, t] = [
        category_index(c.category) for c in turn.candidates
      ]
      pool.slate[i, t] = turn.slate
      if turn.log_propensity is not None:
        pool.log_propensity[i, t] = turn.log_propensity
  return pool


def extract(
  world: world_lib.World,
  records: list[sessions.Session],
  *,
  with_pool: bool = False,
) -> features_lib.SessionFeatures:
  """Renders and encodes logged sessions again, from their prompts and seeds.

  Args:
    world: made of the same T2I model.
    records: N sessions.
    with_pool: whether to encode all candidates, too.

  Raises:
    PastaError: sessions of another T2I model, or of mixed sizes.
  """
  sizes = {
    (r.images_per_prompt, len(t.slate)) for r in records for t in r.turns
  }
  if len(sizes) != 1:
    raise errors.PastaError(
      f'sessions of mixed sizes (M, L): {sorted(sizes)}; extract them apart'
    )
  for record in records:
    if record.t2i_id != world.t2i.model_id:
      raise errors.PastaError(
        f'session {record.session_id} shows images of {record.t2i_id}, the '
        f'config makes {world.t2i.model_id}'
      )
  ((num_images, columns),) = sizes
  num, num_turns = len(records), max(len(r.turns) for r in records)
  dim = world.encoder.embedding_dim
  text = np.zeros((num, num_turns, columns, dim), np.float32)
  image = np.zeros((num, num_turns, columns, num_images, dim), np.float32)
  where = [(i, t) for i, r in enumerate(records) for t in range(len(r.turns))]
  rows, cols = map(np.array, zip(*where))
  prompts = [p for i, t in where for p in records[i].turns[t].prompts]
  image_seeds = np.array(
    [s for i, t in where for s in records[i].turns[t].seeds], np.uint64
  )
  shape = (len(where), columns)
  text[rows, cols] = world.text_features(prompts).reshape(*shape, -1)
  image[rows, cols] = world.image_features(
    prompts, image_seeds, num_images
  ).reshape(*shape, num_images, dim)
  initial = world.text_features([r.initial_prompt for r in records])
  candidate_text = None
  if with_pool:
    pools = [records[i].turns[t].candidates for i, t in where]
    pool_sizes = {len(p) for p in pools}
    if len(pool_sizes) != 1:
      raise errors.PastaError(
        f'sessions with pools of mixed sizes C: {sorted(pool_sizes)}; extract '
        'them apart, or set with_pool = False'
      )
    (size,) = pool_sizes
    candidate_text = np.zeros((num, num_turns, size, dim), np.float16)
    candidate_text[rows, cols] = world.text_features(
      [c.text for p in pools for c in p]
    ).reshape(len(where), size, -1)
  return assemble(
    records,
    initial,
    text,
    image,
    encoder_id=world.encoder.encoder_id,
    candidate_text=candidate_text,
  )
