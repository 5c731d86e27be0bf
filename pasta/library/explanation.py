"""Why the agent believes what it believes of a person.

Letters: L slate columns, K user types.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

_NUM_TYPES = 3  # named in the text


@dataclasses.dataclass(frozen=True, eq=False)
class Turn:
  """A turn that was answered.

  Attributes:
    slate: the columns' prompts.
    expected: utility that each was expected to have for this person, by its
      text, before the answer [L].
    choice: position of the chosen column.
    before: probability of each type before the answer [K].
    after: and after it [K].
  """

  slate: tuple[str, ...]
  expected: np.ndarray
  choice: int
  before: np.ndarray
  after: np.ndarray

  @property
  def chosen(self) -> str:
    """The chosen prompt."""
    return self.slate[self.choice]

  @property
  def surprise(self) -> float:
    """How far the answer moved the belief: KL(after ‖ before) in nats."""
    seen = self.after > 0
    ratio = np.log(self.after[seen] / np.maximum(self.before[seen], 1e-38))
    return float((self.after[seen] * ratio).sum())


@dataclasses.dataclass(frozen=True, eq=False)
class Phrase:
  """What a phrase adds to the prompt at hand, in units of utility.

  Attributes:
    text: the phrase.
    mean: under the belief.
    spread: its standard deviation over types: how much depends on who it is.
    beyond: mean less what it adds for people in general.
  """

  text: str
  mean: float
  spread: float
  beyond: float


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
  """What is believed of a person, and why.

  Attributes:
    types: probability of each user type [K].
    prior: the same of somebody new [K].
    effective_types: exp of the belief's entropy: 1 where it is sure.
    turns: what moved it.
    phrases: best first, for this person.
  """

  types: np.ndarray
  prior: np.ndarray
  effective_types: float
  turns: tuple[Turn, ...]
  phrases: tuple[Phrase, ...]

  def __str__(self) -> str:
    order = np.argsort(-self.types)[:_NUM_TYPES]
    lines = [
      'Types: '
      + ', '.join(
        f'{k} {self.types[k]:.0%} (of all people {self.prior[k]:.0%})'
        for k in order
      )
      + f'; as unsure as between {self.effective_types:.1f} equal ones'
    ]
    for i, turn in enumerate(self.turns):
      rank = 1 + int((turn.expected > turn.expected[turn.choice]).sum())
      lines.append(
        f'Turn {i + 1}: chose {turn.chosen!r}, expected to be number {rank} of '
        f'{len(turn.slate)}; the answer told {turn.surprise:.2f} nats'
      )
    for phrase in self.phrases:
      lines.append(
        f'{phrase.text!r} adds {phrase.mean:+.2f} ± {phrase.spread:.2f}, '
        f'{phrase.beyond:+.2f} beyond people in general'
      )
    return '\n'.join(lines)


def explain(
  types: np.ndarray,
  prior: np.ndarray,
  turns: Sequence[Turn],
  phrases: Mapping[str, np.ndarray],
) -> Explanation:
  """Puts an explanation together.

  Args:
    types: belief [K].
    prior: of people in general [K].
    turns: that were answered.
    phrases: what each adds to the prompt at hand for each type [K].
  """
  made = []
  for text, added in phrases.items():
    mean = float(types @ added)
    spread = float(np.sqrt(max(types @ (added - mean) ** 2, 0.0)))
    made.append(Phrase(text, mean, spread, mean - float(prior @ added)))
  seen = types[types > 0]
  return Explanation(
    types=types,
    prior=prior,
    effective_types=float(np.exp(-(seen * np.log(seen)).sum())),
    turns=tuple(turns),
    phrases=tuple(sorted(made, key=lambda phrase: -phrase.mean)),
  )
