"""A fabricated working directory and world, for tests of the report."""

import json
import os
import zlib

import jax
import numpy as np

from pasta.evaluate import compare
from pasta.storage import sessions
from pasta.t2i.sketch import lexicon, scene
from pasta.types import CATEGORIES, Candidate
from pasta.user_model import heads

ENCODER_ID = 'fabricated'
# Gains over the baseline's utility; the order that a good run would show.
LEVELS = {
  'random': -0.25,
  'lmm': 0.0,
  'prior': 0.45,
  'greedy': 0.72,
  'optimistic': 0.74,
  'pasta': 0.78,
  'bayes': 0.82,
  'bayes_slate': 0.85,
  'bayes_full': 0.95,
  'oracle': 1.7,
}
_OPENINGS = (
  'a quiet harbour at dusk',
  'an old tree',
  'a city at night',
  'something with mountains',
  'a bowl of fruit',
  'a red fox',
)


class Encoder:
  encoder_id = ENCODER_ID


class World:
  """Features are the attributes' one-hot codes; pictures are flat tiles."""

  def __init__(self, t2i=None):
    self.encoder = Encoder()
    self.t2i = t2i

  def text_features(self, prompts):
    probs = np.stack([scene.value_probs(p) for p in prompts])
    flat = np.concatenate(
      [probs[:, s, :n] for s, n in enumerate(lexicon.SLOT_SIZES)], 1
    )
    return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(
      np.float32
    )

  def image_features(self, prompts, seeds, images_per_prompt):
    scenes = scene.sample(list(prompts), seeds, images_per_prompt)
    codes = np.concatenate(
      [np.eye(n)[scenes[..., s]] for s, n in enumerate(lexicon.SLOT_SIZES)], -1
    )
    return (codes / np.sqrt(len(lexicon.SLOT_SIZES))).astype(np.float32)

  def t2i_at(self, size):
    return self.t2i(size) if self.t2i else Tiles(size)


class Tiles:
  """Draws two flat colours from the scene's setting and palette."""

  def __init__(self, size):
    self.size = size

  def generate(self, prompts, seeds, images_per_prompt):
    scenes = scene.sample(list(prompts), seeds, images_per_prompt)
    images = np.zeros((*scenes.shape[:2], self.size, self.size, 3), np.uint8)
    images[..., : self.size // 2, :, :] = (
      np.array([60, 120, 200]) - 10 * scenes[..., 3][..., None, None, None]
    )
    images[..., self.size // 2 :, :, :] = (
      np.array([120, 160, 60]) + 8 * scenes[..., 1][..., None, None, None]
    )
    return images


def user_model(num_types=6, seed=0):
  """A small model whose types like words at random."""
  dim = sum(lexicon.SLOT_SIZES)
  settings = heads.HeadSettings(
    num_types=num_types, embedding_dim=dim, rank=0, trunk_dim=0
  )
  world, prompts = World(), ['a fox', 'a train at night', 'ink drawing']
  columns = (
    world.text_features(prompts),
    world.image_features(prompts, np.arange(3), 4),
  )
  constants = heads.normalisation([columns])
  # Tastes apply to the codes themselves.
  constants = constants | {'image_whiten': np.eye(dim, dtype=np.float32)}
  # Shapes only: drawing the parameters would take seconds of compilation.
  shapes = jax.eval_shape(
    lambda: heads.init_model(jax.random.key(0), settings, [columns])
  )
  model = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
  rng = np.random.default_rng(seed)
  weights = rng.normal(size=(num_types, dim)).astype(np.float32)
  share = rng.dirichlet(np.full(num_types, 3.0))
  skip = np.concatenate([np.zeros((1, dim), np.float32), weights]).T
  return model.replace(
    log_prior=np.log(share).astype(np.float32),
    heads={**model.heads, 'types': {**model.heads['types'], 'taste': weights}},
    constants=constants,
    text={
      **model.text,
      'skip': skip,
      'std': np.ones(dim, np.float32),
      'target_std': np.ones(num_types + 1, np.float32),
    },
  )


def _session(policy, person, satisfaction, comparison, rng, num_images):
  opening = _OPENINGS[person % len(_OPENINGS)]
  prompt, turns = opening, []
  for t, satisfied in enumerate(satisfaction):
    additions = [
      values[rng.integers(len(values))].phrase
      for values in list(lexicon.SLOTS.values())[1:6]
    ]
    candidates = tuple(
      Candidate(f'{prompt}, {a}', c) for a, c in zip(additions, CATEGORIES)
    )
    choice = int(rng.integers(4))
    turns.append(
      sessions.Turn(
        candidates=candidates,
        scores=None,
        slate=(0, 1, 2, 3),
        columns=tuple(int(i) for i in rng.permutation(4)),
        seeds=tuple(int(s) for s in rng.integers(0, 2**31, 4)),
        log_propensity=0.0,
        choice=choice,
        satisfaction=float(satisfied),
        comparison=None if t == 0 else int(comparison[t - 1]),
        critique='',
        answered_at=0.0,
      )
    )
    prompt = candidates[choice].text
  return sessions.Session(
    session_id=f'{policy}-{person:05d}',
    user_id=f'person-{person:05d}',
    source='population',
    initial_prompt=opening,
    policy_id=policy,
    generator_id='grammar',
    t2i_id='tiles',
    images_per_prompt=num_images,
    started_at=0.0,
    turns=tuple(turns),
  )


