"""Small decision problems, solved exactly, and logs of them as episodes.

In user state s of turn t a slate of L of C items is shown, one of them is
chosen by a softmax over the slate's utilities, and the reward and the next
state depend on s and the chosen item alone. With L = 1 this is a plain MDP
whose actions are the items. The turn is part of the state and the last one is
terminal, so one sweep from the last turn back solves everything here.

Letters: N sessions, T turns, S user states, C items, L slate columns, P legal
slates.
"""

import dataclasses
import itertools

import numpy as np

from pasta.agent.episodes import Episodes
from pasta.agent.history import CandidateSet


@dataclasses.dataclass(frozen=True)
class Problem:
  """A slate MDP.

  Attributes:
    reward: [S, C], mean reward of a chosen item.
    noise: standard deviation of rewards.
    transition: [S, C, S], P(next state | state, chosen item); what is missing
      to one is the probability that the session ends.
    utility: [S, C], logits of the choice.
    category: int [C].
    num_columns: L.
    num_turns: T.
  """

  reward: np.ndarray
  noise: float
  transition: np.ndarray
  utility: np.ndarray
  category: np.ndarray
  num_columns: int
  num_turns: int

  @property
  def states(self) -> np.ndarray:
    return np.arange(self.reward.shape[0])

  @property
  def num_items(self) -> int:
    return self.reward.shape[1]

  def legal_slates(self) -> np.ndarray:
    """All slates with at most one item a category: int [P, L]."""
    columns = itertools.combinations(range(self.num_items), self.num_columns)
    slates = np.array(list(columns))
    category = np.sort(self.category[slates], 1)
    return slates[(np.diff(category, axis=1) > 0).all(1)]

  def log_choice(self, state: np.ndarray, slate: np.ndarray) -> np.ndarray:
    """Log probability of each column: states [...], slates [..., L]."""
    utility = self.utility[state[..., None], slate]
    return utility - np.log(np.exp(utility).sum(-1, keepdims=True))

  def item_values(self, later: np.ndarray, discount: float) -> np.ndarray:
    """E[r + γ V(s')] of a chosen item, [S, C], for V of the next turn [S]."""
    return self.reward + discount * self.transition @ later


@dataclasses.dataclass(frozen=True)
class Log:
  """What a behaviour policy did: arrays [N, T], slates [N, T, L].

  Entries behind the end of a session mean nothing.
  """

  state: np.ndarray
  slate: np.ndarray
  choice: np.ndarray
  reward: np.ndarray
  valid: np.ndarray

  @property
  def item(self) -> np.ndarray:
    """The chosen item, int [N, T]."""
    return np.take_along_axis(self.slate, self.choice[..., None], 2)[..., 0]


def _draw(rng: np.random.Generator, probs: np.ndarray) -> np.ndarray:
  """An index for each row of [N, X]; X where its sum fell short of a draw."""
  return (probs.cumsum(1) < rng.random((len(probs), 1))).sum(1)


def behave(problem: Problem, num: int, seed: int = 0) -> Log:
  """Sessions from uniform first states, with uniform legal slates."""
  rng = np.random.default_rng(seed)
  slates = problem.legal_slates()
  state = rng.integers(len(problem.states), size=num)
  valid = np.ones(num, bool)
  turns = []
  for _ in range(problem.num_turns):
    slate = slates[rng.integers(len(slates), size=num)]
    choice = _draw(rng, np.exp(problem.log_choice(state, slate)))
    choice = np.minimum(choice, problem.num_columns - 1)  # of rounding
    item = slate[np.arange(num), choice]
    reward = problem.reward[state, item] + problem.noise * rng.normal(size=num)
    turns.append((state, slate, choice, reward, valid))
    state = _draw(rng, problem.transition[state, item])
    valid = valid & (state < len(problem.states))
    state = np.where(valid, state, 0)
  return Log(*(np.stack(x, 1) for x in zip(*turns, strict=True)))


