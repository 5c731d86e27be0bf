"""Captions as tokens, and the batches that are drawn from them."""

import random
from collections.abc import Sequence

import ml_collections
import numpy as np
import transformers

from pasta import progress, seeds
from pasta.encoders.training import captions
from pasta.t2i.sketch import lexicon


class CaptionTable:
  """Several captions of every scene, as padded tokens, grouped by length.

  Attributes:
    tokens: the tokenizer.
    ids: int16 [N, captions, tokens].
    lengths: int16 [N, captions].
    named: bool [N, captions, S].
    members: for each of the config's length buckets, the flat indices
      image · captions + caption that fit it and no smaller one.
  """

  def __init__(
    self,
    tokens: transformers.CLIPTokenizerFast,
    scenes: np.ndarray,
    config: ml_collections.ConfigDict,
  ):
    count, longest = config.captions_per_image, config.model.max_tokens
    shape = (len(scenes), count)
    self.tokens = tokens
    self.ids = np.full((*shape, longest), tokens.pad_token_id, np.int16)
    self.lengths = np.zeros(shape, np.int16)
    self.named = np.zeros((*shape, scenes.shape[1]), bool)
    caption_seeds = seeds.derive(
      config.seed, 'caption', np.arange(len(scenes))
    ).tolist()
    bar = progress.progress(range(len(scenes)), unit='images', desc='captions')
    for i in bar:
      rng = random.Random(caption_seeds[i])
      texts = []
      for c in range(count):
        text, self.named[i, c] = captions.caption(scenes[i], rng)
        texts.append(text)
      for c, row in enumerate(tokenize(tokens, texts, longest)):
        self.ids[i, c, : len(row)] = row
        self.lengths[i, c] = len(row)
    bounds = (0, *config.length_buckets)
    flat = self.lengths.ravel()
    self.buckets = config.length_buckets
    self.members = [
      np.flatnonzero((flat > low) & (flat <= high))
      for low, high in zip(bounds, bounds[1:], strict=False)
    ]

  def sample(
    self, rng: np.random.Generator, size: int
  ) -> tuple[np.ndarray, np.ndarray, int]:
    """Draws one bucket by its share, then (images, captions) and its length."""
    share = np.array([len(m) for m in self.members], np.float64)
    bucket = rng.choice(len(share), p=share / share.sum())
    rows = rng.choice(self.members[bucket], size)
    image, caption = np.divmod(rows, self.ids.shape[1])
    return image, caption, self.buckets[bucket]


class PhraseTable:
  """Captions of single values, tokenised; one a value is drawn each step."""

  def __init__(
    self, tokens: transformers.CLIPTokenizerFast, canonical_prob: float
  ):
    """Tokenises every value's captions.

    Args:
      tokens: the tokenizer.
      canonical_prob: chance of the canonical phrase rather than another.
    """
    self._rows = []
    for slot, size in enumerate(lexicon.SLOT_SIZES):
      for value in range(size):
        phrases = captions.value_captions(slot, value)
        self._rows.append(tokenize(tokens, phrases, tokens.model_max_length))
    longest = max(len(row) for rows in self._rows for row in rows)
    self._shape = (len(self._rows), -(-longest // 4) * 4)
    self._pad = tokens.pad_token_id
    self._canonical_prob = canonical_prob

  def sample(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and mask, int32 [V, tokens] each."""
    ids = np.full(self._shape, self._pad, np.int32)
    mask = np.zeros(self._shape, np.int32)
    for v, rows in enumerate(self._rows):
      canonical = rng.random() < self._canonical_prob
      row = rows[0 if canonical else rng.integers(len(rows))]
      ids[v, : len(row)] = row
      mask[v, : len(row)] = 1
    return ids, mask


def tokenize(
  tokens: transformers.CLIPTokenizerFast, texts: Sequence[str], longest: int
) -> list[list[int]]:
  """Token ids of each text, with start and end, at most `longest`."""
  return tokens(list(texts), truncation=True, max_length=longest)['input_ids']
