"""The loop of the paper's figure 1, for a batch of sittings in lockstep.

    candidates -> policy -> slate -> images -> people answer -> belief -> ...

One function, `run`, serves people at a terminal, hidden people and simulated
ones, whatever the policy. Seeds of candidates, images and screen order derive
from the sitting alone, so two policies on the same sittings meet the same
world, and a prompt that both show gives the same images.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors, seeds
from pasta.agent import history as history_lib
from pasta.agent import policy as policy_lib
from pasta.agent.gemma import text as gemma_text
from pasta.interaction import board as board_lib
from pasta.interaction import people as people_lib
from pasta.storage import session_features as features_lib
from pasta.storage import sessions
from pasta.types import Candidate, PromptHistory
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as user_model_lib
from pasta.world import world as world_lib


class Known(NamedTuple):
  """What is known of N people from earlier sessions of theirs.

  Attributes:
    belief: that their next sessions start from, `belief.carried`.
    session_ids: of each person's last session; '' for those who had none.
  """

  belief: belief_lib.Belief
  session_ids: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Result:
  """What a batch of N sittings gave.

  Attributes:
    sessions: N records.
    features: their features; None where nobody needed any.
    log_beliefs: belief before each turn and after the last [N, T + 1, K]; None
      without a user model.
    utilities: true utility of the chosen columns [N, T]; None where there is
      no truth.
    predicted: what the policy thought its slates were worth [N, T], in units
      of return; NaN for policies that predict none.
    belief: after the last turn, of all N; None without a user model.
  """

  sessions: list[sessions.Session]
  features: features_lib.SessionFeatures | None
  log_beliefs: np.ndarray | None
  utilities: np.ndarray | None
  predicted: np.ndarray
  belief: belief_lib.Belief | None


def run(
  world: world_lib.World,
  people: people_lib.People,
  policy: policy_lib.Policy,
  sizes: world_lib.Sizes,
  key: jax.Array,
  *,
  user_model: user_model_lib.UserModel | None = None,
  known: Known | None = None,
  image_seed_pool: int = 0,
  session_prefix: str = 'session',
  true_log_belief: np.ndarray | None = None,
  with_pool: bool = False,
  after_turn: Callable[[list[sessions.Session]], None] | None = None,
) -> Result:
  """Runs one session for each of N people.

  Args:
    world: images, encoder, candidates.
    people: N sittings.
    policy: chooses the slates.
    sizes: T, L, M.
    key: typed key; drives stochastic policies only.
    user_model: for belief and utilities; needed by policies that use features.
    known: of the N people; None: nothing, the prior.
    image_seed_pool: draw each turn's image seed from this many values, so that
      the cache can answer for a repeated prompt; 0 means all 2^32.
    session_prefix: session ids are `<prefix>-<sitting seed>`.
    true_log_belief: what an agent that knows the types would believe [N, K],
      for policies whose belief is 'oracle'.
    with_pool: whether the result's features keep all candidates.
    after_turn: is told the records so far, after each turn.

  Returns:
    The batch's result; sessions are shorter than T where people stopped.

  Raises:
    PastaError: a policy needs a user model or the true types and there are
      none.
  """
  if policy.uses_features and user_model is None:
    raise errors.PastaError(
      f'policy {policy.policy_id} needs a trained user model, none was given'
    )
  if user_model is not None:
    user_model = belief_lib.hearing(user_model, policy.feedback)
  policy.begin(people)
  generator = world.generator_of(policy.num_candidates)
  num = len(people.initial_prompts)
  board = board_lib.Board(
    num,
    world,
    sizes,
    user_model,
    with_features=policy.uses_features or people.needs_features,
    with_pool=with_pool,
    belief=None if known is None else known.belief,
    fixed_belief=_fixed_belief(policy, user_model, num, true_log_belief),
    generator=generator,
  )
  started = time.time()
  turns: list[list[sessions.Turn]] = [[] for _ in range(num)]
  histories = [PromptHistory(p) for p in people.initial_prompts]
  beliefs, utilities, predicted = [board.sitting.log_belief], [], []
  seen = {'images': None} if generator.sees_images else {}

  def recorded() -> list[sessions.Session]:
    return [
      sessions.Session(
        session_id=f'{session_prefix}-{int(people.sitting_seeds[i]):016x}',
        user_id=people.user_ids[i],
        source=people.source,
        initial_prompt=people.initial_prompts[i],
        policy_id=policy.policy_id,
        generator_id=generator.generator_id,
        t2i_id=world.t2i.model_id,
        images_per_prompt=sizes.images_per_prompt,
        started_at=started,
        turns=tuple(turns[i]),
        belief_after='' if known is None else known.session_ids[i],
      )
      for i in range(num)
    ]

  for t in range(sizes.num_turns):
    pools = generator.propose(
      histories, seeds.derive(people.sitting_seeds, 'candidates', t), **seen
    )
    texts = [[c.text for c in pool] for pool in pools]
    image_seeds = _image_seeds(people.sitting_seeds, t, sizes, image_seed_pool)
    candidates = board.candidate_set(t, pools, texts, policy, image_seeds)
    turn_key = jax.random.fold_in(key, t)
    history = board.history(people.initial_prompts, t)
    if policy.tokeniser is not None:
      _, of_candidates = gemma_text.of_turn(
        policy.tokeniser, people.initial_prompts, turns, pools, sizes.num_turns
      )
      candidates = candidates.replace(texts=of_candidates)
    policy.see(texts)
    decision = jax.device_get(policy.choose(history, candidates, turn_key))
    _check_scores(policy, decision.scores)
    slate = np.asarray(decision.slate)  # [N, L]
    shown = board.show(t, pools, slate, image_seeds, people)
    try:
      answer = people.answer(shown)
    except people_lib.SessionEnded:
      break
    board.record(
      shown,
      answer,
      np.take_along_axis(np.asarray(candidates.category), slate, 1),
    )
    policy.observe(shown, answer)
    beliefs.append(board.sitting.log_belief)
    utilities.append(answer.utility)
    predicted.append(decision.predicted)
    for i in range(num):
      turns[i].append(_turn(i, pools[i], decision, shown, answer))
      histories[i] = sessions.history(people.initial_prompts[i], turns[i])
    if after_turn is not None:
      after_turn(recorded())
    if seen and t + 1 < sizes.num_turns:
      # The same images once more: the loop itself keeps features alone.
      seen['images'] = world.t2i.generate(
        [turn[-1].chosen_prompt for turn in turns],
        image_seeds[np.arange(num), answer.choice],
        sizes.images_per_prompt,
      )
  records = recorded()
  return Result(
    sessions=records,
    features=board.features(records),
    log_beliefs=None
    if user_model is None
    else np.stack([np.asarray(b) for b in beliefs], 1),
    utilities=(
      None if not utilities or utilities[0] is None else np.stack(utilities, 1)
    ),
    predicted=np.stack(predicted, 1) if predicted else np.zeros((num, 0)),
    belief=board.sitting.belief,
  )


def _fixed_belief(
  policy: policy_lib.Policy,
  user_model: user_model_lib.UserModel | None,
  num: int,
  true_log_belief: np.ndarray | None,
) -> jax.Array | None:
  """The belief [N, K] that a policy never moves, or None for the posterior."""
  if user_model is None or policy.belief in ('on', 'off'):
    return None
  if policy.belief == 'prior':
    return belief_lib.initial(user_model, num).log_types
  if true_log_belief is None:
    raise errors.PastaError(
      f"policy {policy.policy_id} has belief 'oracle': it needs people whose "
      'true type is known'
    )
  return jnp.asarray(true_log_belief, jnp.float32)


def _image_seeds(
  sitting_seeds: np.ndarray, turn: int, sizes: world_lib.Sizes, pool: int
) -> np.ndarray:
  """T2I seeds [N, L], equal in all columns: prompts tell images apart."""
  drawn = seeds.derive(sitting_seeds, 'images', turn)
  drawn = drawn % np.uint64(pool) if pool else drawn >> np.uint64(32)
  return np.repeat(drawn[:, None], sizes.num_columns, axis=1)


def _check_scores(policy: policy_lib.Policy, scores: np.ndarray) -> None:
  """Raises PastaError unless scores [N, C] are finite, or −∞ to leave one out.

  Selectors pass over whatever is not finite: a broken value would not show.
  """
  bad = np.isnan(scores) | np.isposinf(scores)
  if bad.any():
    raise errors.PastaError(
      f'policy {policy.policy_id}: the score of a candidate is '
      f'{np.asarray(scores)[bad][0]}, expected a number, or -inf to leave it '
      'out'
    )


def _turn(
  i: int,
  pool: list[Candidate],
  decision: history_lib.Decision,
  shown: people_lib.Shown,
  answer: people_lib.Answer,
) -> sessions.Turn:
  """The record of person i's turn."""
  scores = np.round(np.asarray(decision.scores[i], np.float64), 6)
  is_scored = np.isfinite(scores)
  satisfaction = float(answer.satisfaction[i])
  return sessions.Turn(
    candidates=tuple(pool),
    scores=(
      tuple(np.where(is_scored, scores, None).tolist())
      if is_scored.any()
      else None
    ),
    slate=tuple(decision.slate[i].tolist()),
    columns=tuple(shown.columns[i].tolist()),
    seeds=tuple(shown.seeds[i].tolist()),
    log_propensity=float(decision.log_propensity[i]),
    choice=int(answer.choice[i]),
    satisfaction=None if np.isnan(satisfaction) else satisfaction,
    comparison=(
      None if answer.comparison is None else int(answer.comparison[i])
    ),
    critique=answer.critiques[i],
    answered_at=time.time(),
  )
