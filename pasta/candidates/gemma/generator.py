"""Candidates by a local Gemma: Flax, no server, no PyTorch.

A session and turn are G requests, one a category, each for C / G prompts, one
a line; all sessions' requests are batched. Whatever a model writes, a turn ends
with C valid candidates: what is missing is taken from `grammar`, counted, and
said in the log.

  python -m launch.collect --config=configs/collect.py --workdir=DIR
    --config.world.candidates.name=gemma
    --config.world.candidates.gemma.model=google/gemma-2b-it

The model is a directory or a hub id of a Gemma 1 (Gemma 2 and 3 have no Flax
version). What it is told stands in instructions/gemma.txt, how its answer
begins in gemma_begin.txt. Gemma 2B itself has not been tried here: the tests
bring a tiny random model of the same layout.
"""

import collections
import functools
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from pasta import errors, pretrained
from pasta import seeds as seeds_lib
from pasta.candidates import answers as answers_lib
from pasta.candidates import base
from pasta.candidates import counters as counters_lib
from pasta.candidates import pools as pools_lib
from pasta.candidates.gemma import requests as gemma_requests
from pasta.gemma import decoding
from pasta.gemma import model as gemma_model
from pasta.types import CATEGORIES, Candidate, PromptHistory

_DTYPES = ('bfloat16', 'float32')


class Gemma:
  """The candidates of a local Gemma (see base.CandidateGenerator).

  A session's draws have keys of their own, and programs have one shape a
  length of prompt: what a session gets does not depend on the others of its
  batch, as far as the hardware multiplies each row alike.

  Attributes:
    generator_id: names the model's fingerprint, how it computes and samples,
      instructions, C and limits; two generators with the same one write alike.
    num_candidates: C.
    sees_images: False.
    counters: what happened so far, a counters.Counters.
  """

  sees_images = False

  def __init__(self, config: ml_collections.ConfigDict, pools: pools_lib.Pools):
    """Checks config and model; weights are read at the first `propose`.

    Args:
      config: `candidates.gemma` of configs/common.py.
      pools: makes whole pools of what the model wrote.

    Raises:
      PastaError: a field of the config, the model or an instruction file
        cannot be used.
    """
    _check(config)
    self._pools = pools
    num_candidates, max_words = pools.num_candidates, pools.max_words
    self._model, self._goes_on = config.model, config.allow_unusable
    self._dtype = config.dtype
    self._buckets = tuple(config.prompt_tokens)
    self._batch_texts = config.batch_texts
    self._directory, self._architecture, self._tokenizer = gemma_model.read(
      config.model
    )
    longest = self._buckets[-1]
    _check_architecture(
      self._architecture, config.model, longest + config.max_new_tokens
    )
    num_prompts = num_candidates // len(CATEGORIES)
    self._form = f'{num_prompts} prompts a category, one a line'
    self._requests = gemma_requests.Requests(
      config.instructions,
      self._tokenizer,
      chat_template=config.chat_template,
      num_prompts=num_prompts,
      max_words=max_words,
      max_tokens=longest,
    )
    self._kinds = decoding.token_kinds(
      self._tokenizer, self._architecture.vocab_size
    )
    sampling = decoding.Sampling(
      temperature=config.temperature,
      top_k=config.top_k,
      top_p=config.top_p,
      max_new_tokens=config.max_new_tokens,
      num_lines=num_prompts,
    )
    self._generate = jax.jit(
      functools.partial(
        decoding.generate,
        self._architecture,
        sampling=sampling,
        dtype=self._dtype,
      )
    )
    self.num_candidates = num_candidates
    self.counters = counters_lib.Counters()
    self.generator_id = (
      f'gemma-1-{gemma_model.fingerprint(config.model)}-{config.dtype}'
      f'-t{config.temperature:g}-k{config.top_k}-p{config.top_p:g}'
      f'-n{config.max_new_tokens}-s{longest}-i{self._requests.digest}'
      + '-chat' * config.chat_template
      + f'-c{num_candidates}-w{max_words}'
    )

  def understands(self, critique: str) -> bool:
    """See CandidateGenerator: a language model reads all words."""
    return True

  def propose(
    self, histories: Sequence[PromptHistory], seeds: np.ndarray
  ) -> list[list[Candidate]]:
    """See CandidateGenerator; no prompt that was shown comes again.

    Raises:
      PastaError: weights are missing, broken or of the wrong shape; or no
        usable candidate, as `Pools.check_batch` says.
    """
    base.check(histories, seeds)
    with counters_lib.counting('gemma', self.counters) as counters:
      counters.add('sessions', len(histories))
      requests = [
        ids
        for history in histories
        for ids in self._requests.of_session(history, counters)
      ]
      counters.add('requests', len(requests))
      answers = self._answers(requests, _row_seeds(seeds))
      num = len(CATEGORIES)
      pools = [
        self._pools.make(
          self._items(answers[i * num : (i + 1) * num], counters),
          history,
          int(seed),
          counters,
        )
        for i, (history, seed) in enumerate(zip(histories, seeds))
      ]
      self._pools.check_batch(
        pools,
        [text for text, _ in answers],
        counters,
        model=self._model,
        form=self._form,
        field='candidates.gemma.allow_unusable',
        goes_on=self._goes_on,
      )
      return pools

  @functools.cached_property
  def _params(self) -> Any:
    tensors = pretrained.read_weights(self._directory)
    return gemma_model.convert(
      self._architecture, tensors, self._dtype, self._directory
    )

  def _answers(
    self, requests: Sequence[list[int]], seeds: np.ndarray
  ) -> list[tuple[str, bool]]:
    """What the model wrote to each request, and whether that has an end."""
    # A request's own length says how far it is padded, not its neighbours'.
    of_size = collections.defaultdict(list)
    for i, ids in enumerate(requests):
      of_size[min(b for b in self._buckets if b >= len(ids))].append(i)
    answers: dict[int, tuple[str, bool]] = {}
    for size, rows in sorted(of_size.items()):
      for start in range(0, len(rows), self._batch_texts):
        chunk = rows[start : start + self._batch_texts]
        ids = np.zeros((self._batch_texts, size), np.int32)
        mask = np.zeros_like(ids)
        words = np.zeros((self._batch_texts, 2), np.uint32)
        words[: len(chunk)] = seeds[chunk]
        for row, i in enumerate(chunk):
          ids[row, size - len(requests[i]) :] = requests[i]
          mask[row, size - len(requests[i]) :] = 1
        made = jax.device_get(
          self._generate(self._params, self._kinds, ids, mask, words)
        )
        for row, i in enumerate(chunk):
          text = self._tokenizer.decode(
            made.ids[row, : made.length[row]],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
          )
          answers[i] = text, bool(made.is_whole[row])
    return [answers[i] for i in range(len(requests))]

  def _items(
    self,
    answers: Sequence[tuple[str, bool]],
    counters: counters_lib.Counters,
  ) -> list[answers_lib.Item]:
    """The prompts in a session's G answers."""
    items = []
    for (text, is_whole), category in zip(answers, CATEGORIES):
      found, num_invalid = answers_lib.extract_lines(
        f'{self._requests.begin} {text}', category, is_whole
      )
      counters.add('invalid', num_invalid)
      counters.add('answers' if found else 'unusable')
      counters.add('partial', int(bool(found) and not is_whole))
      items += found
    return items


