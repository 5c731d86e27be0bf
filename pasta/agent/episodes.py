"""Logged sessions as the arrays that value learning reads.

Letters: N sessions, T turns, L slate columns, D embedding width, K user types,
S tokens of a text.
"""

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.agent import credit, expected_selection
from pasta.agent.history import CandidateSet, History, Texts, column_image
from pasta.storage.session_features import SessionFeatures
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as model_lib

_CHUNK_SESSIONS = 256
_REWARDS = ('dense', 'sparse', 'expected')


@flax.struct.dataclass
class EpisodeTexts:
  """What the backbone 'gemma' reads of N sessions.

  Attributes:
    state: [N, T] texts, what was known before each turn's slate.
    shown: [N, T, L] texts, each shown prompt behind the state.
  """

  state: Texts
  shown: Texts


@flax.struct.dataclass
class Episodes:
  """N sessions. Turns beyond a session's end are zero and not valid.

  Attributes:
    initial_text: [N, D].
    slate_text: [N, T, L, D].
    slate_image: [N, T, L, D], mean over a column's images.
    slate_category: int32 [N, T, L].
    slate_utility: [N, T, L, K], predicted from text, as for candidates.
    log_choice: [N, T, L], log probability under the belief that a person
      chooses each column, from text utilities.
    log_belief: [N, T, K], before each turn's choice.
    prompt_utility: [N, T, K], of the prompt that each turn extends, see
      `History`.
    expected: [N, T, L], expected utility of selection of the slate's first
      1, …, L columns (see `expected_selection`).
    choice: int32 [N, T], -1 on turns that are not valid.
    reward: float32 [N, T].
    valid: bool [N, T].
    choice_log_scale: [N], log τ of the user model, the same for all.
    pool: the candidates [N, T, C] that slates were picked from; None where
      they were not kept.
    slate: int32 [N, T, L], the shown candidates; None without a pool.
    log_propensity: [N, T], of the slate as a set, NaN where unknown; None
      without a pool.
    texts: the same sessions as text; None except for the backbone 'gemma'.
    satisfaction: [N, T], what people reported, NaN where they did not; None
      where it is not known.
  """

  initial_text: jax.Array
  slate_text: jax.Array
  slate_image: jax.Array
  slate_category: jax.Array
  slate_utility: jax.Array
  log_choice: jax.Array
  log_belief: jax.Array
  prompt_utility: jax.Array
  expected: jax.Array
  choice: jax.Array
  reward: jax.Array
  valid: jax.Array
  choice_log_scale: jax.Array
  pool: CandidateSet | None = None
  slate: jax.Array | None = None
  log_propensity: jax.Array | None = None
  texts: EpisodeTexts | None = None
  satisfaction: jax.Array | None = None

  def __len__(self) -> int:
    return self.initial_text.shape[0]

  @property
  def done(self) -> jax.Array:
    """Whether turn t is the session's last: bool [N, T]."""
    later = jnp.concatenate(
      [self.valid[:, 1:], jnp.zeros_like(self.valid[:, :1])], 1
    )
    return self.valid & ~later

  def one_step(self, value: jax.Array, discount: float) -> jax.Array:
    """r_t + γ (1 − done) x_{t+1} for values x of every turn: all [N, T]."""
    later = jnp.concatenate([value[:, 1:], jnp.zeros_like(value[:, :1])], 1)
    # No product with 1 − done: what follows a session's end may be anything.
    return self.reward + discount * jnp.where(self.done, 0.0, later)


def take(episodes: Episodes, index: jax.Array | np.ndarray) -> Episodes:
  """The sessions at the given positions."""
  return jax.tree.map(lambda x: x[index], episodes)


def history_at(
  episodes: Episodes, session_index: jax.Array, turn: jax.Array
) -> History:
  """What was known before the slate of turn [B] of sessions [B]; jittable."""
  chex.assert_rank([session_index, turn], 1)
  chex.assert_equal_shape([session_index, turn])
  episode = take(episodes, session_index)
  is_past = jnp.arange(episodes.valid.shape[1]) < turn[:, None]  # [B, T]

  def past(x, empty=0):
    mask = is_past.reshape(is_past.shape + (1,) * (x.ndim - 2))
    return jnp.where(mask, x, jnp.asarray(empty, x.dtype))

  def now(x):
    return jnp.take_along_axis(x, turn[:, None, None], 1)[:, 0]

  return History(
    turn=turn.astype(jnp.int32),
    initial_text=episode.initial_text,
    slate_text=past(episode.slate_text),
    slate_image=past(episode.slate_image),
    slate_category=past(episode.slate_category),
    choice=past(episode.choice, -1),
    log_belief=now(episode.log_belief),
    prompt_utility=now(episode.prompt_utility),
    satisfaction=(
      None
      if episode.satisfaction is None
      else past(episode.satisfaction, jnp.nan)
    ),
  )


@jax.jit
def _user_model_arrays(user_model, initial_text, text, image, feedback, given):
  """What the user model says of a chunk of sessions.

  Where a belief [N, K] is given it stands at every turn.
  """
  column_utility = model_lib.column_utility(user_model, text, image)
  text_utility = model_lib.text_utility(user_model, text)
  choice, satisfaction = feedback.choice, feedback.satisfaction
  log_beliefs = belief_lib.trajectory(
    user_model, column_utility, feedback
  ).log_types
  if given is not None:
    log_beliefs = jnp.broadcast_to(given[:, None], log_beliefs.shape)
  log_choice = credit.log_choice(
    log_beliefs[:, :-1], text_utility, user_model.choice_log_scale
  )
  chosen = jnp.take_along_axis(
    column_utility, jnp.maximum(choice, 0)[..., None, None], 2
  )[:, :, 0]  # [N, T, K]
  initial = model_lib.text_utility(user_model, initial_text)
  prompt = jnp.concatenate([initial[:, None], chosen[:, :-1]], 1)
  expected = model_lib.expected_satisfaction(user_model, chosen)
  expected = (jnp.exp(log_beliefs[:, 1:]) * expected).sum(-1)
  satisfaction = jnp.where(jnp.isnan(satisfaction), expected, satisfaction)
  selected = expected_selection.of_prefixes(
    log_beliefs[:, :-1], text_utility, expected_selection.learned(user_model)
  )
  return (
    text_utility,
    log_choice,
    log_beliefs[:, :-1],
    prompt,
    selected,
    satisfaction,
    expected,
  )