def to_episodes(problem: Problem, log: Log, *, with_pool: bool) -> Episodes:
  """The log as the trainer reads it: states as beliefs, items one-hot."""
  belief = np.where(np.eye(len(problem.states), dtype=bool), 0.0, -30.0)
  belief = belief.astype(np.float32)
  text = np.eye(problem.num_items, dtype=np.float32)
  utility = problem.utility.T.astype(np.float32)  # [C, S]
  category = problem.category.astype(np.int32)

  def everywhere(x):
    return np.broadcast_to(x, (*log.state.shape, *x.shape))

  pool = CandidateSet(
    category=everywhere(category),
    valid=np.repeat(log.valid[..., None], problem.num_items, 2),
    text=everywhere(text),
    utility=everywhere(utility),
  )
  return Episodes(
    initial_text=np.zeros((len(log.state), problem.num_items), np.float32),
    slate_text=text[log.slate],
    slate_image=np.zeros_like(text[log.slate]),
    slate_category=category[log.slate],
    slate_utility=utility[log.slate],
    log_choice=problem.log_choice(log.state, log.slate).astype(np.float32),
    log_belief=belief[log.state],
    prompt_utility=np.zeros(
      (*log.state.shape, len(problem.states)), np.float32
    ),
    expected=np.zeros(log.slate.shape, np.float32),
    choice=np.where(log.valid, log.choice, -1).astype(np.int32),
    reward=np.where(log.valid, log.reward, 0.0).astype(np.float32),
    valid=log.valid,
    choice_log_scale=np.zeros(len(log.state), np.float32),
    pool=pool if with_pool else None,
    slate=log.slate.astype(np.int32),
    log_propensity=np.zeros(log.state.shape, np.float32),
  )


def expectile(values: np.ndarray, level: float) -> float:
  """The minimiser v of Σ |α − 1(x < v)| (x − v)², by reweighting."""
  v = values.mean()
  while True:
    new = np.average(values, weights=np.where(values < v, 1 - level, level))
    if np.isclose(new, v, rtol=1e-12, atol=1e-12):
      return new
    v = new


def fixpoint(
  problem: Problem, log: Log, *, level: float, discount: float, credit: str
) -> tuple[np.ndarray, np.ndarray]:
  """V and f that implicit Q-learning has on this log: see `iql.update`.

  f(t, s, ·) is the least-squares fit of r + γ V(t + 1, s') over the decisions
  in (t, s): for credit 'choice' by f of the chosen item, so its mean, for
  'mean' by the mean of the slate's f. V(t, s) is the expectile over the slates
  that were shown there, of Σ_l C_l f_l or of their mean f.

  Returns:
    V [T, S] and f [T, S, C].

  Raises:
    ValueError: in some (t, s) an item was never chosen.
  """
  num_states, columns = len(problem.states), problem.num_columns
  v = np.zeros((problem.num_turns + 1, num_states))
  f = np.zeros((problem.num_turns, num_states, problem.num_items))
  next_state = np.pad(log.state, ((0, 0), (0, 1)))
  goes_on = np.pad(log.valid, ((0, 0), (0, 1)))
  for t in reversed(range(problem.num_turns)):
    later = np.where(goes_on[:, t + 1], v[t + 1, next_state[:, t + 1]], 0.0)
    target = log.reward[:, t] + discount * later
    for s in problem.states:
      rows = np.flatnonzero((log.state[:, t] == s) & log.valid[:, t])
      slate, item = log.slate[rows, t], log.item[rows, t]
      count = np.bincount(item, minlength=problem.num_items)
      if not count.all():
        raise ValueError(f'turn {t}, state {s}: items of no choice')
      if credit == 'choice':
        f[t, s] = np.bincount(item, target[rows]) / count
        weights = np.exp(problem.log_choice(np.full(len(rows), s), slate))
      else:
        weights = np.full(slate.shape, 1 / columns)
        design = np.zeros((len(rows), problem.num_items))
        np.put_along_axis(design, slate, weights, 1)
        f[t, s] = np.linalg.lstsq(design, target[rows], rcond=None)[0]
      v[t, s] = expectile((weights * f[t, s, slate]).sum(1), level)
  return v[:-1], f


