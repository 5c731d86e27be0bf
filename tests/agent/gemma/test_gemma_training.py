"""A value function with the backbone 'gemma' learns, on any devices."""

import functools
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import learner
import numpy as np
import pytest

from pasta import metrics, parallel
from pasta.agent import backbones, critics, iql
from pasta.agent.gemma import base as gemma_base


def _start(model, base):
  """Where the backbones of f and v started: a LoRA's B is 0 there."""
  init = functools.partial(
    backbones.of('gemma').init_params,
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
  config = learner.make_config(directory, **fields)
  base = gemma_base.load(config)
  before = jax.tree.map(np.array, base.params)
  episodes = learner.read_episodes(base, logged, user_model)
  model, val = learner.fit(episodes, config, base, tmp_path / 'a')
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
  again, val_again = learner.fit(episodes, config, base, tmp_path / 'b')
  chex.assert_trees_all_equal(model, again)
  assert val == val_again
  steps = [
    line['step']
    for line in metrics.read_lines(str(tmp_path / 'b' / 'metrics.jsonl'))
  ]
  assert steps == [6, 12, 18, 24]


def test_only_heads(directory, episodes):
  config = learner.make_config(directory, **{'gemma.tuning': 'head'})
  base = gemma_base.load(config)
  model = learner.random_model(config, base, episodes)
  assert not model.params['q']['backbone'] and not model.params['v']['backbone']
  params = jax.tree.map(lambda x: x[0], model.params)
  v = jax.jit(critics.state_values, static_argnums=3)(
    params['v'], episodes, model.constants, model.settings, model.frozen
  )
  assert np.isfinite(v).all()


def test_eight_devices_equal_one(directory, base, episodes):
  config = learner.make_config(directory, learning_rate=1e-4)
  settings = critics.settings_of(config, episodes, base.settings)
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
