"""The loop on a small world: records, features, determinism, pairing."""

import jax
import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.agent import episodes as episodes_lib
from pasta.agent import policies, slates
from pasta.agent import policy as policy_lib
from pasta.candidates import build as candidates_build
from pasta.candidates.grammar import generator as grammar
from pasta.interaction import extraction, hidden_people, loop, simulated_people
from pasta.interaction import people as people_lib
from pasta.population import population as population_lib
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as model_lib
from pasta.world import world as world_lib

SIZES = world_lib.Sizes(num_turns=3, num_columns=4, images_per_prompt=2)


def hidden(population, num=4, seed=3):
  crowd = population_lib.draw_crowd(population, num, 1, seed=seed)
  return hidden_people.HiddenPeople(population, crowd)


def policy(name, belief='on'):
  config = common.policy(name)
  config.belief = belief
  return policies.build(config, num_columns=SIZES.num_columns)


def run(world, people, name='lmm', belief='on', **options):
  return loop.run(
    world, people, policy(name, belief), SIZES, jax.random.key(0), **options
  )


def test_records_hold_everything(world, population):
  result = run(world, hidden(population))
  assert result.features is None  # nobody looked at an image
  for session in result.sessions:
    sessions_lib.check(session, 'here')
    assert len(session.turns) == 3
    for t, turn in enumerate(session.turns):
      assert len(turn.candidates) == 25
      assert len({c.text for c in turn.candidates}) == 25
      categories = [turn.candidates[i].category for i in turn.slate]
      assert len(set(categories)) == 4
      assert turn.log_propensity == 0.0
      assert (turn.comparison is None) == (t == 0)
  assert result.utilities.shape == (4, 3)


def test_same_sittings_same_world_whatever_the_batch(world, population):
  whole = run(world, hidden(population))
  people = hidden(population)
  part = hidden_people.HiddenPeople(population, people.crowd.select([2]))
  alone = run(world, part).sessions[0]
  together = whole.sessions[2]
  for a, b in zip(alone.turns, together.turns, strict=True):
    assert a.candidates == b.candidates
    assert (a.slate, a.seeds, a.choice) == (b.slate, b.seeds, b.choice)
    assert a.satisfaction == b.satisfaction


def test_features_in_the_loop_equal_those_extracted(
  world, population, user_model
):
  result = run(world, hidden(population), 'greedy', user_model=user_model)
  features_lib.check(result.features)
  extracted = extraction.extract(world, result.sessions)
  for name in ('initial_text', 'slate_text', 'slate_image', 'choice'):
    np.testing.assert_array_equal(
      getattr(result.features, name), getattr(extracted, name), err_msg=name
    )
  assert result.log_beliefs.shape == (4, 4, 3)
  np.testing.assert_allclose(np.exp(result.log_beliefs).sum(-1), 1.0, rtol=1e-5)


def test_extract_refuses_another_t2i(world, population):
  config = common.world()
  config.t2i.name = 'sketch:ink'
  config.t2i.num_workers = 0
  other = world_lib.World(config)
  sessions = run(world, hidden(population)).sessions
  with pytest.raises(errors.PastaError, match='the config makes sketch:ink'):
    extraction.extract(other, sessions)
  other.close()


def test_policy_with_features_needs_a_user_model(world, population):
  with pytest.raises(errors.PastaError, match='needs a trained user model'):
    run(world, hidden(population), 'greedy')