def best_slates(problem: Problem, f: np.ndarray, credit: str) -> np.ndarray:
  """The legal slates that are worth most by f [T, S, C]: int [T, S, L]."""
  slates = problem.legal_slates()
  weights = np.full(slates.shape, 1 / problem.num_columns)
  if credit == 'choice':
    every = np.repeat(problem.states[:, None], len(slates), 1)
    weights = np.exp(problem.log_choice(every, slates[None]))  # [S, P, L]
  return slates[(weights * f[:, :, slates]).sum(-1).argmax(-1)]


def optimum(problem: Problem, discount: float) -> np.ndarray:
  """V* over all legal slates, [T, S]."""
  v = np.zeros((problem.num_turns + 1, len(problem.states)))
  for t in reversed(range(problem.num_turns)):
    f = problem.item_values(v[t + 1], discount)
    v[t] = _shown(problem, f, best_slates(problem, f[None], 'choice')[0])
  return v[:-1]


def policy_value(
  problem: Problem, slates: np.ndarray, discount: float
) -> np.ndarray:
  """Value [T, S] of showing slates [T, S, L]."""
  v = np.zeros((problem.num_turns + 1, len(problem.states)))
  for t in reversed(range(problem.num_turns)):
    f = problem.item_values(v[t + 1], discount)
    v[t] = _shown(problem, f, slates[t])
  return v[:-1]


def _shown(problem: Problem, f: np.ndarray, slate: np.ndarray) -> np.ndarray:
  """Σ_l C_l f_l of a slate in each state: [S, C] and [S, L] to [S]."""
  probs = np.exp(problem.log_choice(problem.states, slate))
  return (probs * np.take_along_axis(f, slate, 1)).sum(1)


def grid(side: int = 8, num_turns: int = 5, slip: float = 0.2) -> Problem:
  """A plain MDP: four moves on side² cells that are worth different rewards.

  With probability `slip` a move goes in a random direction; the session ends
  in the first cell.
  """
  cells = np.arange(side**2)
  row, column = np.divmod(cells, side)
  moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
  to = np.clip(row[:, None] + moves[:, 0], 0, side - 1) * side
  to += np.clip(column[:, None] + moves[:, 1], 0, side - 1)  # [S, 4]
  meant = np.eye(side**2)[to]  # [S, 4, S]
  transition = (1 - slip) * meant + slip * meant.mean(1, keepdims=True)
  transition[0] = 0.0
  reward = np.random.default_rng(0).random(side**2)
  return Problem(
    reward=np.repeat(reward[:, None], 4, 1),
    noise=0.1,
    transition=transition,
    utility=np.zeros((side**2, 4)),
    category=np.zeros(4, int),
    num_columns=1,
    num_turns=num_turns,
  )


def slates(
  num_states: int = 12, num_turns: int = 5, *, is_uniform: bool = False
) -> Problem:
  """25 items in 5 categories, slates of 4; what is chosen moves the state.

  People choose by a softmax of what they like, or uniformly.

  States lie on a line, and are the better the higher; one session in twenty
  ends at each turn. An item is liked for one reason and leads up or down for
  another, so that planning matters.
  """
  rng = np.random.default_rng(0)
  items = rng.normal(size=(25, 3))
  utility = rng.normal(size=(num_states, 3)) @ items.T
  level = np.linspace(-2.0, 2.0, num_states)[:, None]
  pull = items @ rng.normal(size=(3, num_states))  # [C, S]
  distance = np.abs(np.subtract.outer(*[np.arange(num_states)] * 2))
  transition = np.exp(2 * pull - distance[:, None])  # [S, C, S]
  transition *= 0.95 / transition.sum(-1, keepdims=True)
  return Problem(
    reward=1 / (1 + np.exp(-utility - level)),
    noise=0.5,
    transition=transition,
    utility=(0.0 if is_uniform else 0.7) * np.tanh(utility),
    category=np.arange(25) % 5,
    num_columns=4,
    num_turns=num_turns,
  )
