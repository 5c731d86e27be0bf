"""The agent as a library: equal to the loop, whoever else is there."""

import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import pasta
from pasta import errors
from pasta.agent import expected_selection, policies
from pasta.interaction import hidden_people, loop
from pasta.library import agent as library
from pasta.population import population as population_lib
from pasta.storage import sessions as sessions_lib
from pasta.types import Candidate
from pasta.user_model import belief as belief_lib
from pasta.user_model import saved
from pasta.world import world as world_lib

SIZES = world_lib.Sizes(num_turns=3, num_columns=4, images_per_prompt=2)
WORDS = ('fog', 'night', 'ink', 'boats', 'snow', 'gold', 'rain', 'dawn')


def greedy_slate(user_model):
  return policies.greedy_slate(4, expected_selection.learned(user_model))


@pytest.fixture
def agent(world, opinionated):
  return pasta.Agent(
    opinionated,
    greedy_slate(opinionated),
    world.encoder,
    num_turns=3,
    images_per_prompt=2,
  )


def candidates(prompt, num=8):
  return [f'{prompt}, {WORDS[i % 8]} {i}' for i in range(num)]


def features(seed, dim):
  rng = np.random.default_rng(seed)
  return rng.standard_normal((4, 2, dim)).astype(np.float32)


def answer(agent, seed, **fields):
  dim = agent.user_model.text_dim
  return pasta.Feedback(
    choice=seed % 4, image_features=features(seed, dim), **fields
  )


def play(agent, session, seeds):
  """Slates and beliefs of a few turns."""
  seen = []
  for seed in seeds:
    slate = agent.propose(session, candidates(session.prompt))
    belief = agent.observe(session, answer(agent, seed, satisfaction=0.7))
    seen.append((slate.indices, belief))
  return seen


def test_slates_and_beliefs_are_those_of_the_loop(world, population, agent):
  crowd = population_lib.draw_crowd(population, 3, 1, seed=3)
  result = loop.run(
    world,
    hidden_people.HiddenPeople(population, crowd),
    agent.policy,
    SIZES,
    jax.random.key(0),
    user_model=agent.user_model,
  )
  for i, record in enumerate(result.sessions):
    sessions_lib.check(record, 'here')
    session = agent.begin(record.initial_prompt)
    for t, turn in enumerate(record.turns):
      slate = agent.propose(session, turn.candidates)
      assert slate.indices == turn.slate
      np.testing.assert_allclose(slate.scores, turn.scores, atol=1e-4)
      images = world.t2i.generate(
        list(slate.prompts), np.array(turn.seeds, np.uint64), 2
      )
      belief = agent.observe(
        session,
        pasta.Feedback(
          choice=turn.choice,
          images=images,
          satisfaction=turn.satisfaction,
          comparison=turn.comparison,
          columns=turn.columns,
        ),
      )
      expected = np.exp(result.log_beliefs[i, t + 1])
      np.testing.assert_allclose(belief, expected, atol=1e-4)
      np.testing.assert_array_equal(belief, session.belief)


def test_nobody_notices_who_else_is_there(agent):
  alone = [agent.begin(f'a harbour, {i}') for i in range(3)]
  apart = [play(agent, s, range(i, i + 3)) for i, s in enumerate(alone)]
  together = [agent.begin(f'a harbour, {i}') for i in range(3)]
  # Person 0 is a turn ahead of the others, and pools differ in size.
  play(agent, together[0], range(1))
  for step in range(2):
    pools = [candidates(s.prompt) for s in together]
    pools[1] = pools[1] + candidates('a wood')[:3] if step else pools[1]
    slates = agent.propose_many(together, pools)
    seeds = [i + step + (i == 0) for i in range(3)]
    beliefs = agent.observe_many(
      together, [answer(agent, seed, satisfaction=0.7) for seed in seeds]
    )
    for i in range(3):
      indices, belief = apart[i][step + (i == 0)]
      if not (i == 1 and step):
        assert slates[i].indices == indices
        np.testing.assert_allclose(beliefs[i], belief, atol=1e-5)


