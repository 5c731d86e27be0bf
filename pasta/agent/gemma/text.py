"""States and candidates as text, and as the tokens that Gemma reads.

A text is <bos>, the state, the candidate, <eos>; values are read off <eos>. The
state runs from the oldest turn to the newest, with the initial prompt after
them: where room is short, tokens go from the front, so that the oldest turns
are forgotten first and the initial prompt last.

What training sees of a turn (`of_sessions`) is what a policy sees of it
(`of_turn`), token by token.

Letters: B states, C candidates, S tokens, N sessions, T turns, L slate columns.
"""

from collections.abc import Sequence

import numpy as np
import transformers
from absl import logging

from pasta.agent.episodes import EpisodeTexts
from pasta.agent.history import Texts
from pasta.agent.settings import Tokeniser
from pasta.gemma import model as gemma_model
from pasta.storage import sessions
from pasta.types import Candidate

_NUM_FRAMING = 2  # <bos> and <eos>


def describe_state(
  initial_prompt: str, past_turns: Sequence[sessions.Turn], num_turns: int
) -> str:
  """What is known before a turn's slate, as text.

  For example, before the second of five turns:

    turn 1
    shown (style): a cat, oil painting
    chosen (detail): a cat with green eyes
    critique: warmer, please
    first prompt: a cat
    turn 2 of 5, 3 more after it

  Args:
    initial_prompt: what the person typed.
    past_turns: oldest first.
    num_turns: T, of a whole session.

  Raises:
    ValueError: no turn is left, or a turn contradicts itself.
  """
  turn = len(past_turns) + 1
  if turn > num_turns:
    raise ValueError(f'{len(past_turns)} past turns of {num_turns}')
  lines = []
  for i, past in enumerate(past_turns, 1):
    size = len(past.slate)
    if not 0 <= past.choice < size:
      raise ValueError(f'past turn {i}: {size} prompts, choice {past.choice}')
    lines.append(f'turn {i}')
    for j, shown in enumerate(past.candidates[c] for c in past.slate):
      verb = 'chosen' if j == past.choice else 'shown'
      lines.append(f'{verb} ({shown.category}): {_one_line(shown.text)}')
    if past.critique:
      lines.append(f'critique: {_one_line(past.critique)}')
  lines.append(f'first prompt: {_one_line(initial_prompt)}')
  lines.append(f'turn {turn} of {num_turns}, {num_turns - turn} more after it')
  return '\n'.join(lines) + '\n'


def describe_candidate(text: str, category: str) -> str:
  """A prompt that may be shown next, as text that follows a state."""
  return f'next ({category}): {_one_line(text)}'


