"""Candidates by a language model behind any OpenAI-compatible endpoint.

One request a session and turn: a model is told what happened so far and asked
for C candidates in G categories as JSON. Whatever comes back, or does not, a
turn ends in bounded time with C valid candidates: what is missing is taken from
`grammar`, counted, and said in the log and of each candidate. A batch without a
single usable answer is an error, and so is, before the endpoint has accepted a
request, a wrong key, model or address.

Addresses (`candidates.chat.base_url`), by each project's own documentation; of
these servers none has been tried here, the tests bring their own:

  vLLM        http://localhost:8000/v1; model as given to `vllm serve`
  Ollama      http://localhost:11434/v1; model as in `ollama list`
  llama.cpp   http://localhost:8080/v1 (llama-server); any model name
  Gemini      https://generativelanguage.googleapis.com/v1beta/openai

A hosted one needs a key, by the name of an environment variable only:

  export PASTA_CHAT_KEY=...
  python -m launch.collect --config=configs/collect.py --workdir=DIR
    --config.world.candidates.name=chat
    --config.world.candidates.chat.base_url=https://...
    --config.world.candidates.chat.model=NAME
    --config.world.candidates.chat.key_env=PASTA_CHAT_KEY
"""

import concurrent.futures
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from pasta import errors
from pasta import seeds as seeds_lib
from pasta.candidates import answers, base
from pasta.candidates import counters as counters_lib
from pasta.candidates import pools as pools_lib
from pasta.candidates.chat import cache, endpoint, forms, messages
from pasta.types import Candidate, PromptHistory

_POSITIVE = (
  'timeout_seconds',
  'turn_seconds',
  'backoff_seconds',
  'max_tokens',
  'max_concurrency',
  'max_answer_bytes',
)
_FORM = '{"candidates": [{"category": "style", "text": "a fox, ..."}, ...]}'


