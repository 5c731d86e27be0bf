"""Sessions on disk: everything that offline learning and evaluation need.

A directory of sessions holds shards `NNNNN.jsonl`. The first line of a shard
is a header with format, version and number of sessions; each further line is
one session as JSON. A shard appears whole or not at all (written aside, synced,
renamed), so a kill loses at most the batch in flight and no reader ever meets
half a record.
"""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence

from pasta import errors, files
from pasta.types import CATEGORIES, UNKNOWN_CATEGORY, Candidate, PromptHistory

FORMAT = 'pasta-sessions'
VERSION = 1
COMPARISONS = {-1: 'worse', 0: 'same', 1: 'better'}
_SHARD = re.compile(r'\d{5,}\.jsonl')
_KINDS = {str: 'a text', int: 'a whole number', float: 'a finite number'}
_SESSION_FIELDS = {
  'session_id': str,
  'user_id': str,
  'source': str,
  'initial_prompt': str,
  'policy_id': str,
  'generator_id': str,
  't2i_id': str,
  'images_per_prompt': int,
  'started_at': float,
  'belief_after': str,
}
_TURN_FIELDS = {
  'scores': float,
  'slate': int,
  'columns': int,
  'seeds': int,
  'log_propensity': float,
  'choice': int,
  'satisfaction': float,
  'comparison': int,
  'critique': str,
  'answered_at': float,
}
_LISTS = ('scores', 'slate', 'columns', 'seeds')
_OPTIONAL = ('scores', 'log_propensity', 'satisfaction', 'comparison')


@dataclasses.dataclass(frozen=True)
class Turn:
  """One turn: what was offered, what was shown, what the person answered.

  Attributes:
    candidates: all C candidates, in the generator's own order.
    scores: the policy's score of each candidate [C], None for one that it left
      out (JSON has no -inf); None in their place for a policy that scores
      nothing.
    slate: the L candidates shown (indices into candidates), in the order in
      which the policy selected them.
    columns: on-screen order [L]: screen column c shows slate[columns[c]].
    seeds: the T2I seed of each slate entry [L].
    log_propensity: log probability with which the policy shows this set of
      candidates; 0 for a deterministic policy, None where unknown.
    choice: the chosen slate entry (an index into slate, not into columns).
    satisfaction: in [0, 1]; None where not asked.
    comparison: -1 worse, 0 same, 1 better than the turn before; None in the
      first turn or where not asked.
    critique: the person's own few words, '' where none.
    answered_at: Unix time of the answer, seconds.
  """

  candidates: tuple[Candidate, ...]
  scores: tuple[float | None, ...] | None
  slate: tuple[int, ...]
  columns: tuple[int, ...]
  seeds: tuple[int, ...]
  log_propensity: float | None
  choice: int
  satisfaction: float | None
  comparison: int | None
  critique: str
  answered_at: float

  @property
  def prompts(self) -> tuple[str, ...]:
    """The shown prompts [L], in slate order."""
    return tuple(self.candidates[i].text for i in self.slate)

  @property
  def chosen_prompt(self) -> str:
    return self.candidates[self.slate[self.choice]].text


@dataclasses.dataclass(frozen=True)
class Session:
  """One person, one initial prompt, T turns.

  Attributes:
    session_id: unique text.
    user_id: who answered; sessions of one person share it.
    source: 'human', 'population' (hidden people) or 'simulated' (people drawn
      from a learned user model).
    initial_prompt: what the person typed.
    policy_id: which policy chose the slates, with its settings.
    generator_id: who wrote the candidates.
    t2i_id: which model drew the images.
    images_per_prompt: M.
    started_at: Unix time, seconds.
    turns: the turns, oldest first.
    belief_after: id of the person's session after which the belief stood that
      this one started from; '': it started from the prior.
  """

  session_id: str
  user_id: str
  source: str
  initial_prompt: str
  policy_id: str
  generator_id: str
  t2i_id: str
  images_per_prompt: int
  started_at: float
  turns: tuple[Turn, ...]
  belief_after: str = ''