def _row_seeds(seeds: np.ndarray) -> np.ndarray:
  """Two words of random bits a session and category, uint32 [B * G, 2]."""
  seeds = np.array([int(seed) % 2**64 for seed in seeds], np.uint64)
  found = seeds_lib.derive(
    seeds[:, None], 'gemma', np.arange(len(CATEGORIES))
  ).reshape(-1)
  words = [found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)]
  return np.stack(words, -1).astype(np.uint32)


def _check(config: ml_collections.ConfigDict) -> None:
  """Raises PastaError for fields that cannot be used."""
  where = "config field 'candidates.gemma"
  if not config.model.strip():
    raise errors.PastaError(
      f"{where}.model' is empty: expected a directory or a hub id such as "
      "'google/gemma-2b-it'"
    )
  errors.check_least(
    config,
    where + ".{}'",
    top_k=1,
    max_new_tokens=1,
    batch_texts=1,
    temperature=0,
  )
  if not 0 < config.top_p <= 1:
    raise errors.PastaError(
      f"{where}.top_p' is {config.top_p}, expected more than 0, at most 1"
    )
  sizes = tuple(config.prompt_tokens)
  if not sizes or sizes[0] < 1 or any(a >= b for a, b in zip(sizes, sizes[1:])):
    raise errors.PastaError(
      f"{where}.prompt_tokens' is {sizes}, expected positive lengths, each "
      'longer than the one before'
    )
  errors.check_known(f"{where}.dtype'", config.dtype, _DTYPES)


def _check_architecture(architecture: Any, path: str, size: int) -> None:
  """Raises PastaError for a model that cannot write so much, or at all."""
  positions = architecture.max_position_embeddings
  if size > positions:
    raise errors.PastaError(
      "config fields 'candidates.gemma.prompt_tokens' and 'max_new_tokens' "
      f'make {size} tokens together, but the Gemma at {path} has {positions} '
      'positions'
    )
  if not architecture.tie_word_embeddings:
    raise errors.PastaError(
      f'{path}: config.json has tie_word_embeddings False, but the output '
      'layer of a Gemma 1 is its embedding'
    )
