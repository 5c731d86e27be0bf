"""The backbone 'gemma' in the value function: training, files, policies."""

import dataclasses
import functools
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
import tiny_gemma

from configs import common, train_value
from pasta import errors, metrics, parallel
from pasta.agent import (
  critics,
  expected_selection,
  iql,
  policies,
  train,
  value_model,
)
from pasta.agent import episodes as episodes_lib
from pasta.agent.gemma import base as gemma_base
from pasta.agent.gemma import text as gemma_text
from pasta.gemma import model as gemma_model
from pasta.interaction import hidden_people, loop
from pasta.population import population as population_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model import heads
from pasta.world import world as world_lib

SIZES = world_lib.Sizes(num_turns=3, num_columns=2, images_per_prompt=2)
_IDS = {'encoder_id': 'clip', 'generator_id': 'grammar'}
_NUM_SESSIONS = 12
_gather = jax.jit(episodes_lib.gather)


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  return tiny_gemma.write(tmp_path_factory.mktemp('gemma'), num_layers=1)


@pytest.fixture(scope='module')
def world():
  config = common.world()
  config.t2i.num_workers = 0
  world = world_lib.World(config)
  yield world
  world.close()


@pytest.fixture(scope='module')
def user_model(world):
  dim = world.encoder.embedding_dim
  rng = np.random.default_rng(0)
  settings = heads.HeadSettings(num_types=3, embedding_dim=dim)
  columns = rng.standard_normal((50, dim)), rng.standard_normal((50, 2, dim))
  return heads.init_model(jax.random.key(0), settings, [columns])


def _interact(world, user_model, policy, num):
  population = population_lib.build(common.population())
  crowd = population_lib.draw_crowd(population, num, 1, seed=3)
  people = hidden_people.HiddenPeople(population, crowd)
  return loop.run(
    world, people, policy, SIZES, jax.random.key(0), user_model=user_model
  )


@pytest.fixture(scope='module')
def logged(world, user_model):
  """Sessions of people; the first stops after a turn."""
  policy = policies.build(
    common.policy('optimistic', 3.0), num_columns=SIZES.num_columns
  )
  result = _interact(world, user_model, policy, _NUM_SESSIONS)
  records, features = result.sessions, result.features
  records[0] = dataclasses.replace(records[0], turns=records[0].turns[:1])
  features.choice[0, 1:] = -1
  return records, features


def _config(directory, **fields):
  config = train_value.get_config('smoke')
  config.backbone = 'gemma'
  config.credit = 'choice'
  config.gemma.path = str(directory)
  config.gemma.rank, config.gemma.targets = 2, ('q_proj', 'v_proj')
  config.gemma.max_tokens = 48
  config.gemma.chunk_texts = 40
  config.gemma.dtype = 'float32'
  config.gemma.remat = False
  config.batch_sessions = 8
  config.num_steps, config.steps_per_call = 24, 6
  config.log_steps, config.checkpoint_steps = 6, 6
  config.warmup_steps = 1
  config.update_from_flattened_dict(fields)
  return config


def _episodes(base, logged, user_model):
  records, features = logged
  texts = gemma_text.of_sessions(
    base.settings.tokeniser, records, SIZES.num_turns
  )
  return episodes_lib.from_features(features, user_model, texts=texts)


@pytest.fixture(scope='module')
def base(directory):
  return gemma_base.load(_config(directory))


@pytest.fixture(scope='module')
def episodes(base, logged, user_model):
  return _episodes(base, logged, user_model)


def _fit(episodes, config, base, directory):
  return train.fit(
    episodes, config, key=jax.random.key(0), directory=directory, base=base
  )


@functools.partial(jax.jit, static_argnums=(1, 3))
def _init(keys, config, example, settings, pretrained):
  return jax.vmap(
    lambda key: iql.init(key, config, example, settings, pretrained)
  )(keys)


def _random_model(config, base, episodes, num_members=1):
  """A value model whose every trained parameter matters."""
  settings = critics.settings_of(config, episodes, base)
  states = jax.device_get(
    _init(
      jax.random.split(jax.random.key(5), num_members),
      ml_collections.FrozenConfigDict(config),
      episodes,
      settings,
      base.params,
    ).replace(opt_state=None)
  )
  params = jax.tree.map(lambda x: x + 0.05 * np.cos(x), states.params)
  constants = jax.tree.map(lambda x: x[0], states.constants)
  return value_model.ValueModel(params, constants, settings, frozen=base.frozen)