def history(initial_prompt: str, turns: Sequence[Turn]) -> PromptHistory:
  """What a candidate generator may know after a session's first turns."""
  return PromptHistory(
    initial_prompt=initial_prompt,
    chosen=tuple(t.chosen_prompt for t in turns),
    rejected=tuple(
      tuple(p for i, p in enumerate(t.prompts) if i != t.choice) for t in turns
    ),
    critiques=tuple(t.critique for t in turns),
  )


def to_json(session: Session) -> str:
  """One line of JSON without newline."""
  content = dataclasses.asdict(session)
  for turn in content['turns']:
    turn['candidates'] = [
      [c['text'], c['category'], *([c['source']] if c['source'] else [])]
      for c in turn['candidates']
    ]
  return json.dumps(
    content, ensure_ascii=False, separators=(',', ':'), allow_nan=False
  )


def from_json(line: str, where: str) -> Session:
  """Parses and checks one session; PastaError says where and what is wrong."""
  try:
    content = json.loads(line)
    content['turns'] = tuple(
      Turn(
        **{
          k: tuple(Candidate(*c) for c in v)
          if k == 'candidates'
          else tuple(v)
          if isinstance(v, list)
          else v
          for k, v in turn.items()
        }
      )
      for turn in content['turns']
    )
    session = Session(**content)
    _check_kinds(session)
  except (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
  ) as e:
    raise errors.PastaError(f'{where}: not a session ({e!s:.200})') from None
  check(session, where)
  return session


def _check_kinds(session: Session) -> None:
  """Raises ValueError where a field, as JSON has it, is of another kind."""
  for name, kind in _SESSION_FIELDS.items():
    _check_kind(getattr(session, name), kind, name)
  for t, turn in enumerate(session.turns):
    for candidate in turn.candidates:
      _check_kind(candidate.text, str, f'turn {t}: candidates')
      _check_kind(candidate.category, str, f'turn {t}: candidates')
      _check_kind(candidate.source, str, f'turn {t}: candidates')
    for name, kind in _TURN_FIELDS.items():
      value = getattr(turn, name)
      if value is None and name in _OPTIONAL:
        continue
      if name in _LISTS and not isinstance(value, tuple):
        raise ValueError(f'turn {t}: {name} is {value!r:.40}, expected a list')
      for x in value if name in _LISTS else (value,):
        if x is None and name == 'scores':
          continue
        _check_kind(x, kind, f'turn {t}: {name}')


def _check_kind(value: object, kind: type, name: str) -> None:
  fits = type(value) is kind
  if kind is float:  # JSON writes 1.0 as 1, too
    fits = type(value) in (int, float) and abs(value) <= sys.float_info.max
  if not fits:
    raise ValueError(f'{name} is {value!r:.40}, expected {_KINDS[kind]}')


def check(session: Session, where: str) -> None:
  """Raises PastaError where a session contradicts itself."""

  def fail(turn, what):
    raise errors.PastaError(
      f'{where}: session {session.session_id}, turn {turn}: {what}'
    )

  for t, turn in enumerate(session.turns):
    num_candidates, num_columns = len(turn.candidates), len(turn.slate)
    for candidate in turn.candidates:
      if candidate.category not in (*CATEGORIES, UNKNOWN_CATEGORY):
        fail(
          t,
          f'unknown category {candidate.category!r}, expected one of '
          f'{", ".join(CATEGORIES)}',
        )
    if len(set(turn.slate)) != num_columns or not all(
      0 <= i < num_candidates for i in turn.slate
    ):
      fail(
        t,
        f'slate {turn.slate} is not {num_columns} distinct indices below '
        f'{num_candidates}',
      )
    if sorted(turn.columns) != list(range(num_columns)):
      fail(t, f'columns {turn.columns} is not an order of {num_columns}')
    if not 0 <= turn.choice < num_columns:
      fail(t, f'choice {turn.choice} is not in a slate of {num_columns}')
    if len(turn.seeds) != num_columns:
      fail(t, f'{len(turn.seeds)} seeds for {num_columns} columns')
    if turn.scores is not None and len(turn.scores) != num_candidates:
      fail(t, f'{len(turn.scores)} scores for {num_candidates} candidates')
    if turn.scores is not None and all(x is None for x in turn.scores):
      fail(t, 'scores are all null, expected null in their place')
    if turn.satisfaction is not None and not 0 <= turn.satisfaction <= 1:
      fail(t, f'satisfaction {turn.satisfaction} is not in [0, 1]')
    if turn.comparison not in (None, *COMPARISONS):
      fail(t, f'comparison {turn.comparison} is not -1, 0 or 1')