def tokenise(
  tokenizer: transformers.PreTrainedTokenizerBase,
  states: Sequence[str],
  candidates: Sequence[Sequence[str]],
  max_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Token ids of every candidate behind its state, padded on the right.

  A text that is too long loses its state's oldest tokens. A candidate that is
  too long by itself loses its end as well, and so what tells it from others
  may go: the log says how many did. The tokens of a pair depend on nothing
  but the pair and max_length.

  Args:
    tokenizer: of `gemma_model.load`.
    states: B texts of `describe_state`.
    candidates: [B, C] texts of `describe_candidate`; '' stands for none, as
      for the value of a state.
    max_length: S, all special tokens included.

  Returns:
    ids and mask, int32 [B, C, S]; mask is 1 = valid.

  Raises:
    ValueError: other numbers of candidates than of states, states with
      different numbers of candidates, or no room for a single token.
  """
  if max_length <= _NUM_FRAMING:
    raise ValueError(f'max_length is {max_length}: no room for any text')
  sizes = {len(row) for row in candidates}
  if len(candidates) != len(states) or len(sizes) > 1:
    raise ValueError(
      f'{len(states)} states, {len(candidates)} lists of candidates of sizes '
      f'{sorted(sizes)}'
    )
  texts = list(
    dict.fromkeys([*states, *(c for row in candidates for c in row)])
  )
  tokens = dict(
    zip(texts, gemma_model.token_ids(tokenizer, texts), strict=True)
  )
  shape = (len(states), max(sizes, default=0), max_length)
  ids = np.full(shape, tokenizer.pad_token_id or 0, np.int32)
  mask = np.zeros(shape, np.int32)
  room = max_length - _NUM_FRAMING
  num_cut = num_forgotten = 0
  for b, (state, row) in enumerate(zip(states, candidates, strict=True)):
    for c, text in enumerate(row):
      candidate = tokens[text][:room]
      start = max(len(tokens[state]) + len(candidate) - room, 0)
      num_cut += len(tokens[text]) > room
      num_forgotten += start > 0
      line = [
        tokenizer.bos_token_id,
        *tokens[state][start:],
        *candidate,
        tokenizer.eos_token_id,
      ]
      ids[b, c, : len(line)] = line
      mask[b, c, : len(line)] = 1
  num = shape[0] * shape[1]
  if num_forgotten:
    logging.info(
      '%d of %d texts forget their oldest turns to fit into %d tokens',
      num_forgotten,
      num,
      max_length,
    )
  if num_cut:
    logging.warning(
      '%d of %d candidates lose their ends: they alone exceed %d tokens',
      num_cut,
      num,
      max_length,
    )
  return ids, mask


def of_turn(
  tokeniser: Tokeniser,
  initial_prompts: Sequence[str],
  past_turns: Sequence[Sequence[sessions.Turn]],
  pools: Sequence[Sequence[Candidate]],
  num_turns: int,
) -> tuple[Texts, Texts]:
  """What is known before a turn's slates, alone and with each candidate.

  Args:
    tokeniser: of the value function that will read them.
    initial_prompts: B texts, what the persons typed.
    past_turns: of each session, oldest first.
    pools: [B, C].
    num_turns: T, of a whole session.

  Returns:
    Texts [B] and [B, C], numpy arrays.
  """
  states = [
    describe_state(prompt, turns, num_turns)
    for prompt, turns in zip(initial_prompts, past_turns, strict=True)
  ]
  candidates = [
    [describe_candidate(c.text, c.category) for c in pool] for pool in pools
  ]
  # The last one stands for none.
  ids, mask = tokenise(
    tokeniser.tokenizer,
    states,
    [[*row, ''] for row in candidates],
    tokeniser.max_tokens,
  )
  length = mask.sum(-1, dtype=np.int32)
  return (
    Texts(ids[:, -1], length[:, -1]),
    Texts(ids[:, :-1], length[:, :-1]),
  )


def of_sessions(
  tokeniser: Tokeniser, records: Sequence[sessions.Session], num_turns: int
) -> EpisodeTexts:
  """All turns of N sessions as text; zeros beyond a session's end.

  Args:
    tokeniser: of the value function that will read them.
    records: N sessions of at most T turns, with slates of one size.
    num_turns: T.
  """
  where = [(n, t) for n, r in enumerate(records) for t in range(len(r.turns))]
  turns = [records[n].turns[t] for n, t in where]
  found = of_turn(
    tokeniser,
    [records[n].initial_prompt for n, _ in where],
    [records[n].turns[:t] for n, t in where],
    [[turn.candidates[c] for c in turn.slate] for turn in turns],
    num_turns,
  )
  longest = max((int(x.length.max(initial=0)) for x in found), default=0)
  logging.info(
    'the longest of these texts has %d tokens, max_tokens is %d',
    longest,
    tokeniser.max_tokens,
  )

  def scatter(x):
    out = np.zeros((len(records), num_turns, *x.shape[1:]), np.int32)
    if where:
      out[tuple(np.transpose(where))] = x
    return out

  state, shown = (Texts(scatter(x.ids), scatter(x.length)) for x in found)
  return EpisodeTexts(state=state, shown=shown)


def _one_line(text: str) -> str:
  """Prompts must not look like lines of their own."""
  return ' '.join(text.split())