def test_simulated_people_answer_by_their_type(world, user_model):
  num = 300
  sitting = np.arange(num, dtype=np.uint64)
  model = user_model.replace(
    log_prior=jax.numpy.log(jax.numpy.array([0.2, 0.5, 0.3])),
    satisfaction={
      **user_model.satisfaction,
      'level': jax.numpy.array([-3.0, 0.0, 3.0]),
      'log_sigma': jax.numpy.log(0.05),
    },
  )
  people = simulated_people.SimulatedPeople(model, ('a fox',) * num, sitting)
  share = np.bincount(people.types, minlength=3) / num
  np.testing.assert_allclose(share, [0.2, 0.5, 0.3], atol=0.08)
  rng = np.random.default_rng(0)
  dim = world.encoder.embedding_dim
  shown = people_lib.Shown(
    turn=0,
    prompts=[],
    seeds=None,
    columns=None,
    scenes=None,
    text=rng.standard_normal((num, 4, dim)).astype(np.float32),
    image=rng.standard_normal((num, 4, 2, dim)).astype(np.float32),
    log_belief=None,
  )
  answer = people.answer(shown)
  level = [answer.satisfaction[people.types == k].mean() for k in range(3)]
  assert level[0] + 0.2 < level[1] < level[2] - 0.2
  assert answer.comparison is None
  later = people.answer(people_lib.Shown(**{**shown.__dict__, 'turn': 1}))
  assert set(np.unique(later.comparison)) <= {-1, 0, 1}
  # The generous stay generous: their offset is theirs, at every turn.
  middle = people.types == 1
  for rated in (answer, later):
    together = np.corrcoef(people.generosity, rated.satisfaction)
    of_type = np.corrcoef(people.generosity[middle], rated.satisfaction[middle])
    assert of_type[0, 1] > max(0.5, together[0, 1])


class Stopping(hidden_people.HiddenPeople):
  def answer(self, shown):
    if shown.turn == 2:
      raise people_lib.SessionEnded
    return super().answer(shown)


def test_a_stopped_session_keeps_its_turns(world, population):
  people = Stopping(population, hidden(population, 1).crowd)
  result = run(world, people)
  assert [len(s.turns) for s in result.sessions] == [2]
  extracted = extraction.extract(world, result.sessions)
  assert extracted.choice.shape == (1, 2)


def test_pools_in_the_loop_equal_those_extracted(world, population, user_model):
  result = run(
    world, hidden(population), 'greedy', user_model=user_model, with_pool=True
  )
  features_lib.check(result.features)
  extracted = extraction.extract(world, result.sessions, with_pool=True)
  for name in ('text', 'category', 'slate', 'log_propensity'):
    np.testing.assert_array_equal(
      getattr(result.features.pool, name), getattr(extracted.pool, name)
    )
  pool = result.features.pool
  assert pool.text.shape[:3] == (4, 3, 25)
  shown = np.take_along_axis(
    pool.text, pool.slate[..., None].astype(int), axis=2
  )
  np.testing.assert_array_equal(shown, result.features.slate_text)
  assert extraction.extract(world, result.sessions).pool is None
  assert result.features.generator_id == world.generator.generator_id


def test_a_belief_that_is_frozen_or_told(world, population, opinionated):
  options = {'user_model': opinionated}
  moved = run(world, hidden(population), 'greedy', **options).log_beliefs
  assert np.abs(moved[:, 1] - moved[:, 0]).max() > 0.01
  frozen = run(world, hidden(population), 'greedy', 'prior', **options)
  np.testing.assert_allclose(
    frozen.log_beliefs,
    np.broadcast_to(opinionated.log_prior, (4, 4, 3)),
    atol=1e-6,
  )
  told = np.log(np.array([[0.8, 0.1, 0.1]] * 4))
  oracle = run(
    world,
    hidden(population),
    'greedy',
    'oracle',
    true_log_belief=told,
    **options,
  )
  np.testing.assert_allclose(
    oracle.log_beliefs, np.broadcast_to(told[:, None], (4, 4, 3)), atol=1e-6
  )
  with pytest.raises(errors.PastaError, match='true type is known'):
    run(world, hidden(population), 'greedy', 'oracle', **options)


def test_a_session_starts_from_what_is_known_of_people(
  world, population, opinionated
):
  options = {'user_model': opinionated}
  before = run(world, hidden(population), 'greedy', **options)
  assert {s.belief_after for s in before.sessions} == {''}
  np.testing.assert_array_equal(
    before.belief.log_types, before.log_beliefs[:, -1]
  )
  known = loop.Known(
    belief_lib.carried(opinionated, before.belief),
    tuple(s.session_id for s in before.sessions),
  )
  people = hidden(population)
  after = run(world, people, 'greedy', known=known, **options)
  np.testing.assert_allclose(
    after.log_beliefs[:, 0], before.log_beliefs[:, -1], atol=1e-5
  )
  assert [s.belief_after for s in after.sessions] == list(known.session_ids)


