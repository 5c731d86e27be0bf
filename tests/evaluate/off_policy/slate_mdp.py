"""A slate MDP of two turns that is solved by enumeration.

Four candidates of four categories, slates of two, people of one type. The
state is the item that was chosen before; reward, taste and policies depend on
it. People choose by a softmax and are paid by what they like.
"""

import dataclasses
import itertools

import numpy as np

from pasta.agent.episodes import Episodes
from pasta.agent.history import CandidateSet

TURNS, COLUMNS, ITEMS = 2, 2, 4
SLATES = tuple(itertools.combinations(range(ITEMS), COLUMNS))
SLATE_ITEMS = np.array(SLATES)
# Which items a slate holds, [6, 4].
MEMBERS = (SLATE_ITEMS[..., None] == np.arange(ITEMS)).any(1).astype(float)


def softmax(x):
  x = np.exp(x - x.max(-1, keepdims=True))
  return x / x.sum(-1, keepdims=True)


def slate_probs(logits):
  """Probability of each slate drawn without replacement: [..., 4] to [..., 6].

  Two orders: p_a p_b / (1 − p_a) + p_b p_a / (1 − p_b).
  """
  p = softmax(np.asarray(logits, np.float64))
  a, b = p[..., SLATE_ITEMS[:, 0]], p[..., SLATE_ITEMS[:, 1]]
  return a * b / (1 - a) + a * b / (1 - b)


@dataclasses.dataclass(frozen=True)
class Mdp:
  """States: 0 is the first turn, 1 + i the second after item i.

  Attributes:
    utility: [5, 4], of the items by state.
    reward: [5, 4].
  """

  utility: np.ndarray
  reward: np.ndarray

  @property
  def choice(self):
    """C(l | state, slate): [5, 6, 2]."""
    return softmax(self.utility[:, SLATE_ITEMS])

  def item_probs(self, slate_policy):
    """Probability that each item is chosen: [5, 6] to [5, 4]."""
    out = np.zeros((1 + ITEMS, ITEMS))
    for j, slate in enumerate(SLATES):
      for l, item in enumerate(slate):
        out[:, item] += slate_policy[:, j] * self.choice[:, j, l]
    return out

  def values(self, slate_policy):
    """Exact f [5, 4] and v [5] under a policy [5, 6]; v[0] is the return."""
    probs = self.item_probs(slate_policy)
    later = (probs * self.reward).sum(1)
    f = self.reward.copy()
    f[0] += later[1:]
    return f, (probs * f).sum(1)

  def log(self, slate_policy, num, seed):
    """Runs num sessions; states, slates (indices of SLATES), items [N, T]."""
    rng = np.random.default_rng(seed)
    state = np.zeros(num, int)
    out = {k: np.zeros((num, TURNS), int) for k in ('state', 'slate', 'item')}
    out['column'] = np.zeros((num, TURNS), int)
    for t in range(TURNS):
      cumulative = np.cumsum(slate_policy[state], 1)
      slate = (rng.random((num, 1)) >= cumulative[:, :-1]).sum(1)
      column = (rng.random(num) >= self.choice[state, slate, 0]).astype(int)
      item = SLATE_ITEMS[slate, column]
      for key, value in (
        ('state', state),
        ('slate', slate),
        ('item', item),
        ('column', column),
      ):
        out[key][:, t] = value
      state = 1 + item
    out['reward'] = self.reward[out['state'], out['item']]
    return out


def make(seed=0, sharpness=3.0):
  """A random MDP, in which people like what pays; the sharper, the surer."""
  rng = np.random.default_rng(seed)
  reward = rng.random((1 + ITEMS, ITEMS))
  return Mdp(utility=sharpness * reward, reward=reward)


def episodes(mdp, log, log_propensity):
  """The log as arrays; items are told apart by one-hot text features."""
  num = len(log['item'])
  slate = SLATE_ITEMS[log['slate']].astype(np.int32)  # [N, T, L]
  text = np.eye(ITEMS, dtype=np.float16)
  utility = mdp.utility[log['state']][..., None].astype(np.float32)
  shape = (num, TURNS, ITEMS)
  category = np.broadcast_to(np.arange(ITEMS, dtype=np.int32), shape)
  return Episodes(
    initial_text=np.zeros((num, ITEMS), np.float16),
    slate_text=text[slate],
    slate_image=np.zeros((num, TURNS, COLUMNS, ITEMS), np.float16),
    slate_category=slate,
    slate_utility=np.take_along_axis(utility, slate[..., None], 2),
    log_choice=np.log(mdp.choice[log['state'], log['slate']]).astype(
      np.float32
    ),
    log_belief=np.zeros((num, TURNS, 1), np.float32),
    prompt_utility=np.zeros((num, TURNS, 1), np.float32),
    expected=np.zeros((num, TURNS, COLUMNS), np.float32),
    choice=log['column'].astype(np.int32),
    reward=log['reward'].astype(np.float32),
    valid=np.ones((num, TURNS), bool),
    choice_log_scale=np.zeros(num, np.float32),
    pool=CandidateSet(
      category=category,
      valid=np.ones(shape, bool),
      text=np.broadcast_to(text, (*shape, ITEMS)),
      utility=utility,
    ),
    slate=slate,
    log_propensity=log_propensity.astype(np.float32),
  )
