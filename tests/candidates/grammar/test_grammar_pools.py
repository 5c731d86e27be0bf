"""Properties of whole candidate pools over many random sessions."""

import collections
import random
import re

import ml_collections
import numpy as np
import pytest
import rough_prompts
from named_slots import named_values

from pasta.candidates import build as candidates_build
from pasta.candidates import english
from pasta.candidates.grammar import generator as grammar
from pasta.candidates.grammar import wording
from pasta.t2i.sketch import scene
from pasta.types import CATEGORIES, PromptHistory


def _key(text):
  return ' '.join(text.lower().split())


def test_five_of_each_category_and_no_two_alike(turns):
  for history, pool in turns:
    assert collections.Counter(c.category for c in pool) == dict.fromkeys(
      CATEGORIES, 5
    )
    keys = {_key(c.text) for c in pool} | {_key(history.current)}
    assert len(keys) == 26
    # The first five, from which the language-model baseline takes its slate.
    assert len({c.category for c in pool[:5]}) == 5


def test_prompts_stay_short(turns):
  assert max(len(c.text.split()) for _, pool in turns for c in pool) <= 36
  assert max(english.cost(c.text) for _, pool in turns for c in pool) <= 36


def test_texts_are_tidy_english(turns):
  twice = re.compile(r'\b(\w+) \1\b')
  articles = re.compile(r'\b(a|an|the) (a|an|the|in|on|at|with|of)\b')
  wrong_an = re.compile(r'\ba [aeio]\w|\ban [bcdfgjklmnpqrstvwxz]\w')
  for _, pool in turns:
    for text in (c.text for c in pool):
      assert not re.search(r',\s*,|  |^[ ,]|[ ,]$| ,', text), text
      for pattern in (twice, articles, wrong_an):
        assert not pattern.search(text.lower()), text
      segments = text.lower().split(', ')
      assert len(set(segments)) == len(segments), text


def test_a_slot_is_never_contradicted(turns):
  for history, pool in turns:
    before = named_values(history.current)
    for candidate in pool:
      for slot, named in enumerate(named_values(candidate.text)):
        if slot and len(before[slot]) <= 1:
          assert len(named) <= 1, (history.current, candidate.text)


def _free(turns):
  """Turns without a critique so far."""
  return [(h, pool) for h, pool in turns if not any(h.critiques)]


def test_what_the_prompt_says_is_mostly_kept(turns):
  overwritten = collections.defaultdict(list)
  for history, pool in _free(turns):
    before = named_values(history.current)
    vague = len(before[0]) > 1
    vacant = sum(not n for n in before)
    for candidate in pool:
      after = named_values(candidate.text)
      lost = sum(
        bool(b) and b != a and not (vague and not s)
        for s, (b, a) in enumerate(zip(before, after))
      )
      overwritten[vacant].append(lost > 0)
      if candidate.category == 'rephrase':
        assert [set(n) for n in after] == [set(n) for n in before], (
          history.current,
          candidate.text,
        )
      assert lost <= 3
  early = [x for vacant in (5, 6, 7) for x in overwritten[vacant]]
  assert 0.05 < np.mean(early) < 0.25
  late = [x for vacant in (0, 1) for x in overwritten[vacant]]
  assert np.mean(early) < np.mean(late) < 0.7


def test_expansions_fill_what_is_open(turns):
  growth = [
    sum(map(bool, named_values(c.text)))
    - sum(map(bool, named_values(h.current)))
    for h, pool in _free(turns)
    if not h.chosen
    for c in pool
    if c.category != 'rephrase'
  ]
  assert 0.7 < np.mean(growth) < 2.0


def test_the_values_of_a_pool_spread(turns):
  for history, pool in _free(turns):
    before = named_values(history.current)
    if before[wording.STYLE]:
      continue
    styles = {
      named_values(c.text)[wording.STYLE] for c in pool if c.category == 'style'
    }
    assert len(styles) == 5
    details = {
      tuple(named_values(c.text)) for c in pool if c.category == 'detail'
    }
    assert len(details) == 5 or sum(map(bool, before)) > 4


def test_subject_makes_a_group_specific():
  pool = grammar.Grammar().propose(
    [PromptHistory('an animal, something dreamy')], np.array([1])
  )[0]
  texts = [c.text for c in pool if c.category == 'subject']
  subjects = [named_values(t)[0] for t in texts]
  assert {s for s in subjects if len(s) == 1} == {(0,), (1,), (2,)}
  assert all('something dreamy' in t for t in texts)


def test_unknown_words_of_the_person_stay_in_front():
  history = PromptHistory("my grandmother's zigzag thing")
  generator = grammar.Grammar()
  rng = random.Random(3)
  for turn in range(5):
    pool = generator.propose([history], np.array([turn]))[0]
    for candidate in pool:
      assert "my grandmother's zigzag thing" in candidate.text
      if candidate.category != 'rephrase' and not history.chosen:
        assert candidate.text.startswith("my grandmother's zigzag thing")
    history = PromptHistory(
      history.initial_prompt, (*history.chosen, rng.choice(pool).text)
    )


def test_same_history_and_seed_give_the_same_pool_in_any_batch():
  histories = [PromptHistory(p) for p in rough_prompts.initial_prompts(6, 3)]
  seeds = np.arange(6, dtype=np.uint64) + np.uint64(2**63)
  generator = grammar.Grammar()
  together = generator.propose(histories, seeds)
  alone = [
    generator.propose([h], seeds[i : i + 1])[0] for i, h in enumerate(histories)
  ]
  assert together == alone
  backwards = grammar.Grammar().propose(histories[::-1], seeds[::-1])
  assert together == backwards[::-1]
  assert generator.propose(histories, seeds + np.uint64(1)) != together