def shards(directory: str) -> list[str]:
  """Paths of a directory's complete shards, in order."""
  if not os.path.isdir(directory):
    raise errors.PastaError(f'{directory}: no such session directory')
  return [
    os.path.join(directory, n)
    for n in sorted(os.listdir(directory))
    if _SHARD.fullmatch(n)
  ]


def shard_path(directory: str, index: int) -> str:
  """Path of a directory's shard number `index`."""
  return os.path.join(directory, f'{index:05d}.jsonl')


def write_shard(
  path: str, batch: Sequence[Session], *, grows: bool = False
) -> None:
  """Writes sessions as one shard, atomically.

  Args:
    path: of the shard.
    batch: its sessions.
    grows: whether they go on from those that the shard holds, with more
      sessions or more turns.

  Raises:
    PastaError: a session contradicts itself; the shard is there already, and
      is not to grow.
  """
  if os.path.exists(path) and not grows:
    raise errors.PastaError(f'{path}: exists already; shards never change')
  for session in batch:
    check(session, path)
  header = json.dumps(
    {'format': FORMAT, 'version': VERSION, 'num_sessions': len(batch)}
  )
  files.atomic_write(
    path, '\n'.join([header, *(to_json(s) for s in batch)]) + '\n'
  )


def read_shard(path: str) -> list[Session]:
  """Reads one shard; PastaError names a truncated or foreign file."""
  try:
    with open(path, encoding='utf-8') as f:
      lines = f.read().split('\n')
  except FileNotFoundError:
    raise errors.PastaError(f'{path}: no such session file') from None
  except UnicodeDecodeError:
    raise _foreign(path) from None
  check_complete(path, lines[0], len(lines) - 2, not lines[-1])
  return [
    from_json(line, f'{path}:{i + 2}') for i, line in enumerate(lines[1:-1])
  ]


def check_complete(
  path: str, header: str | bytes, num_found: int, is_ended: bool
) -> None:
  """Checks what a shard says of itself.

  Args:
    path: of the shard.
    header: its first line.
    num_found: whole lines after that one.
    is_ended: whether the last line is whole, too.

  Raises:
    PastaError: it is no shard of this version, or it is truncated.
  """
  try:
    content = json.loads(header)
    file_format, version = content['format'], content['version']
    num_sessions = int(content['num_sessions'])
  except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
    raise _foreign(path) from None
  if file_format != FORMAT or version != VERSION:
    raise errors.PastaError(
      f'{path}: {file_format!s:.40} version {version!s:.40}, expected {FORMAT} '
      f'version {VERSION}'
    )
  if num_found != num_sessions or not is_ended:
    raise errors.PastaError(
      f'{path}: truncated: header promises {num_sessions!s:.20} sessions, '
      f'{max(num_found, 0)} complete ones found'
    )


def _foreign(path: str) -> errors.PastaError:
  return errors.PastaError(
    f'{path}: not a session file (its first line is no {FORMAT} header)'
  )


def read_dir(directory: str) -> Iterator[Session]:
  """All sessions of a directory, shard by shard."""
  for path in shards(directory):
    yield from read_shard(path)


def read_by_id(directory: str, session_ids: Sequence[str]) -> list[Session]:
  """The named sessions of a directory, in the order of their names.

  Raises:
    PastaError: one is not there.
  """
  found = {s.session_id: s for s in read_dir(directory)}
  for session_id in session_ids:
    if session_id not in found:
      raise errors.PastaError(f'{directory}: holds no session {session_id}')
  return [found[i] for i in session_ids]