def _raises(match):
  return pytest.raises(errors.PastaError, match=match)


def _start(model, base):
  """Where the backbones of f and v started: a LoRA's B is 0 there."""
  init = functools.partial(
    critics.init_params,
    constants=model.constants,
    settings=model.settings,
    pretrained=base.params,
  )
  return jax.jit(init)(jax.random.key(0))


@pytest.mark.parametrize(
  ('tuning', 'value_base', 'credit'),
  [('lora', 'myopic', 'choice'), ('full', 'none', 'mean')],
)
def test_learns(
  directory, logged, user_model, tmp_path, tuning, value_base, credit
):
  is_lora = tuning == 'lora'
  fields = {
    'gemma.tuning': tuning,
    'gemma.learning_rate': 4e-2 if is_lora else 1e-2,
    'gemma.dtype': 'bfloat16' if is_lora else 'float32',
    'learning_rate': 4e-2 if is_lora else 1e-2,
    'weight_decay': 0.0,
    'base': value_base,
    'credit': credit,
    'backup': 'monte_carlo',
    'num_members': 2 if is_lora else 1,
  }
  config = _config(directory, **fields)
  base = gemma_base.load(config)
  before = jax.tree.map(np.array, base.params)
  episodes = _episodes(base, logged, user_model)
  model, val = _fit(episodes, config, base, tmp_path / 'a')
  losses = [
    line['train/loss_q']
    for line in metrics.read_lines(str(tmp_path / 'a' / 'metrics.jsonl'))
  ]
  assert losses[-1] < 0.75 * losses[0]
  chex.assert_trees_all_equal(base.params, before)
  kinds = {x.dtype for x in jax.tree.leaves(base.params)}
  assert kinds == {jnp.dtype('bfloat16' if is_lora else 'float32')}
  # Every part that is trained has moved.
  fresh = _start(model, base)
  assert jax.tree.structure(fresh) == jax.tree.structure(model.params)
  params = jax.device_get(model.params)
  for name in ('q', 'v'):
    start = jax.device_get(fresh[name]['backbone'])
    for path, x in jax.tree_util.tree_leaves_with_path(
      params[name]['backbone']
    ):
      if not is_lora or path[-1].key == 'b':
        old = functools.reduce(lambda t, k: t[k.key], path, start)
        assert np.abs(x - old).max() > 1e-4, (name, path)
  if is_lora:
    _check_restart(episodes, config, base, tmp_path, model, val)


def _check_restart(episodes, config, base, tmp_path, model, val):
  """A run that goes on gives the same; its checkpoints hold no base."""
  done = tmp_path / 'a' / 'checkpoints' / str(config.num_steps)
  names = list(json.loads((done / 'leaves' / 'metadata').read_text()))
  assert 'params.q.backbone.layers.0.self_attn.q_proj.a' in names
  assert not [
    n for n in names if 'embed_tokens' in n or n.endswith('_proj.kernel')
  ]
  shutil.copytree(tmp_path / 'a', tmp_path / 'b')
  shutil.rmtree(tmp_path / 'b' / 'checkpoints' / str(config.num_steps))
  again, val_again = _fit(episodes, config, base, tmp_path / 'b')
  chex.assert_trees_all_equal(model, again)
  assert val == val_again
  steps = [
    line['step']
    for line in metrics.read_lines(str(tmp_path / 'b' / 'metrics.jsonl'))
  ]
  assert steps == [6, 12, 18, 24]


def test_only_heads(directory, episodes):
  config = _config(directory, **{'gemma.tuning': 'head'})
  base = gemma_base.load(config)
  model = _random_model(config, base, episodes)
  assert not model.params['q']['backbone'] and not model.params['v']['backbone']
  step = _gather(episodes, np.arange(4), np.zeros(4, np.int32))
  assert np.isfinite(value_model.state_value(model, step.history)).all()


