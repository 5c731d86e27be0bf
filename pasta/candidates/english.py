"""Small words of English, and how long a text is for CLIP."""

import functools

ARTICLES = frozenset('a an the'.split())
DETERMINERS = ARTICLES | frozenset(
  (
    'my your our his her their its this that some lots many few more any '
    'every all'
  ).split()
)
PLURAL_DETERMINERS = frozenset(
  (
    'some lots many few two three four five several all these those both '
    '2 3 4 5'
  ).split()
)
LINKS = frozenset(
  (
    'in on at with by of and or under above among amid into near through '
    'over beside inside during from for behind between surrounded covered '
    'filled full out as like'
  ).split()
)
# Prepositions that say where or how something is.
PLACES = frozenset(
  'in on at with by under above among amid near inside'.split()
)
LED_BY = LINKS | DETERMINERS
LEADING = LINKS | ARTICLES
STOPS = LED_BY | PLURAL_DETERMINERS | {'something'}
AFTER = (
  LINKS
  | DETERMINERS
  | frozenset(
    (
      'please too everywhere around there is was are while where when who '
      'but to i no not without if so then just only nearby outside'
    ).split()
  )
)
# Nouns that only carry the word before them: 'vibrant colours'.
CARRIERS = frozenset(
  (
    'colours colors tones hues shades palette style weather sky light '
    'lighting shot view art drawing illustration painting colour color'
  ).split()
)
NEGATIONS = frozenset('no not without less fewer never'.split())
FILLERS = frozenset('any so much many more'.split())
BREAKS = ',;:.!?'


@functools.lru_cache(maxsize=65536)
def word_cost(word: str) -> int:
  """How many words' worth of CLIP tokens a word takes, 1 for ordinary ones."""
  if word.isascii() and len(word) <= 13 and not any(c.isdigit() for c in word):
    return 1
  return 1 + len(word.encode(errors='replace')) // 3


def cost(text: str) -> int:
  """Length of a text in ordinary words."""
  return sum(map(word_cost, text.split()))


def article_for(word: str) -> str:
  """The indefinite article that stands before a word."""
  word = word.lower()
  if word.startswith(('uni', 'one', 'eu')):
    return 'a'
  return 'an' if word.startswith(('a', 'e', 'i', 'o', 'u', 'hour')) else 'a'


def fix_article(words: list[str], index: int) -> None:
  """Makes 'a' or 'an' at `index`, if there is one, fit the next word."""
  if 0 <= index < len(words) - 1 and words[index].lower() in ('a', 'an'):
    fitting = article_for(words[index + 1])
    words[index] = fitting.capitalize() if words[index][0] == 'A' else fitting