def test_a_belief_hears_what_its_policy_hears(world, population, opinionated):
  def played(*kinds):
    config = common.policy('greedy')
    config.feedback = kinds
    made = policies.build(config, num_columns=SIZES.num_columns)
    options = {'user_model': opinionated}
    people = hidden(population)
    result = loop.run(world, people, made, SIZES, jax.random.key(0), **options)
    return made.policy_id, result

  name, result = played('choice')
  assert name == 'greedy:feedback=choice'
  features = result.features
  utility = model_lib.column_utility(
    opinionated, features.slate_text, features.slate_image
  )
  said = belief_lib.Feedback(
    features.choice,
    np.full_like(features.satisfaction, np.nan),
    np.full_like(features.comparison, -2),
  )
  expected = belief_lib.trajectory(opinionated, utility, said).log_types
  np.testing.assert_allclose(result.log_beliefs, expected, atol=1e-4)
  _, everything = played()
  assert np.abs(everything.log_beliefs - result.log_beliefs).max() > 1e-3
  with pytest.raises(errors.PastaError, match='feedback of policy greedy is'):
    played('applause')


def test_a_policy_has_pools_of_its_own_size(world, population, opinionated):
  config = common.policy('greedy')
  config.num_candidates = 40
  made = policies.build(config, num_columns=SIZES.num_columns)
  people, options = hidden(population), {'user_model': opinionated}
  before = world.num_images_made
  result = loop.run(world, people, made, SIZES, jax.random.key(0), **options)
  drawn = world.num_images_made - before
  for session in result.sessions:
    assert 'c40' in session.generator_id
    assert {len(t.candidates) for t in session.turns} == {40}
  shown = SIZES.num_turns * SIZES.num_columns * SIZES.images_per_prompt
  assert drawn <= 4 * shown
  config.num_candidates = 7
  made = policies.build(config, num_columns=SIZES.num_columns)
  with pytest.raises(errors.PastaError, match='num_candidates is 7'):
    loop.run(world, people, made, SIZES, jax.random.key(0), **options)


def test_a_rendered_pool_is_judged_by_its_images(
  world, population, opinionated
):
  result = run(
    world, hidden(population, 2), 'greedy_rendered', user_model=opinionated
  )
  turn = result.sessions[0].turns[0]
  texts = [c.text for c in turn.candidates]
  image = world.image_features(
    texts, np.full(25, turn.seeds[0], np.uint64), SIZES.images_per_prompt
  )
  text = world.text_features(texts)
  utility = model_lib.column_utility(opinionated, text[None], image[None])
  expected = np.asarray(utility[0] @ np.exp(opinionated.log_prior))
  np.testing.assert_allclose(turn.scores, expected, atol=1e-4)
  # What is shown is what was judged.
  np.testing.assert_array_equal(
    image[list(turn.slate)].astype(np.float16),
    result.features.slate_image[0, 0],
  )
  assert np.isnan(result.predicted).all()


def test_candidates_that_a_policy_leaves_out_are_stored(
  world, population, tmp_path
):
  def every_second(history, candidates):
    place = np.arange(candidates.category.shape[1])
    scores = np.where(place % 2, -np.inf, -place / 100)
    return jax.numpy.asarray(np.tile(scores, (len(candidates.category), 1)))

  def nothing(history, candidates):
    return every_second(history, candidates) - np.inf

  for i, score in enumerate((every_second, nothing)):
    played = policy_lib.Scored(
      name='every_second',
      score=score,
      selector=policy_lib.Selector('mean', slates.select_mean, False),
      num_columns=SIZES.num_columns,
      uses_features=False,
    )
    result = loop.run(
      world, hidden(population, 2), played, SIZES, jax.random.key(0)
    )
    path = sessions_lib.shard_path(str(tmp_path), i)
    sessions_lib.write_shard(path, result.sessions)
    assert sessions_lib.read_shard(path) == result.sessions
    for turn in (t for s in result.sessions for t in s.turns):
      if score is every_second:
        assert all(place % 2 == 0 for place in turn.slate)
        assert turn.scores[:4] == (0.0, None, -0.02, None)
      else:
        assert turn.scores is None