def test_a_person_comes_back(agent):
  first = agent.begin('a harbour')
  play(agent, first, range(3))
  again = agent.begin('a wood', belief=agent.carried(first))
  np.testing.assert_allclose(again.belief, first.belief, atol=1e-6)
  assert not np.allclose(again.belief, agent.begin('a wood').belief, atol=1e-2)


def test_categories_bind_and_plain_texts_have_none(agent):
  session = agent.begin('a harbour')
  texts = candidates('a harbour')
  free = set(agent.propose(session, texts).indices)
  best = agent.propose(session, texts).indices[:2]
  categories = ['rephrase', 'detail', 'style', 'subject'] * 2
  for i in best:
    categories[i] = 'creative'
  pool = [Candidate(t, c) for t, c in zip(texts, categories)]
  bound = set(agent.propose(session, pool).indices)
  assert len(bound & set(best)) == 1 and free >= set(best)


def test_explains_with_numbers_that_hold(agent, world):
  session = agent.begin('a harbour')
  assert not agent.explain(session).turns
  play(agent, session, range(2))
  told = agent.explain(session, phrases=('in fog', 'at night'))
  np.testing.assert_allclose(told.types, session.belief)
  for turn, later in zip(told.turns, told.turns[1:]):
    np.testing.assert_allclose(turn.after, later.before, atol=1e-6)
  assert all(turn.surprise >= -1e-6 for turn in told.turns)
  assert [p.text for p in told.phrases] == sorted(
    ('in fog', 'at night'),
    key=lambda text: -next(p.mean for p in told.phrases if p.text == text),
  )
  texts = [session.prompt, f'{session.prompt}, in fog']
  text = world.encoder.encode_text(texts).astype(np.float16)
  utility = np.asarray(library.sitting_lib.text_utility(agent.user_model, text))
  fog = next(p for p in told.phrases if p.text == 'in fog')
  assert fog.mean == pytest.approx(
    session.belief @ (utility[1] - utility[0]), abs=1e-4
  )
  assert 'Turn 2: chose' in str(told)


def test_loads_a_workdir_and_needs_no_values(agent, tmp_path, world):
  with pytest.raises(errors.PastaError, match='no directory'):
    pasta.Agent.load(tmp_path / 'nothing')
  info = {'encoder_id': world.encoder.encoder_id}
  saved.save(str(tmp_path / 'user_model'), agent.user_model, info)
  loaded = pasta.Agent.load(tmp_path, encoder=world.encoder, num_turns=3)
  assert loaded.policy.policy_id == 'greedy_slate'
  with pytest.raises(errors.PastaError, match="policy is 'lmm', expected"):
    pasta.Agent.load(tmp_path, policy='lmm', encoder=None)
  with pytest.raises(errors.PastaError, match='train_value'):
    pasta.Agent.load(tmp_path, policy='pasta', encoder=None)
  blind = pasta.Agent.load(
    tmp_path, encoder=None, num_turns=3, images_per_prompt=2
  )
  texts = candidates('a harbour')
  with pytest.raises(errors.PastaError, match='has no encoder'):
    blind.begin('a harbour')
  encode = world.encoder.encode_text
  session = blind.begin('a harbour', features=encode(['a harbour'])[0])
  slate = blind.propose(session, texts, encode(texts))
  seeing = agent.propose(agent.begin('a harbour'), texts)
  assert slate.indices == seeing.indices
  with pytest.raises(errors.PastaError, match='expected image_features'):
    blind.observe(
      session, pasta.Feedback(choice=0, images=np.zeros((4, 2, 8, 8, 3), 'u1'))
    )
  assert session.slate is not None


