"""A synthetic world of planted types, small enough to fit in seconds."""

import dataclasses

import numpy as np

from pasta.storage import session_features as features_lib

SLOT_SIZES = (24, 12, 10, 8, 6, 5, 4, 7)
NUM_VALUES = sum(SLOT_SIZES)
OFFSETS = np.concatenate([[0], np.cumsum(SLOT_SIZES)[:-1]])


@dataclasses.dataclass(frozen=True)
class World:
  """Linear features of attributes; true types with personal deviations.

  Attributes:
    tastes: [K*, V].
    embed: attributes to features [V, D].
    person_scale: standard deviation of a person's own tastes.
    intent_scale: weight of what the initial prompt names.
    generosity: standard deviation of a person's satisfaction offset, logits.
    noise: of the features, before normalisation.
    choice_noise: scale of the Gumbel noise on a column's utility.
  """

  tastes: np.ndarray
  embed: np.ndarray
  person_scale: float
  intent_scale: float
  generosity: float
  noise: float
  choice_noise: float


def make_world(
  seed=0,
  num_types=24,
  dim=64,
  common=0.25,
  by_type=1.0,
  person=0.1,
  intent=0.6,
  generosity=0.3,
  noise=0.15,
  choice_noise=0.2,
) -> World:
  rng = np.random.default_rng(seed)
  tastes = common * rng.normal(size=NUM_VALUES)
  tastes = tastes + by_type * rng.normal(size=(num_types, NUM_VALUES))
  embed = rng.normal(size=(NUM_VALUES, dim)) / np.sqrt(dim)
  return World(tastes, embed, person, intent, generosity, noise, choice_noise)


def _encode(world, rng, values):
  """Features [..., D] of attribute values [..., S], −1 = not mentioned."""
  onehot = np.zeros((*values.shape[:-1], NUM_VALUES), np.float32)
  for s, offset in enumerate(OFFSETS):
    index = np.maximum(values[..., s], 0) + offset
    here = (values[..., s] >= 0).astype(np.float32)[..., None]
    np.put_along_axis(onehot, index[..., None], here, -1)
  x = onehot @ world.embed.astype(np.float32)
  x += (
    world.noise
    * rng.normal(size=x.shape).astype(np.float32)
    / np.sqrt(x.shape[-1])
  )
  x /= np.linalg.norm(x, axis=-1, keepdims=True)
  return x.astype(np.float16), onehot


def sample_sessions(
  world, num_users, seed, num_turns=5, num_columns=4, num_images=4
):
  """SessionFeatures of a random policy."""
  rng = np.random.default_rng([seed, 7])
  shape = (num_users, num_columns, len(SLOT_SIZES))
  types = rng.integers(len(world.tastes), size=num_users)
  tastes = world.tastes[types] + world.person_scale * rng.normal(
    size=(num_users, NUM_VALUES)
  )
  sizes = np.array(SLOT_SIZES)
  named = rng.random((num_users, len(sizes))) < 0.25
  named[:, 0] = True
  current = np.where(named, rng.integers(sizes, size=named.shape), -1)
  initial, wanted = _encode(world, rng, current)
  tastes = tastes + world.intent_scale * wanted
  offset = world.generosity * rng.normal(size=num_users)
  out = {k: [] for k in ('text', 'image', 'choice', 'sat', 'comp')}
  previous = None
  for _ in range(num_turns):
    proposal = rng.integers(sizes, size=shape)
    add = rng.random(shape) < np.where(current[:, None] < 0, 0.4, 0.1)
    prompts = np.where(add, proposal, current[:, None])
    text, _ = _encode(world, rng, prompts)
    images = rng.integers(sizes, size=(*shape[:2], num_images, shape[2]))
    images = np.where(prompts[:, :, None] >= 0, prompts[:, :, None], images)
    image, onehot = _encode(world, rng, images)
    column = np.einsum('nlmv,nv->nlm', onehot, tastes).max(-1)
    choice = np.argmax(
      column + world.choice_noise * rng.gumbel(size=column.shape), 1
    )
    chosen = column[np.arange(num_users), choice]
    level = 1 / (1 + np.exp(-0.5 * (chosen - 1.5) - offset))
    out['sat'].append(np.clip(level + 0.08 * rng.normal(size=num_users), 0, 1))
    comparison = np.full(num_users, features_lib.MISSING_COMPARISON)
    if previous is not None:
      difference = chosen - previous + 0.4 * rng.normal(size=num_users)
      comparison = np.where(
        np.abs(difference) < 0.4, 0, np.sign(difference)
      ).astype(int)
    out['comp'].append(comparison)
    previous = chosen
    out['text'].append(text)
    out['image'].append(image)
    out['choice'].append(choice)
    current = prompts[np.arange(num_users), choice]
  stack = {k: np.stack(v, 1) for k, v in out.items()}
  return features_lib.SessionFeatures(
    session_id=tuple(f's{i}' for i in range(num_users)),
    user_id=tuple(f'u{i}' for i in range(num_users)),
    initial_text=initial,
    slate_text=stack['text'],
    slate_image=stack['image'],
    slate_category=np.zeros(stack['text'].shape[:3], np.int8),
    choice=stack['choice'].astype(np.int8),
    satisfaction=stack['sat'].astype(np.float32),
    comparison=stack['comp'].astype(np.int8),
    encoder_id='synthetic',
    t2i_id='synthetic',
  )
