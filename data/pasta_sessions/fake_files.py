"""Small shards of sessions, with people who have tastes.

Person i likes colour i modulo 3 and looks at the images that the embedded T2I
model draws, so a user model has something to find in them.
"""

import dataclasses
import math
import os

import numpy as np

from data import fake_images
from pasta.candidates.grammar import generator as grammar
from pasta.storage import sessions
from pasta.t2i.sketch import sketch
from pasta.types import Candidate

_CRITIQUES = ('', 'no café, please', 'brighter', '多一点光 ✨')
_STARTED_AT = 1.7e9


def write(
  raw: str,
  num_sessions: int = 8,
  *,
  num_users: int = 6,
  num_turns: int = 5,
  num_columns: int = 4,
  images_per_prompt: int = 4,
  num_candidates: int = 25,
  size: int = 64,
  sessions_per_shard: int = 3,
  seed: int = 0,
) -> None:
  """Writes NNNNN.jsonl.

  Args:
    raw: directory, made where it is missing.
    num_sessions: in all.
    num_users: people; the sessions are dealt to them in turn.
    num_turns: T.
    num_columns: L.
    images_per_prompt: M.
    num_candidates: C.
    size: height and width of the images, in pixels.
    sessions_per_shard: of all shards but the last.
    seed: of all that is drawn.
  """
  os.makedirs(raw, exist_ok=True)
  rng = np.random.default_rng(seed)
  generator = grammar.Grammar(num_candidates)
  model = sketch.Sketch(size=size)
  made = []
  for i in range(num_sessions):
    user = i % num_users
    is_scored = bool(i % 2)
    session = sessions.Session(
      session_id=f'session-{seed}-{i:04d}',
      user_id=f'u{user:03d}',
      source='population',
      initial_prompt=fake_images.prompt(rng),
      policy_id='highest' if is_scored else 'random',
      generator_id=generator.generator_id,
      t2i_id=model.model_id,
      images_per_prompt=images_per_prompt,
      started_at=_STARTED_AT + 100 * i,
      turns=(),
    )
    before = None
    for _ in range(num_turns):
      (pool,) = generator.propose(
        [sessions.history(session.initial_prompt, session.turns)],
        [int(rng.integers(2**31))],
      )
      turn, before = _turn(
        rng, session, pool, num_columns, model, user, is_scored, before
      )
      session = dataclasses.replace(session, turns=(*session.turns, turn))
    made.append(session)
  for start in range(0, num_sessions, sessions_per_shard):
    path = sessions.shard_path(raw, start // sessions_per_shard)
    sessions.write_shard(path, made[start : start + sessions_per_shard])


def _turn(
  rng: np.random.Generator,
  session: sessions.Session,
  pool: list[Candidate],
  num_columns: int,
  model: sketch.Sketch,
  user: int,
  is_scored: bool,
  before: float | None,
) -> tuple[sessions.Turn, float]:
  """A turn, and how much the person likes the best image of the choice."""
  scores = np.round(rng.random(len(pool)), 6)
  slate = np.argsort(-scores)[:num_columns]
  image_seed = int(rng.integers(2**64, dtype=np.uint64))
  images = model.generate(
    [pool[i].text for i in slate],
    np.full(num_columns, image_seed, np.uint64),
    session.images_per_prompt,
  )
  colours = images.mean((2, 3)) / 255  # [L, M, 3]
  liked = np.array(
    [
      max(
        fake_images.utility(user, fake_images.Picture(tuple(c), 0)) for c in row
      )
      for row in colours
    ]
  )
  choice = int(np.argmax(liked + 0.01 * rng.normal(size=num_columns)))
  after = float(liked[choice])
  comparison = None
  if before is not None:
    change = after - before
    comparison = int(np.sign(change)) if abs(change) > 0.02 else 0
  is_asked = len(session.turns) % 4 != 3
  turn = sessions.Turn(
    candidates=tuple(pool),
    scores=tuple(scores.tolist()) if is_scored else None,
    slate=tuple(slate.tolist()),
    columns=tuple(rng.permutation(num_columns).tolist()),
    seeds=(image_seed,) * num_columns,
    log_propensity=(
      0.0 if is_scored else -math.log(math.comb(len(pool), num_columns))
    ),
    choice=choice,
    satisfaction=float(np.clip(0.2 + 1.5 * after, 0, 1)) if is_asked else None,
    comparison=comparison,
    critique=str(rng.choice(_CRITIQUES)),
    answered_at=session.started_at + 10 * (len(session.turns) + 1),
  )
  return turn, after
