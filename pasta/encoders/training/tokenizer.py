"""Trains the small CLIP's byte-pair encoding, in CLIP's own file format.

The vocabulary is laid out as OpenAI's: 256 byte characters, the same with the
end-of-word mark, the merges in order, then the start and end tokens. Padding
is the end token, as in CLIP; the attention mask tells them apart.
"""

import json
import os
import pydoc_data.topics
import random
import re
from collections.abc import Iterator, Sequence

import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from pasta.encoders.training import captions
from pasta.t2i.sketch import lexicon

START, END = '<|startoftext|>', '<|endoftext|>'
_SUFFIX = '</w>'
_MAX_TOKENS = 77
# As in transformers' CLIPConverter.
_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
# Each lexicon word this often, so that it becomes one token.
_LEXICON_REPEATS = 400
_CAPTIONS = 3000


def train(directory: str, vocab_size: int, seed: int) -> None:
  """Writes vocab.json, merges.txt and the tokenizer's settings.

  Args:
    directory: where; made if needed.
    vocab_size: number of tokens, at least 514.
    seed: of the captions that it is trained on.

  Raises:
    ValueError: the vocabulary cannot even hold the bytes.
  """
  alphabet = _byte_alphabet()
  num_merges = vocab_size - 2 * len(alphabet) - 2
  if num_merges < 0:
    raise ValueError(
      f'vocab_size is {vocab_size}, expected at least {2 * len(alphabet) + 2}'
    )
  bpe = tokenizers.Tokenizer(
    models.BPE(end_of_word_suffix=_SUFFIX, unk_token=END)
  )
  bpe.normalizer = normalizers.Sequence(
    [
      normalizers.NFC(),
      normalizers.Replace(tokenizers.Regex(r'\s+'), ' '),
      normalizers.Lowercase(),
    ]
  )
  bpe.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(
        tokenizers.Regex(_WORDS), behavior='removed', invert=True
      ),
      pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
  trainer = trainers.BpeTrainer(
    vocab_size=vocab_size,
    initial_alphabet=alphabet,
    end_of_word_suffix=_SUFFIX,
    show_progress=False,
  )
  bpe.train_from_iterator(_corpus(seed), trainer)
  merges = [_pair(m) for m in json.loads(bpe.to_str())['model']['merges']]
  merges = merges[:num_merges]
  tokens = [*alphabet, *(a + _SUFFIX for a in alphabet)]
  tokens += [''.join(pair) for pair in merges]
  tokens = list(dict.fromkeys(tokens))  # Two merges may give one token.
  _save(directory, [*tokens, START, END], merges)


def _save(directory: str, tokens: Sequence[str], merges) -> None:
  os.makedirs(directory, exist_ok=True)
  vocab_file = os.path.join(directory, 'vocab.json')
  merges_file = os.path.join(directory, 'merges.txt')
  with open(vocab_file, 'w', encoding='utf-8') as f:
    json.dump({t: i for i, t in enumerate(tokens)}, f, ensure_ascii=False)
  with open(merges_file, 'w', encoding='utf-8') as f:
    f.write('#version: 0.2\n')
    f.writelines(f'{a} {b}\n' for a, b in merges)
  tokenizer = transformers.CLIPTokenizerFast(
    vocab_file, merges_file, model_max_length=_MAX_TOKENS
  )
  tokenizer.save_pretrained(directory)


def _pair(merge) -> tuple[str, str]:
  # Older releases of tokenizers write 'a b', newer ones ['a', 'b'].
  first, second = merge.split(' ') if isinstance(merge, str) else merge
  return first, second


def _byte_alphabet() -> list[str]:
  """GPT-2's printable characters for the 256 bytes, in CLIP's order."""
  from_bytes = transformers.models.clip.tokenization_clip.bytes_to_unicode()
  return list(from_bytes.values())


def _corpus(seed: int) -> Iterator[str]:
  """The lexicon, captions, and general English from Python's own manual."""
  words = set()
  for values in lexicon.SLOTS.values():
    for value in values:
      for phrase in (value.phrase, *value.synonyms):
        words.update(re.findall(r'[a-z0-9]+', phrase.lower()))
  for group in lexicon.GROUPS.values():
    words.update(group)
  for text in (*captions.FILLERS, *captions.FILLER_TAILS):
    words.update(re.findall(r'[a-z0-9]+', text.lower()))
  for word in sorted(words):
    yield ' '.join([word] * _LEXICON_REPEATS)
  rng = random.Random(seed)
  sizes = lexicon.SLOT_SIZES
  for _ in range(_CAPTIONS):
    yield captions.caption([rng.randrange(n) for n in sizes], rng)[0]
  for name in sorted(pydoc_data.topics.topics):
    yield pydoc_data.topics.topics[name]