_pool_utility = jax.jit(model_lib.text_utility)


def from_features(
  features: SessionFeatures,
  user_model: model_lib.UserModel,
  *,
  reward: str = 'dense',
  log_belief: np.ndarray | None = None,
  with_pool: bool = False,
  texts: EpisodeTexts | None = None,
) -> Episodes:
  """Episodes of logged sessions; beliefs start from the prior in each.

  Args:
    features: N sessions; a turn without a choice ends its session.
    user_model: gives beliefs and utilities. A satisfaction that was not
      recorded is replaced by the one it expects after that turn's choice.
    reward: 'dense', every turn's satisfaction; 'sparse', the last turn's only;
      'expected', every turn's as the user model expects it after that turn's
      choice, which is free of what people's reports scatter by.
    log_belief: [N, K], a belief that choices do not move; None for the
      posterior.
    with_pool: whether to keep the candidates that slates were picked from.
    texts: of the same N sessions, for the backbone 'gemma'.

  Returns:
    Episodes of numpy arrays, features as float16.

  Raises:
    PastaError: no session with a turn, an unknown reward, user model and
      features of different embedding widths, a pool that was not kept, or
      texts that lack a turn.
  """
  if reward not in _REWARDS:
    raise errors.PastaError(f"reward is '{reward}': expected one of {_REWARDS}")
  dim = user_model.text_dim
  if features.initial_text.shape[-1] != dim:
    raise errors.PastaError(
      f'features have D = {features.initial_text.shape[-1]}, the user model '
      f'expects {dim}: they come from different encoders'
    )
  valid = np.cumprod(features.choice >= 0, axis=1).astype(bool)
  if not valid.any():
    raise errors.PastaError(
      f'{len(features)} sessions without a single choice: nothing to learn '
      'a value from'
    )
  if with_pool and features.pool is None:
    raise errors.PastaError(
      'these features were made without the candidates that slates were '
      'picked from: in a new directory make them again with with_pool = True '
      '(quickstart: --config.simulate.with_pool=True, of human sessions '
      '--config.extract_features.with_pool=True)'
    )
  if texts is not None and (valid & (texts.state.length == 0)).any():
    raise errors.PastaError(
      'features hold turns that their sessions do not: extract them again'
    )
  choice = np.where(valid, features.choice, -1).astype(np.int32)
  position = features.position
  parts, pool_utility = [], []
  for start in range(0, len(features), _CHUNK_SESSIONS):
    rows = np.arange(start, start + _CHUNK_SESSIONS)
    # The last chunk is filled up, so that there is one shape to compile.
    rows = np.minimum(rows, len(features) - 1)
    chunk = _user_model_arrays(
      user_model,
      features.initial_text[rows],
      features.slate_text[rows],
      features.slate_image[rows],
      belief_lib.Feedback(
        choice[rows],
        features.satisfaction[rows],
        features.comparison[rows],
        None if position is None else position[rows],
      ),
      None if log_belief is None else log_belief[rows],
    )
    kept = min(_CHUNK_SESSIONS, len(features) - start)
    parts.append([np.asarray(x)[:kept] for x in chunk])
    if with_pool:
      of_pool = _pool_utility(user_model, features.pool.text[rows])
      pool_utility.append(np.asarray(of_pool)[:kept])
  utility, log_choice, log_belief, prompt, selected, satisfaction, expected = (
    np.concatenate(x) for x in zip(*parts, strict=True)
  )
  gain = expected if reward == 'expected' else satisfaction
  gain = np.where(valid, gain, 0.0).astype(np.float32)
  if not np.isfinite(utility).all() or not np.isfinite(gain).all():
    raise errors.PastaError(
      'the user model predicts non-finite utilities or satisfactions for '
      'these sessions'
    )
  if reward == 'sparse':
    is_last = valid & ~np.pad(valid[:, 1:], ((0, 0), (0, 1)))
    gain = np.where(is_last, gain, 0.0).astype(np.float32)
  logged = {}
  if with_pool:
    logged = {
      'pool': CandidateSet(
        category=features.pool.category.astype(np.int32),
        valid=np.broadcast_to(valid[..., None], features.pool.category.shape),
        text=features.pool.text,
        utility=np.concatenate(pool_utility),
      ),
      'slate': features.pool.slate.astype(np.int32),
      'log_propensity': features.pool.log_propensity,
    }
  return Episodes(
    **logged,
    texts=texts,
    satisfaction=np.where(valid, features.satisfaction, np.nan),
    initial_text=features.initial_text,
    slate_text=features.slate_text,
    slate_image=column_image(features.slate_image),
    slate_category=features.slate_category.astype(np.int32),
    slate_utility=utility.astype(np.float32),
    log_choice=log_choice.astype(np.float32),
    log_belief=log_belief.astype(np.float32),
    prompt_utility=prompt.astype(np.float32),
    expected=selected.astype(np.float32),
    choice=choice,
    reward=gain,
    valid=valid,
    choice_log_scale=np.full(
      len(features), float(user_model.choice_log_scale), np.float32
    ),
  )