@pytest.mark.parametrize('score', [np.nan, np.inf])
def test_a_broken_score_is_an_error(world, population, score):
  played = policy_lib.Scored(
    name='broken',
    score=lambda history, candidates: jax.numpy.where(
      jax.numpy.arange(candidates.category.shape[1]) == 3,
      score,
      jax.numpy.zeros(candidates.category.shape),
    ),
    selector=policy_lib.Selector('mean', slates.select_mean, False),
    num_columns=SIZES.num_columns,
    uses_features=False,
  )
  with pytest.raises(errors.PastaError, match=f'broken: .* is {score}'):
    loop.run(world, hidden(population, 2), played, SIZES, jax.random.key(0))


class _Viewer:
  """Grammar's candidates, by a generator that looks at images."""

  generator_id = 'viewer'
  num_candidates = 25
  sees_images = True

  def __init__(self):
    self.images = []

  def propose(self, histories, seeds, images):
    self.images.append(images)
    return grammar.Grammar().propose(histories, seeds)


def test_chosen_images_are_handed_to_those_who_look(
  world, population, monkeypatch
):
  viewer = _Viewer()
  monkeypatch.setattr(world, 'generator', viewer)
  result = run(world, hidden(population))
  assert viewer.images[0] is None
  assert len(viewer.images) == SIZES.num_turns
  for t, images in enumerate(viewer.images[1:]):
    for session, seen in zip(result.sessions, images, strict=True):
      turn = session.turns[t]
      shown = world.t2i.generate(
        [turn.chosen_prompt],
        np.array([turn.seeds[turn.choice]], np.uint64),
        SIZES.images_per_prompt,
      )
      np.testing.assert_array_equal(seen, shown[0])


def test_generators_can_count_what_the_encoder_reads(monkeypatch):
  given = {}
  monkeypatch.setattr(
    candidates_build, 'build', lambda config, **options: given.update(options)
  )
  config = common.world()
  config.t2i.num_workers = 0
  made = world_lib.World(config)
  long = ', '.join(['a red fox in the snow'] * 40)
  assert given['max_prompt_tokens'] == made.encoder.max_tokens
  assert given['count_tokens'](long) > made.encoder.max_tokens
  assert 3 <= given['count_tokens']('a red fox') < 10
  made.close()


def test_values_are_asked_about_the_numbers_that_they_learn_from(
  world, population, opinionated, monkeypatch
):
  asked = []
  greedy = policy('greedy')
  choose = greedy.choose

  def recorded(history, candidates, key):
    asked.append(history)
    return choose(history, candidates, key)

  monkeypatch.setattr(greedy, 'choose', recorded)
  people = hidden(population)
  result = loop.run(
    world, people, greedy, SIZES, jax.random.key(0), user_model=opinionated
  )
  episodes = episodes_lib.from_features(result.features, opinionated)
  for turn, played in enumerate(asked):
    trained = episodes_lib.history_at(episodes, np.arange(4), np.full(4, turn))
    for field in ('initial_text', 'slate_text', 'slate_image', 'choice'):
      np.testing.assert_array_equal(
        getattr(played, field), getattr(trained, field), err_msg=field
      )
    for field in ('log_belief', 'prompt_utility'):
      np.testing.assert_allclose(
        getattr(played, field),
        getattr(trained, field),
        rtol=1e-4,
        atol=1e-5,
        err_msg=field,
      )
  # What the prompt is worth that is extended moves from turn to turn.
  moved = np.diff([played.prompt_utility for played in asked], axis=0)
  assert np.abs(moved).max((1, 2)).min() > 1e-3