class Chat:
  """The language model's candidates (see base.CandidateGenerator).

  Attributes:
    generator_id: names model, temperature, instructions, C and limit; two
      generators with the same one write alike.
    num_candidates: C.
    sees_images: whether `propose` sends the images that it is given.
    counters: what happened so far, a counters.Counters.
  """

  def __init__(self, config: ml_collections.ConfigDict, pools: pools_lib.Pools):
    """Checks the config; connects to nothing yet.

    Args:
      config: `candidates.chat` of configs/common.py.
      pools: makes whole pools of what the model wrote.

    Raises:
      PastaError: a field of the config or an instruction file cannot be used.
    """
    _check(config)
    self._pools = pools
    num_candidates, max_words = pools.num_candidates, pools.max_words
    self._config = config
    self._instructions = messages.load(config.instructions)
    self._schema = messages.schema(num_candidates)
    self._cache = cache.Cache(config.cache, config.cache_dir)
    self._endpoint = endpoint.Endpoint(config)
    self.num_candidates = num_candidates
    self.sees_images = config.send_images
    self.counters = counters_lib.Counters()
    # Ids of several generators are joined by ' + '.
    model = '_'.join(config.model.split())
    self.generator_id = (
      f'chat-1-{model}-t{config.temperature:g}-i{self._instructions.digest}'
      f'-c{num_candidates}-w{max_words}' + '-images' * config.send_images
    )

  def understands(self, critique: str) -> bool:
    """See CandidateGenerator: a language model reads all words."""
    return True

  def propose(
    self,
    histories: Sequence[PromptHistory],
    seeds: np.ndarray,
    images: Sequence[np.ndarray] | None = None,
  ) -> list[list[Candidate]]:
    """See CandidateGenerator; no prompt that was shown comes again.

    At most max_concurrency sessions are asked for at once, and each has
    turn_seconds from its first request on; so this takes at most
    ceil(B / max_concurrency) * turn_seconds.

    Args:
      histories: B sessions.
      seeds: integers [B].
      images: per session those of the prompt chosen last, uint8 [M, H, W, 3];
        None at the first turn, or where no images are sent.

    Raises:
      PastaError: the endpoint cannot be reached, or rejects requests and has
        never accepted one; or there is no key; or no recorded answer; or no
        usable candidate, as `Pools.check_batch` says.
    """
    base.check(histories, seeds)
    with counters_lib.counting('chat', self.counters) as counters:
      counters.add('sessions', len(histories))
      requests = [
        self._request(
          history,
          int(seed),
          images[i] if self.sees_images and images is not None else None,
          counters,
        )
        for i, (history, seed) in enumerate(zip(histories, seeds))
      ]
      texts, useless = self._answers(requests, histories, counters)
      pools = [
        self._pool(text, history, int(seed), counters)
        for text, history, seed in zip(texts, histories, seeds)
      ]
      self._pools.check_batch(
        pools,
        [*texts, useless],
        counters,
        model=f'{self._config.model} at {self._config.base_url}',
        form=_FORM,
        field='candidates.chat.allow_unusable',
        goes_on=self._config.allow_unusable,
      )
      return pools

  def _request(
    self,
    history: PromptHistory,
    seed: int,
    images: np.ndarray | None,
    counters: counters_lib.Counters,
  ) -> dict[str, Any]:
    """A request's body: all that the model's answer depends on."""
    return {
      'model': self._config.model,
      'messages': messages.messages(
        self._instructions,
        history,
        num_candidates=self.num_candidates,
        max_words=self._pools.max_words,
        images=images,
        counters=counters,
      ),
      'temperature': self._config.temperature,
      'max_tokens': self._config.max_tokens,
      # Servers keep seeds in 32 bits, some with a sign; retries count up.
      'seed': int(seeds_lib.derive(np.uint64(seed), 'chat') >> np.uint64(34)),
    }

  def _answers(
    self,
    requests: Sequence[dict[str, Any]],
    histories: Sequence[PromptHistory],
    counters: counters_lib.Counters,
  ) -> tuple[list[str], str]:
    """What the model wrote to each request; '' where there is nothing.

    The second is an answer of no use, '' where there was none.
    """
    names = [self._digest(request) for request in requests]
    texts: dict[str, str] = {}
    futures, useless = {}, ''
    try:
      for i, name in enumerate(names):
        if name in texts:
          counters.add('cached')
          continue
        cached = self._cache.read(name)
        texts[name] = cached or ''
        if cached is not None:
          counters.add('cached')
          continue
        future = self._endpoint.submit(
          requests[i], self._schema, _has_items, counters
        )
        futures[future] = i
      for future in concurrent.futures.as_completed(futures):
        reply = future.result()
        if not reply.is_usable:
          useless = reply.text or useless
          continue
        counters.add('answers')
        i = futures[future]
        texts[names[i]] = reply.text
        if reply.is_whole:
          about = {
            'model': self._config.model,
            'initial_prompt': histories[i].initial_prompt,
            'current_prompt': histories[i].current,
            'seed': requests[i]['seed'],
          }
          self._cache.write(names[i], reply.text, about)
        else:
          counters.add('partial')
    finally:
      for future in futures:
        future.cancel()
    return [texts[name] for name in names], useless

  def _digest(self, request: dict[str, Any]) -> str:
    return cache.digest(
      {
        **request,
        'response_format': self._config.response_format,
        'schema': self._schema,
      }
    )

  def _pool(
    self,
    text: str,
    history: PromptHistory,
    seed: int,
    counters: counters_lib.Counters,
  ) -> list[Candidate]:
    """C candidates from what the model wrote, and from grammar."""
    items, num_invalid, is_repaired = answers.extract(text)
    counters.add('invalid', num_invalid)
    counters.add('repaired', int(is_repaired and bool(items)))
    return self._pools.make(items, history, seed, counters)


def _has_items(text: str) -> bool:
  return bool(answers.extract(text)[0])


def _check(config: ml_collections.ConfigDict) -> None:
  """Raises PastaError for fields that cannot be used."""
  where = "config field 'candidates.chat"
  if not config.model.strip():
    raise errors.PastaError(
      f"{where}.model' is empty: expected a model's name as the endpoint "
      'knows it'
    )
  for name, known in (
    ('response_format', forms.FORMATS),
    ('cache', cache.MODES),
  ):
    errors.check_known(f"{where}.{name}'", config[name], known)
  for name in _POSITIVE:
    if not config[name] > 0:
      raise errors.PastaError(
        f"{where}.{name}' is {config[name]}, expected more than 0"
      )
  errors.check_least(config, where + ".{}'", temperature=0, max_retries=0)