def _returning():
  def estimate(mean):
    return {'mean': mean, 'low': mean - 0.1, 'high': mean + 0.1}

  return [
    {'return': estimate(2.81)},
    *(
      {
        'return': estimate(2.8 + gain),
        'fresh': estimate(2.8),
        'gain': estimate(gain),
      }
      for gain in (0.17, 0.21)
    ),
  ]


def results(num_people=60, num_turns=5, levels=None, seed=0):
  """results.json's content and the outcomes behind it."""
  levels = LEVELS if levels is None else levels
  rng = np.random.default_rng(seed)
  person = rng.normal(0, 0.6, (num_people, 1))
  outcomes = {}
  for name, level in levels.items():
    # Gains come with the turns, as beliefs and prompts sharpen.
    growth = level * np.linspace(0.55, 1.3, num_turns)
    utility = person + growth + rng.normal(0, 0.5, (num_people, num_turns))
    satisfaction = 1 / (1 + np.exp(-utility + 0.2))
    outcomes[name] = compare.Outcome(
      policy_id=f'{name}-v1',
      satisfaction=satisfaction,
      comparison=np.sign(np.round(1.6 * np.diff(utility, axis=1))).astype(int),
      final_utility=utility[:, -1],
      num_categories=np.full(num_people, 4.0),
      renders_per_turn=16,
      candidates_per_turn=25,
      predicted=np.full((num_people, num_turns), np.nan),
    )
  content = {
    'num_people': num_people,
    'num_turns': num_turns,
    'seed': 1000,
    'population': {
      'seed': 2,
      'num_types': 24,
      'choice_noise': 0.5,
      'slot_scales': {'style': 1.0, 'subject': 0.5},
    },
    **compare.compare(outcomes, seed=0),
    'returning': {'pasta': _returning()},
  }
  return content, outcomes


def _curve(path, keys, rng):
  with open(path, 'w') as f:
    for step in range(50, 801, 50):
      f.write(
        json.dumps(
          {'step': step}
          | {
            f'{group}/{name}': start
            + (end - start) * (1 - np.exp(-step / 200))
            + rng.normal(0, 0.01)
            for group, name, start, end in keys
          }
        )
        + '\n'
      )
    f.write('{"step": 850, "train/lo')  # torn by a kill


def write(
  directory,
  num_people=12,
  num_turns=5,
  num_types=6,
  num_images=4,
  people_in_results=None,
):
  """Leaves what all stages leave, but for the user model's parameters."""
  evaluation = os.path.join(directory, 'evaluation')
  content, _ = results(people_in_results or num_people, num_turns)
  _, outcomes = results(num_people, num_turns)
  os.makedirs(evaluation)
  with open(os.path.join(evaluation, 'results.json'), 'w') as f:
    json.dump(content, f)
  ids = []
  for name in ('pasta', 'lmm'):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    batch = [
      _session(
        name,
        i,
        outcomes[name].satisfaction[i],
        outcomes[name].comparison[i],
        rng,
        num_images,
      )
      for i in range(num_people)
    ]
    shards = os.path.join(evaluation, 'sessions', name)
    os.makedirs(shards)
    sessions.write_shard(sessions.shard_path(shards, 0), batch)
    ids = ids or [s.session_id for s in batch]
  rng = np.random.default_rng(1)
  logits = np.cumsum(
    rng.normal(0, 1.1, (num_people, num_turns + 1, num_types)), 1
  )
  logits[:, 0] = 0.0
  belief = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  np.savez(
    os.path.join(evaluation, 'beliefs.npz'),
    belief=belief,
    session_id=np.array(ids),
  )
  for stage, keys in (
    (
      'user_model',
      [
        ('train', 'choice_log_likelihood', -1.38, -1.05),
        ('val', 'choice_log_likelihood', -1.38, -1.12),
        ('train', 'log_likelihood', -2.0, -0.6),
        ('val', 'sequential_accuracy', 0.25, 0.47),
        ('train', 'effective_types', 2, 5),
      ],
    ),
    (
      'value',
      [
        ('train', 'loss_q', 1.0, 0.42),
        ('val', 'loss_q', 1.0, 0.5),
        ('train', 'loss_v', 0.5, 0.1),
        ('val', 'loss_v', 0.5, 0.14),
        ('val', 'q_return_correlation', 0.0, 0.44),
      ],
    ),
  ):
    os.makedirs(os.path.join(directory, stage), exist_ok=True)
    _curve(os.path.join(directory, stage, 'metrics.jsonl'), keys, rng)
  done = os.path.join(directory, 'user_model', 'train_user_model.done.json')
  with open(done, 'w') as f:
    json.dump({'stage': 'train_user_model'}, f)
  with open(os.path.join(directory, 'timing.json'), 'w') as f:
    json.dump(
      {
        'collect': {'seconds': 41.2, 'compile_seconds': 3.1},
        'train_user_model': {'seconds': 62.0, 'compile_seconds': 11.4},
        'evaluate': {'seconds': 88.8},
      },
      f,
    )
