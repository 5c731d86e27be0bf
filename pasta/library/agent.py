"""The agent as a library: it proposes slates, hears answers, explains itself.

  import pasta
  agent = pasta.Agent.load('runs/quickstart')
  session = agent.begin('a quiet harbour at dusk')
  slate = agent.propose(session, candidates)
  # Draw slate.prompts, show them, ask.
  belief = agent.observe(session, pasta.Feedback(choice=2, images=images))
  print(agent.explain(session, phrases=('in watercolour', 'at night')))

Candidates come from anywhere and images are drawn by anything: the agent reads
texts and pixels through its encoder, or their features where there is none.
Many people are served at once by `propose_many` and `observe_many`, whatever
turn each of them is at; nobody's slates depend on who else is there.

Letters: N people, T turns, L slate columns, M images per prompt, C candidates,
D embedding width, K user types.
"""

import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.agent import expected_selection, policies
from pasta.agent import saved as saved_values
from pasta.agent import sitting as sitting_lib
from pasta.agent.history import CandidateSet
from pasta.agent.policy import Policy
from pasta.library import inputs
from pasta.library import session as session_lib
from pasta.library.explanation import Explanation, Turn, explain
from pasta.library.inputs import Feedback
from pasta.library.session import Encoder, Session, Slate
from pasta.types import Candidate
from pasta.user_model import belief as belief_lib
from pasta.user_model import saved as saved_user_models
from pasta.user_model.model import UserModel

# Policies that follow from a workdir alone.
POLICIES = ('pasta', 'greedy_slate')
_NUM_TURNS = 5  # H of the paper