def test_histories_with_equal_prompts_get_their_own_draws():
  histories = [PromptHistory('a fox')] * 2
  first, second = grammar.Grammar().propose(histories, np.array([1, 2]))
  assert first != second


@pytest.mark.parametrize(
  'initial',
  [
    'zigzag ' * 1500 + 'at dusk, no people',
    'x' * 10_000,
    '\u732b\u304c\u597d\u304d ' * 300,
    'a fox ' * 400,
    '! ? , .. no ,',
    'no',
    ', '.join(wording.PHRASES[s][0] for s in range(8)) + ' please ' * 30,
  ],
)
def test_long_and_odd_prompts(initial):
  history = PromptHistory(initial)
  generator = grammar.Grammar()
  rng = random.Random(0)
  for turn in range(6):
    pool = generator.propose([history], np.array([turn]))[0]
    assert len({_key(c.text) for c in pool}) == 25
    assert max(english.cost(c.text) for c in pool) <= 36
    history = PromptHistory(initial, (*history.chosen, rng.choice(pool).text))
  if 'dusk' in initial:  # a long prompt's last words are not lost
    for candidate in generator.propose([PromptHistory(initial)], np.array([0]))[
      0
    ]:
      assert scene.parse(candidate.text)[wording.ACCENT][1]


def test_any_words_in_any_order():
  words = sorted(
    {
      w
      for phrases in wording.WORDINGS
      for p in phrases
      for q in p
      for w in q.split()
    }
    | {
      'no',
      'not',
      'without',
      'a',
      'the',
      'of',
      ',',
      '.',
      'zig',
      "dad's",
      '8-bit',
      'AN',
      '\ud800',
      'picture',
      'something',
      'animal',
      'as an artwork',
    }
  )
  rng = random.Random(1)
  generator = grammar.Grammar()
  histories = [
    PromptHistory(
      ' '.join(rng.choices(words, k=rng.randrange(1, 25))),
      (' '.join(rng.choices(words, k=rng.randrange(1, 45))),)[
        : rng.randrange(2)
      ],
      (),
      (' '.join(rng.choices(words, k=5)),)[: rng.randrange(2)],
    )
    for _ in range(300)
  ]
  for history, pool in zip(
    histories, generator.propose(histories, np.arange(300))
  ):
    assert len({_key(c.text) for c in pool} | {_key(history.current)}) == 26
    assert max(english.cost(c.text) for c in pool) <= 36


def test_a_full_prompt_still_gives_distinct_candidates():
  text = ', '.join(wording.PHRASES[s][1] for s in range(8))
  for num in (5, 25, 50):
    pool = grammar.Grammar(num).propose([PromptHistory(text)], np.array([0]))[0]
    assert len({_key(c.text) for c in pool} | {_key(text)}) == num + 1


def test_bad_input():
  generator = grammar.Grammar()
  with pytest.raises(ValueError, match='initial_prompt is empty'):
    generator.propose([PromptHistory(' \n')], np.array([0]))
  with pytest.raises(ValueError, match='chosen'):
    generator.propose([PromptHistory('a fox', ('',))], np.array([0]))
  with pytest.raises(ValueError, match='2 seeds'):
    generator.propose([PromptHistory('a fox')], np.array([0, 1]))
  with pytest.raises(ValueError, match='num_candidates is 7'):
    grammar.Grammar(7)
  with pytest.raises(ValueError, match='max_words is 5'):
    grammar.Grammar(max_words=5)


def test_build():
  config = ml_collections.ConfigDict(
    dict(name='grammar', num_candidates=10, max_words=30, append_only=False)
  )
  generator = candidates_build.build(config)
  assert generator.num_candidates == 10
  assert generator.generator_id == 'grammar-1-c10-w30'
  config.append_only = True
  append_only = candidates_build.build(config)
  assert append_only.generator_id == 'grammar-1-c10-w30-append'
  config.name = 'chat'
  with pytest.raises(ValueError, match='append_only is True.*chat'):
    candidates_build.build(config)
  config.name, config.append_only, config.arguments = 'chatter', False, ''
  with pytest.raises(ValueError, match='chatter.*one of grammar'):
    candidates_build.build(config)


def _breaches(generator, num_sessions):
  """Candidates of random sessions that overwrite something, of how many."""
  rng = random.Random(0)
  histories = [
    PromptHistory(p) for p in rough_prompts.initial_prompts(num_sessions, 7)
  ]
  breaches = total = 0
  for turn in range(6):
    seeds = np.arange(num_sessions) + 1000 * turn
    pools = generator.propose(histories, seeds)
    for history, pool in zip(histories, pools):
      before = named_values(history.current)
      assert len({c.text for c in pool}) == generator.num_candidates
      for candidate in pool:
        after = named_values(candidate.text)
        # A group's members are all named until one of them stands there.
        kept = all(
          set(a) <= set(b) and a if slot == 0 and len(b) > 1 else a == b
          for slot, (a, b) in enumerate(zip(after, before))
          if b
        )
        breaches += not kept
        total += 1
    histories = [
      PromptHistory(h.initial_prompt, (*h.chosen, rng.choice(pool).text))
      for h, pool in zip(histories, pools)
    ]
  return breaches, total


def test_append_only_prompts_keep_what_they_name():
  breaches, _ = _breaches(grammar.Grammar(append_only=True), 25)
  assert breaches == 0
  # Else something is overwritten in one candidate of five.
  breaches, total = _breaches(grammar.Grammar(), 5)
  assert breaches > total / 10
