"""What a person's few words ask for: wanted and unwanted values per slot."""

import functools
import re
from collections.abc import Sequence

from pasta.t2i.sketch import scene

# How people say 'no' and 'more' to a picture, in the words of the parser.
_TOO_LITTLE = re.compile(r"\b(not enough|too little|too few|isn'?t enough)\b")
_TOO_MUCH = re.compile(
  r"\b(too much|too many|too|don'?t (want|like|need)|do not (want|like|need)"
  r'|avoid|remove|drop|lose|hate|dislike|get rid of|take out|stop)\b'
)


@functools.lru_cache(maxsize=16384)
def read(text: str) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
  """Reads one critique: per slot (wanted values, unwanted values).

  Words that sketch does not know are ignored.
  """
  lowered = text.lower().replace('\u2019', "'")
  lowered = _TOO_LITTLE.sub('more', lowered)
  return scene.parse(_TOO_MUCH.sub('no', lowered))


def summarise(
  initial_prompt: str, critiques: Sequence[str]
) -> tuple[list[tuple[int, ...]], list[dict[int, bool]]]:
  """What holds after all critiques of a session so far.

  Args:
    initial_prompt: what the person typed; its negations hold as well.
    critiques: one a past turn, oldest first; '' where there was none.

  Returns:
    Per slot, the values that the last critique wants; and per slot, the
    values ruled out, oldest first: True where the person wants them out since
    a critique, False where since the initial prompt.
  """
  excluded = [
    dict.fromkeys(out, False) for _, out in scene.parse(initial_prompt)
  ]
  wanted: list[tuple[int, ...]] = [()] * len(excluded)
  for critique in critiques:
    asked = read(critique)
    wanted = [good for good, _ in asked]
    for slot, (good, bad) in enumerate(asked):
      for value in good:  # a change of mind
        excluded[slot].pop(value, None)
      excluded[slot].update(dict.fromkeys(bad, True))
  return wanted, excluded