def test_save_and_load(directory, base, logged, episodes, tmp_path):
  config = _config(directory)
  model = _random_model(config, base, episodes, num_members=2)
  train.save(str(tmp_path), model, _IDS)
  loaded = train.load(str(tmp_path))
  assert loaded.settings == model.settings
  chex.assert_trees_all_equal(loaded, model)
  step = _gather(episodes, np.arange(4), np.array([0, 1, 2, 0]))
  np.testing.assert_array_equal(
    value_model.scores(loaded, step.history, step.slate),
    value_model.scores(model, step.history, step.slate),
  )


def test_load_refuses_another_base(episodes, logged, user_model, tmp_path):
  directory = tiny_gemma.write(tmp_path / 'gemma')
  config = _config(directory)
  base = gemma_base.load(config)
  model = _random_model(config, base, episodes)
  train.save(str(tmp_path / 'value'), model, _IDS)
  tiny_gemma.write(directory, seed=1)
  with _raises(f'was trained on the Gemma {base.settings.fingerprint}, but'):
    train.load(str(tmp_path / 'value'))


def test_eight_devices_equal_one(directory, base, episodes):
  config = _config(directory, learning_rate=1e-4)
  settings = critics.settings_of(config, episodes, base)
  data = jax.tree.map(jnp.asarray, episodes)
  state = jax.jit(
    lambda key: iql.init(key, config, data, settings, base.params)
  )(jax.random.key(0))
  index = iql.batch_index(jax.random.key(1), 0, 3, 16, len(data))

  def update(state, index, both, axis_name=None):
    data, frozen = both
    return iql.update_many(
      state, index, data, config=config, axis_name=axis_name, frozen=frozen
    )

  one, one_metrics = jax.jit(update)(state, index, (data, base.frozen))
  many, many_metrics = parallel.pmap_update(update)(
    jax.tree.map(jnp.copy, state),
    parallel.shard(index, 8),
    parallel.replicate((data, base.frozen)),
  )
  close = functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5)
  jax.tree.map(close, one.params, many.params)
  jax.tree.map(close, one.target_params, many.target_params)
  for name in ('train/loss_v', 'train/loss_q', 'train/v_max', 'train/q_min'):
    close(one_metrics[name], many_metrics[name])


def test_policies_read_what_training_read(
  directory, base, world, user_model, logged, episodes
):
  config = _config(directory)
  model = _random_model(config, base, episodes)
  policy = policies.build(
    common.policy('pasta'),
    num_columns=SIZES.num_columns,
    value_model=model,
    response=expected_selection.learned(user_model),
  )
  seen = []
  choose = policy.choose

  def spy(history, candidates, key):
    decision = choose(history, candidates, key)
    seen.append((history, candidates, decision))
    return decision

  policy.choose = spy
  result = _interact(world, user_model, policy, _NUM_SESSIONS)
  for session in result.sessions:
    sessions_lib.check(session, 'here')
  again = _episodes(base, (result.sessions, result.features), user_model)

  @jax.jit
  def of_sessions(model, episodes):
    params = jax.tree.map(lambda x: x[0], model.params)
    context = episodes, model.constants, model.settings, model.frozen
    return (
      critics.state_values(params['v'], *context),
      critics.shown_values(params['q'], *context).mean(0),
    )

  values, shown = jax.device_get(of_sessions(model, again))
  assert len(seen) == SIZES.num_turns
  rows = np.arange(_NUM_SESSIONS)[:, None]
  for t, (history, candidates, decision) in enumerate(seen):
    state = jax.tree.map(lambda x, t=t: x[:, t], again.texts.state)
    chex.assert_trees_all_equal(history.texts, state)
    of_slate = jax.tree.map(
      lambda x, d=decision: np.asarray(x)[rows, d.slate], candidates.texts
    )
    chex.assert_trees_all_equal(
      of_slate, jax.tree.map(lambda x, t=t: x[:, t], again.texts.shown)
    )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
    close(value_model.state_value(model, history), values[:, t])
    picked = np.take_along_axis(
      np.asarray(decision.scores), np.asarray(decision.slate), 1
    )
    close(picked, shown[:, t])
    # The residual tells candidates apart.
    assert np.asarray(decision.scores).std(1).min() > 1e-4


