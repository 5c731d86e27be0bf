"""The static shape of the value function's networks.

Nothing here is an array: settings are hashable, and compiled functions hold
them. What a config names wrongly is refused here.

Letters: T turns, D embedding width, G categories, K user types, W width,
J twin heads, S tokens of a text.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from pasta import errors
from pasta.agent.credit import CREDITS

BACKBONES = ('transformer', 'mlp', 'gemma')
HISTORIES = ('full', 'projected', 'none')
BELIEFS = ('on', 'off', 'prior', 'oracle')


def check_known(field: str, value: str, known: Sequence[str]) -> None:
  """Raises PastaError where a config field is none of what is known."""
  if value not in known:
    raise errors.PastaError(
      f"config field '{field}' is '{value}': expected one of {known}"
    )


@dataclasses.dataclass(frozen=True)
class Tokeniser:
  """Makes tokens of texts, always in the same way.

  Attributes:
    tokenizer: of `gemma_model.load`, a `PreTrainedTokenizerBase`.
    max_tokens: S, of a state and a candidate together.
  """

  tokenizer: Any
  max_tokens: int


@dataclasses.dataclass(frozen=True)
class GemmaSettings:
  """What is static about the backbone 'gemma'.

  Attributes:
    path: a directory, absolute, or a hub id.
    fingerprint: of the model that is there (`gemma_model.fingerprint`).
    tuning: 'lora': factors of some kernels are trained; 'full': everything;
      'head': the value heads alone.
    rank: of a LoRA.
    targets: names of the layers that get one.
    lora_scale: what a LoRA's products are multiplied with.
    max_tokens: S, of a state and a candidate together.
    chunk_texts: texts that are encoded at once.
    dtype: of the computation, and of parameters that are not trained.
    remat: whether gradients recompute each layer, to save memory.
    architecture: of the model, a `GemmaConfig`; the fingerprint stands for it.
    tokeniser: of the model, cutting at max_tokens.
  """

  path: str
  fingerprint: str
  tuning: str
  rank: int
  targets: tuple[str, ...]
  lora_scale: float
  max_tokens: int
  chunk_texts: int
  dtype: str
  remat: bool
  architecture: Any = dataclasses.field(compare=False, repr=False)
  tokeniser: Tokeniser = dataclasses.field(compare=False, repr=False)

  def to_json(self) -> dict[str, Any]:
    """What `gemma.base.reload` needs."""
    fields = (f.name for f in dataclasses.fields(self) if f.compare)
    return {name: getattr(self, name) for name in fields}


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
  """Static shape of the networks.

  Attributes:
    backbone: one of BACKBONES (see `backbones`).
    base: 'myopic': f is a line in the expected utility plus a residual that
      starts at zero; 'none': f is learned from scratch (the paper).
    width: W, size of the state embedding.
    num_layers: of the transformer.
    num_heads: of attention.
    head_dims: hidden layers of the value heads.
    num_twins: J, heads of f.
    num_turns: T.
    num_categories: G.
    embedding_dim: D.
    num_types: K.
    credit: see `credit.CREDITS`; 'slate' has a critic of its own.
    belief: 'on': the posterior after the choices; 'prior': it never moves;
      'oracle': that of an agent who knows the types. 'off': neither belief nor
      utilities enter.
    history: what a state holds of past slates beside the turn, the belief and
      the worth of the prompt that is extended. 'full': the features of each;
      'projected': `projection_dim` learned numbers of each; 'none': nothing.
    projection_dim: numbers a turn for history 'projected'.
    item_text: whether items hold their text features, beside category, expected
      utility and spread.
    tiring: whether states and items hold what tells of people who tire of
      looks (see `tiring`).
    gemma: of the backbone 'gemma'; None for others.
  """

  backbone: str
  base: str
  width: int
  num_layers: int
  num_heads: int
  head_dims: tuple[int, ...]
  num_twins: int
  num_turns: int
  num_categories: int
  embedding_dim: int
  num_types: int
  credit: str
  belief: str
  history: str
  projection_dim: int
  item_text: bool
  tiring: bool
  gemma: GemmaSettings | None = None

  def __post_init__(self):
    for field, known in (
      ('backbone', BACKBONES),
      ('base', ('none', 'myopic')),
      ('credit', CREDITS),
      ('belief', BELIEFS),
      ('history', HISTORIES),
    ):
      check_known(field, getattr(self, field), known)
    if (self.backbone == 'gemma') != (self.gemma is not None):
      raise ValueError(f'backbone {self.backbone} with gemma {self.gemma}')
    if self.tiring and self.backbone == 'gemma':
      raise errors.PastaError(
        "config field 'tiring' is True, but backbone 'gemma' reads texts: "
        'expected False'
      )
    if self.width % self.num_heads:
      raise errors.PastaError(
        f"config field 'width' is {self.width}: expected a multiple of "
        f"'num_heads', {self.num_heads}"
      )
    if self.belief == 'off' and (
      self.base == 'myopic' or self.credit == 'slate'
    ):
      raise errors.PastaError(
        "config field 'belief' is 'off', but base 'myopic' and credit 'slate' "
        "read utilities under the belief: expected base 'none' and credit "
        "'mean' or 'choice'"
      )