class Agent:
  """A user model and a slate policy.

  Attributes:
    user_model: whose types are believed in.
    policy: chooses slates.
    encoder: reads texts and images; None where features are handed over.
    num_turns: T.
    num_columns: L.
    images_per_prompt: M.
  """

  def __init__(
    self,
    user_model: UserModel,
    policy: Policy,
    encoder: Encoder | None = None,
    *,
    num_turns: int = _NUM_TURNS,
    images_per_prompt: int = 4,
  ):
    """Puts an agent together; `load` reads one from a working directory.

    Args:
      user_model: K types over features of width D.
      policy: of `agent.policies`; no texts as tokens, no images of whole pools.
      encoder: the one that the user model was trained with.
      num_turns: T.
      images_per_prompt: M.

    Raises:
      PastaError: a policy that reads more than a library is handed.
    """
    if policy.tokeniser is not None or policy.renders_pool:
      raise errors.PastaError(
        f'policy {policy.policy_id} reads tokens or the images of all '
        'candidates: expected one that reads features of texts'
      )
    if policy.belief not in ('on', 'off'):
      raise errors.PastaError(
        f"policy {policy.policy_id} has belief '{policy.belief}': expected one "
        'that learns of people from what they answer'
      )
    self.user_model = belief_lib.hearing(user_model, policy.feedback)
    self.policy = policy
    self.encoder = encoder
    self.num_turns = num_turns
    self.num_columns = policy.num_columns
    self.images_per_prompt = images_per_prompt
    errors.check_least(self, num_turns=1, num_columns=1, images_per_prompt=1)

  @classmethod
  def load(
    cls,
    workdir: str | os.PathLike,
    *,
    policy: str = '',
    encoder: Encoder | None | str = 'sketch-clip',
    num_turns: int | None = None,
    num_columns: int = 4,
    images_per_prompt: int = 4,
  ) -> 'Agent':
    """The agent of a working directory.

    Args:
      workdir: has `user_model/`, and `value/` for policy 'pasta'.
      policy: 'pasta', the learned values; 'greedy_slate', which needs none; '':
        'pasta' where there is a `value/`.
      encoder: an object, or what `encoders.clip.ClipEncoder.load` takes; None
        for features only. It has to be the one that was trained with.
      num_turns: T; None: as many as the values were trained for, or 5.
      num_columns: L.
      images_per_prompt: M.

    Raises:
      PastaError: nothing complete is there; another encoder's models; values
        of sessions of another length.
    """
    workdir = os.fspath(workdir)
    if not os.path.isdir(workdir):
      raise errors.PastaError(f'workdir: there is no directory {workdir}')
    values = os.path.join(workdir, 'value')
    if not policy:
      policy = POLICIES[0] if os.path.isdir(values) else POLICIES[1]
    errors.check_known('policy', policy, POLICIES)
    if isinstance(encoder, str):
      # Not before it is asked for: core installations have no CLIP.
      from pasta.encoders import clip

      encoder = clip.ClipEncoder.load(encoder)
    encoder_id = None if encoder is None else encoder.encoder_id
    model = saved_user_models.load(
      os.path.join(workdir, 'user_model'), encoder_id
    )
    response = expected_selection.learned(model)
    if policy == 'greedy_slate':
      chooses = policies.greedy_slate(num_columns, response)
      trained = num_turns or _NUM_TURNS
    else:
      value = saved_values.load(values, encoder_id)
      chooses = policies.pasta(num_columns, value, response)
      trained = value.settings.num_turns
    if num_turns not in (None, trained):
      raise errors.PastaError(
        f'num_turns is {num_turns}: the value function in {values} was '
        f'trained on sessions of {trained} turns, expected that'
      )
    return cls(
      model,
      chooses,
      encoder,
      num_turns=trained,
      images_per_prompt=images_per_prompt,
    )

  def begin(
    self,
    prompt: str,
    *,
    belief: belief_lib.Belief | None = None,
    features: np.ndarray | None = None,
    seed: int = 0,
  ) -> Session:
    """Somebody sits down.

    Args:
      prompt: what they typed.
      belief: `carried` from a session of theirs; None: somebody new.
      features: of the prompt [D]; None: the encoder reads it.
      seed: of slates, where the policy draws them.

    Raises:
      PastaError: an empty prompt; no encoder and no features; another user
        model's belief.
    """
    inputs.check_prompt(prompt)
    if belief is not None:
      expected = belief_lib.initial(self.user_model, 1).log_joint.shape
      if belief.log_joint.shape != expected:
        raise errors.PastaError(
          f'belief: over {list(belief.log_joint.shape)} people, types and '
          f'generosities, expected {list(expected)}, of this user model'
        )
    sitting = sitting_lib.begin(
      1,
      self.user_model,
      (
        self.num_turns,
        self.num_columns,
        self.images_per_prompt,
        self.user_model.text_dim,
      ),
      belief,
    )
    text = inputs.text_features(
      self.encoder, [prompt], None if features is None else [features], sitting
    )
    sitting.meet(text)
    return Session(prompt, [], None, sitting, seed, {})

  def propose(
    self,
    session: Session,
    candidates: Sequence[str | Candidate],
    features: np.ndarray | None = None,
  ) -> Slate:
    """The next slate; see `propose_many`.

    Args:
      session: of a person.
      candidates: C prompts, in the order of whoever wrote them.
      features: of the candidates [C, D]; None: the encoder reads them.
    """
    pools = None if features is None else [features]
    return self.propose_many([session], [candidates], pools)[0]

  def propose_many(
    self,
    sessions: Sequence[Session],
    candidates: Sequence[Sequence[str | Candidate]],
    features: Sequence[np.ndarray] | None = None,
  ) -> list[Slate]:
    """The next slates of N people. Asked twice, the later slate counts.

    Args:
      sessions: N.
      candidates: N pools; a slate is spread over the candidates' categories,
        and plain strings are of none.
      features: of the candidates, N times [C, D]; None: the encoder reads them.

    Raises:
      PastaError: a session that is over; fewer candidates than columns; an
        empty candidate; features that do not fit.
    """
    if not sessions:
      return []
    for session in sessions:
      if len(session.turns) >= self.num_turns:
        raise errors.PastaError(
          f'the session of {session.initial_prompt!r:.60} has had its '
          f'{self.num_turns} turns: begin another, with '
          'belief=agent.carried(session) if it is the same person'
        )
    pools = inputs.as_candidates(candidates, len(sessions), self.num_columns)
    joined = inputs.joined([s.sitting for s in sessions])
    width = max(len(pool) for pool in pools)
    flat = [c.text for pool in pools for c in pool]
    rows = None if features is None else inputs.rows(features, pools)
    text = inputs.text_features(self.encoder, flat, rows, joined)
    arrays = inputs.padded_pools(pools, text, width, len(joined.turn))
    pool_set = CandidateSet(
      category=jnp.asarray(arrays['category']),
      valid=jnp.asarray(arrays['valid']),
      text=jnp.asarray(arrays['text']),
      utility=sitting_lib.text_utility(self.user_model, arrays['text']),
      group=jnp.asarray(arrays['group']),
    )
    keys = session_lib.keys(sessions, len(joined.turn))
    decision = jax.device_get(
      self.policy.choose(joined.history(), pool_set, keys)
    )
    for i, session in enumerate(sessions):
      indices = tuple(int(c) for c in decision.slate[i])
      scores = np.asarray(decision.scores[i][: len(pools[i])], np.float32)
      if np.isnan(scores).any():
        raise errors.PastaError(
          f'policy {self.policy.policy_id}: the score of a candidate of '
          f'{session.initial_prompt!r:.60} is not a number'
        )
      session.slate = Slate(
        indices=indices,
        prompts=tuple(pools[i][c].text for c in indices),
        scores=scores,
        predicted=float(decision.predicted[i]),
        log_propensity=float(decision.log_propensity[i]),
      )
      at = np.asarray(indices)
      session.pending = {
        'text': arrays['text'][i, at],
        'category': arrays['category'][i, at],
      }
    return [session.slate for session in sessions]

  def observe(self, session: Session, feedback: Feedback) -> np.ndarray:
    """Takes in what a person answered to the slate that was proposed last.

    Args:
      session: theirs.
      feedback: see `Feedback`.

    Returns:
      Probability of each user type [K].
    """
    return self.observe_many([session], [feedback])[0]

  def observe_many(
    self, sessions: Sequence[Session], feedback: Sequence[Feedback]
  ) -> np.ndarray:
    """Takes in what N people answered; nothing is taken in if one is bad.

    Args:
      sessions: N, each of them once.
      feedback: N.

    Returns:
      Probability of each user type [N, K].

    Raises:
      PastaError: a session without a slate; feedback that does not fit.
    """
    if not sessions:
      return np.zeros((0, self.user_model.num_types), np.float32)
    if len({id(s) for s in sessions}) < len(sessions):
      raise errors.PastaError('sessions: one is there twice')
    for session in sessions:
      if session.slate is None:
        raise errors.PastaError(
          f'the session of {session.initial_prompt!r:.60} has no slate to '
          'answer: propose one first'
        )
    joined = inputs.joined([s.sitting for s in sessions])
    heard = inputs.heard(feedback, len(sessions), self.num_columns)
    image = inputs.image_features(self.encoder, feedback, joined)
    text = np.stack([s.pending['text'] for s in sessions])
    category = np.stack([s.pending['category'] for s in sessions])
    before = np.asarray(joined.log_belief)
    utility = sitting_lib.text_utility(
      self.user_model, inputs.padded(text, len(before))
    )
    fill = len(before)
    joined.record(
      belief_lib.Feedback(*(inputs.padded(x, fill) for x in heard)),
      inputs.padded(category, fill),
      inputs.padded(text, fill),
      inputs.padded(image, fill),
    )
    after = np.exp(np.asarray(joined.log_belief, np.float32))
    utility = np.asarray(utility)
    for i, sitting in enumerate(sitting_lib.split(joined, len(sessions))):
      session = sessions[i]
      session.turns.append(
        Turn(
          slate=session.slate.prompts,
          expected=utility[i] @ np.exp(before[i]),
          choice=int(heard.choice[i]),
          before=np.exp(before[i]),
          after=after[i],
        )
      )
      session.sitting, session.slate, session.pending = sitting, None, {}
    return after[: len(sessions)]

  def carried(self, session: Session) -> belief_lib.Belief:
    """The belief that the same person's next session starts from."""
    return belief_lib.carried(self.user_model, session.sitting.belief)

  def explain(
    self, session: Session, phrases: Sequence[str] = ()
  ) -> Explanation:
    """What is believed of a person, and why.

    Args:
      session: theirs.
      phrases: short texts; said is what each adds to the prompt at hand for
        this person, by the user model. Needs an encoder.
    """
    texts = [session.prompt, *(f'{session.prompt}, {p}' for p in phrases)]
    utility = np.zeros((len(texts), self.user_model.num_types))
    if phrases:
      text = inputs.text_features(self.encoder, texts, None, session.sitting)
      utility = np.asarray(sitting_lib.text_utility(self.user_model, text))
    return explain(
      session.belief,
      np.exp(np.asarray(self.user_model.log_prior)),
      session.turns,
      dict(zip(phrases, utility[1:] - utility[0])),
    )


__all__ = (
  'Agent',
  'Encoder',
  'Explanation',
  'Feedback',
  'Session',
  'Slate',
  'Turn',
)