def test_the_example_of_the_readme_runs(agent, tmp_path, world, capsys):
  info = {'encoder_id': world.encoder.encoder_id}
  saved.save(str(tmp_path / 'user_model'), agent.user_model, info)
  readme = pathlib.Path(library.__file__).parent / 'README.md'
  (code,) = re.findall(r'```python\n(.*?)```', readme.read_text(), re.S)
  given = {
    'workdir': tmp_path,
    'candidates': candidates,
    'draw': lambda prompts: np.zeros((len(prompts), 4, 32, 32, 3), np.uint8),
    'ask': lambda images: 1,
  }
  exec(code, given)
  assert 'Turn 5: chose' in capsys.readouterr().out
  np.testing.assert_allclose(given['again'].belief, given['belief'], atol=1e-5)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'choice': 4}, 'choice is 4, expected 0 to 3'),
    ({'choice': True}, 'choice is True'),
    ({'choice': 1.0}, 'choice is 1.0'),
    ({'satisfaction': 1.5}, 'satisfaction is 1.5, expected 0 to 1'),
    ({'satisfaction': np.nan}, 'satisfaction is nan'),
    ({'comparison': 2}, 'comparison is 2, expected -1 to 1'),
    ({'columns': [0, 0, 1, 2]}, 'expected each of 0 to 3 once'),
    ({'image_features': None}, 'expected one of images and image_features'),
    ({'image_features': np.zeros((4, 2, 3))}, r'shape \[4, 2, 3\], expected'),
    ({'image_features': np.full((4, 2, 96), np.nan)}, 'not all numbers are'),
    (
      {'image_features': None, 'images': np.zeros((4, 2, 8, 8, 3))},
      r'images: float64 \[4, 2, 8, 8, 3\], expected uint8 \[4, 2, H, W, 3\]',
    ),
  ],
)
def test_refuses_feedback_that_cannot_be(agent, fields, message):
  session = agent.begin('a harbour')
  agent.propose(session, candidates('a harbour'))
  before = session.belief
  given = {'choice': 1, 'image_features': features(0, 96)} | fields
  with pytest.raises(errors.PastaError, match=message):
    agent.observe(session, pasta.Feedback(**given))
  np.testing.assert_array_equal(session.belief, before)
  assert session.slate is not None and not session.turns


def test_refuses_what_is_out_of_turn(agent, opinionated):
  with pytest.raises(errors.PastaError, match="prompt is ' '"):
    agent.begin(' ')
  session = agent.begin('a harbour')
  with pytest.raises(errors.PastaError, match='propose one first'):
    agent.observe(session, answer(agent, 0))
  with pytest.raises(errors.PastaError, match='a pool of 3 candidates'):
    agent.propose(session, candidates('a harbour', 3))
  with pytest.raises(errors.PastaError, match='expected a list of texts'):
    agent.propose(session, 'a harbour')
  with pytest.raises(errors.PastaError, match="category of a candidate is 'x'"):
    agent.propose(session, [Candidate(t, 'x') for t in WORDS])
  with pytest.raises(errors.PastaError, match='features: of'):
    agent.propose(session, candidates('a harbour'), features(0, 96)[0])
  other = opinionated.replace(log_prior=np.log(np.full(5, 0.2, np.float32)))
  with pytest.raises(errors.PastaError, match='of this user model'):
    agent.begin('a harbour', belief=belief_lib.initial(other, 2))
  agent.propose(session, candidates('a harbour'))
  with pytest.raises(errors.PastaError, match='one is there twice'):
    agent.observe_many([session] * 2, [answer(agent, 0)] * 2)
  play(agent, session, range(3))
  with pytest.raises(errors.PastaError, match='has had its 3 turns'):
    agent.propose(session, candidates('a harbour'))
  with pytest.raises(errors.PastaError, match='num_turns is 0'):
    pasta.Agent(opinionated, agent.policy, num_turns=0)


def test_what_is_public_is_shown_and_loads_late():
  code = (
    'import sys, pasta; print(dir(pasta), "jax" in sys.modules); '
    'print(pasta.Agent.__module__, pasta.latent_class.fit.__name__)'
  )
  shown = subprocess.run(
    [sys.executable, '-c', code],
    capture_output=True,
    text=True,
    check=True,
    cwd=pathlib.Path(pasta.__file__).parent.parent,
  ).stdout.splitlines()
  assert shown[0] == (
    "['Agent', 'Feedback', '__version__', 'latent_class'] False"
  )
  assert shown[1] == 'pasta.library.agent fit'
  with pytest.raises(AttributeError, match="no attribute 'agnet'"):
    pasta.agnet  # noqa: B018