def test_texts_beyond_a_session_are_empty(base, episodes, logged):
  records, _ = logged
  np.testing.assert_array_equal(episodes.texts.state.length > 0, episodes.valid)
  assert not episodes.texts.shown.ids[0, 1:].any()
  shown = episodes.texts.shown
  # A longer prompt might be cut.
  shortest = min(
    range(len(records)), key=lambda i: len(records[i].turns[0].prompts[1])
  )
  length = shown.length[shortest, 0, 1]
  tokens = base.settings.tokeniser.tokenizer.convert_ids_to_tokens(
    shown.ids[shortest, 0, 1, 1 : length - 1]
  )
  prompt = ' '.join(records[shortest].turns[0].prompts[1].split())
  assert ''.join(tokens).replace('▁', ' ').endswith(f'): {prompt}')


def test_chunks_and_the_belief(directory, base, episodes):
  """Chunks change no value; the belief does, unless it is off."""
  config = _config(directory, base='none')
  model = _random_model(config, base, episodes)
  step = _gather(episodes, np.arange(4), np.zeros(4, np.int32))

  def scores(step, **fields):
    settings = dataclasses.replace(model.settings, **fields)
    return value_model.scores(
      model.replace(settings=settings), step.history, step.slate
    )

  expected = np.asarray(scores(step))
  small = dataclasses.replace(model.settings.gemma, chunk_texts=3)
  np.testing.assert_allclose(scores(step, gemma=small), expected, atol=1e-5)
  moved = step.replace(
    history=step.history.replace(
      log_belief=np.log(np.float32(4 * [[0.98, 0.01, 0.01]]))
    )
  )
  assert np.abs(scores(moved) - expected).max() > 1e-4
  np.testing.assert_array_equal(
    scores(moved, belief='off'), scores(step, belief='off')
  )


@pytest.mark.parametrize(
  ('fields', 'match'),
  [
    ({'gemma.path': None}, "'gemma.path' is not set"),
    ({'gemma.path': '/no/where'}, '/no/where: no such model directory'),
    ({'gemma.tuning': 'some'}, "'gemma.tuning' is 'some'.*'lora', 'full'"),
    ({'gemma.dtype': 'float16'}, "'gemma.dtype' is 'float16'"),
    ({'gemma.max_tokens': 2}, "'gemma.max_tokens' is 2: expected at least 8"),
    ({'gemma.max_tokens': 200}, '200, but the Gemma at .* has 128 positions'),
    ({'gemma.chunk_texts': 0}, "'gemma.chunk_texts' is 0"),
    ({'credit': 'slate'}, "'credit' is 'slate'.*'gemma' does not have"),
    ({'backup': 'q_learning'}, "'backup' is 'q_learning'.*the shown ones only"),
  ],
)
def test_refuses(directory, fields, match):
  config = _config(directory)
  for name, value in fields.items():
    part, _, field = name.rpartition('.')
    (config[part] if part else config)[field] = value
  with _raises(match):
    gemma_base.load(config)


def test_features_alone_are_refused(directory, base, episodes):
  model = _random_model(_config(directory), base, episodes)
  step = _gather(episodes, np.arange(4), np.zeros(4, np.int32))
  with _raises("backbone 'gemma' reads texts, and was given features alone"):
    value_model.scores(model, step.history, step.slate.replace(texts=None))


def test_features_and_sessions_must_agree(base, logged, user_model, tmp_path):
  records, features = logged
  shorter = [dataclasses.replace(r, turns=r.turns[:1]) for r in records]
  with _raises('features hold turns that their sessions do not'):
    _episodes(base, (shorter, features), user_model)
  sessions_lib.write_shard(
    sessions_lib.shard_path(str(tmp_path), 0), records[:3]
  )
  ids = [records[2].session_id, records[0].session_id]
  found = sessions_lib.read_by_id(str(tmp_path), ids)
  assert [r.session_id for r in found] == ids
  with _raises('holds no session nobody'):
    sessions_lib.read_by_id(str(tmp_path), [*ids, 'nobody'])


def test_fingerprints_tell_models_apart(directory, tmp_path):
  fingerprint = gemma_model.fingerprint(str(directory))
  same = tiny_gemma.write(tmp_path / 'same', num_shards=1, num_layers=1)
  assert gemma_model.fingerprint(str(same)) == fingerprint
  other = tiny_gemma.write(tmp_path / 'other', seed=1, num_layers=1)
  assert gemma_model.fingerprint(str(other)) != fingerprint
  path = same / 'tokenizer.json'
  path.write_text(path.read_text() + '\n')
  assert gemma_model.fingerprint(str(same)) != fingerprint
