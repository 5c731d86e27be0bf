"""Fits a user model to sessions: restarts, early stopping, text regression.

A fit is a sequence of calls of `steps_per_call` steps. The first ones are
short runs from different random partitions; the best of them by the training
objective goes on. Everything that a call changes is in `FitState`, and what
it draws derives from the root key and its number, so that a run that was cut
off goes on exactly where its last checkpoint stands.
"""

import functools
import json
import os
from typing import Any

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import checkpoint, errors, metrics, parallel, progress, workdir
from pasta.features import SessionFeatures
from pasta.user_model import data as data_lib
from pasta.user_model import em, evaluate, text_utility
from pasta.user_model import heads as heads_lib
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel

_INFO = 'user_model.json'


@flax.struct.dataclass
class FitState:
  """What a call changes.

  Attributes:
    run: the run at work.
    leader: the best of the short runs so far, and its objective [].
    best: the model with the best held-out score, and that score [].
    best_step: when that was [], int32.
  """

  run: em.EMState
  leader: em.EMState
  leader_objective: jax.Array
  best: UserModel
  best_score: jax.Array
  best_step: jax.Array


def fit(
  features: SessionFeatures,
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
  directory: str,
) -> tuple[UserModel, dict[str, float]]:
  """Fits a user model; goes on from the directory's checkpoint if any.

  Args:
    features: sessions of at least one person.
    config: `configs/train_user_model.py`.
    key: typed root key.
    directory: for checkpoints and metrics.

  Returns:
    The model with the best held-out choice log-likelihood, and metrics on the
    held-out people ('val' figures are those that the stop was chosen by, hence
    slightly flattering).

  Raises:
    PastaError: features are broken or hold no choice, or the loss became
      non-finite (step and people are named).
    ValueError: a config field is out of range.
  """
  _check_config(config)
  data, user_ids = data_lib.from_features(
    features, config.max_observations, config.membership
  )
  split_key, init_key, run_key, text_key = jax.random.split(key, 4)
  train, held_out = data_lib.split(data, config.held_out_share, split_key)
  logging.info(
    'user model: %d people to train on, %d held out, up to %d choices each',
    train.num_users,
    held_out.num_users,
    data.mask.shape[1],
  )
  start = _initial_model(init_key, train, config)
  state = _run(start, train, held_out, user_ids, config, run_key, directory)
  model = state.best
  if held_out.num_users:
    model = evaluate.calibrate(model, held_out)
  model, text_metrics = text_utility.fit(
    model, train, held_out, config.text, key=text_key
  )
  found = evaluate.evaluate(model, held_out if held_out.num_users else train)
  found |= text_metrics
  found['best_step'] = int(state.best_step)
  found['num_train_users'] = train.num_users
  found['num_held_out_users'] = held_out.num_users
  found['choice_scale'] = float(jnp.exp(model.choice_log_scale))
  return jax.device_get(model), found


def _check_config(config: ml_collections.ConfigDict) -> None:
  for field in (
    'num_restarts',
    'restart_steps',
    'num_steps',
    'batch_users',
    'steps_per_call',
  ):
    if config[field] < 1:
      raise errors.PastaError(
        f'{field} is {config[field]}, expected at least 1'
      )
  for field in ('restart_steps', 'num_steps', 'checkpoint_steps'):
    if config[field] % config.steps_per_call:
      raise errors.PastaError(
        f'{field} is {config[field]}, expected a multiple of steps_per_call, '
        f'{config.steps_per_call}'
      )
  if config.restart_steps > config.num_steps:
    raise errors.PastaError(
      f'restart_steps is {config.restart_steps}, expected at most num_steps, '
      f'{config.num_steps}'
    )


def _initial_model(
  key: jax.Array, train: data_lib.UserData, config: ml_collections.ConfigDict
) -> UserModel:
  settings = heads_lib.HeadSettings(
    num_types=config.num_types,
    embedding_dim=train.text.shape[-1],
    rank=config.rank,
    trunk_dim=config.trunk_dim,
    aggregation=config.aggregation,
  )
  constants = heads_lib.normalisation(
    train.text[train.mask].reshape(-1, train.text.shape[-1]),
    train.image[train.mask].reshape(-1, *train.image.shape[3:]),
    config.whitening_floor,
  )
  return model_lib.init(key, settings, constants, config.text.hidden_dim)


def batch_indices(
  key: jax.Array, num_users: int, batch: int, first_step: int, num_steps: int
) -> np.ndarray:
  """Positions of the people in each step's batch, int [num_steps, batch].

  Every epoch is a permutation of its own, less the remainder.
  """
  per_epoch = num_users // batch
  rows, epoch, order = [], -1, None
  for step in range(first_step, first_step + num_steps):
    if step // per_epoch != epoch:
      epoch = step // per_epoch
      order = np.asarray(
        jax.random.permutation(jax.random.fold_in(key, epoch), num_users)
      )
    at = step % per_epoch * batch
    rows.append(order[at : at + batch])
  return np.stack(rows)


def _stepper(
  config: ml_collections.ConfigDict, train: data_lib.UserData
) -> Any:
  """Returns steps(run, index [S, B]) -> (run, metrics [S])."""
  num_devices = config.num_devices or jax.local_device_count()
  if num_devices == 1:
    on_device = jax.tree.map(jnp.asarray, train)
    scanned = jax.jit(
      functools.partial(em.update_many, config=config), donate_argnums=0
    )
    return lambda run, index: scanned(run, on_device, jnp.asarray(index))

  def step(run, batch, key, *, axis_name):
    del key  # The start's noise derives from people, alike on all devices.
    return em.update(run, batch, config=config, axis_name=axis_name)

  stepped = parallel.pmap_update(step, num_devices=num_devices)

  def steps(run, index):
    rows = []
    for row in index:
      batch = parallel.shard(train.select(row), num_devices)
      run, row_metrics = stepped(run, batch, run.start_key)
      rows.append(row_metrics)
    return run, jax.tree.map(lambda *x: jnp.stack(x), *rows)

  return steps


def _run(
  start: UserModel,
  train: data_lib.UserData,
  held_out: data_lib.UserData,
  user_ids: tuple[str, ...],
  config: ml_collections.ConfigDict,
  key: jax.Array,
  directory: str,
) -> FitState:
  """All calls: short runs, then the leader's continuation."""
  per_call = config.steps_per_call
  short = config.restart_steps // per_call  # calls of a short run
  main_begin = short * config.num_restarts
  num_calls = main_begin + (config.num_steps - config.restart_steps) // per_call
  batch = min(config.batch_users, train.num_users)
  batch_key, start_key = jax.random.split(key)

  def fresh(restart: int) -> em.EMState:
    return em.init(
      jax.random.fold_in(start_key, restart), start, train.num_users, config
    )

  first = fresh(0)
  state = FitState(
    run=first,
    leader=first,
    leader_objective=jnp.asarray(-jnp.inf),
    best=start,
    best_score=jnp.asarray(-jnp.inf),
    best_step=jnp.zeros((), jnp.int32),
  )
  steps = _stepper(config, train)
  checkpoints = os.path.join(directory, 'checkpoints')
  with checkpoint.Checkpointer(checkpoints) as checkpointer:
    call, state = checkpointer.restore(state) or (0, state)
    bar = progress.progress(
      total=num_calls * per_call, unit='step', desc='user model'
    )
    bar.update(call * per_call)
    writer = metrics.MetricWriter(directory, resume_step=call * per_call + 1)
    with writer, bar:
      while call < num_calls:
        if call < main_begin and call % short == 0:
          state = state.replace(run=fresh(call // short))
        first_step = int(state.run.step)
        index = batch_indices(
          batch_key, train.num_users, batch, first_step, per_call
        )
        # A copy: the step donates its state, and a leader must outlive it.
        run, found = steps(jax.tree.map(jnp.copy, state.run), index)
        found = jax.device_get(found)
        _check_finite(found, first_step, train, index, user_ids)
        state = state.replace(run=run)
        call += 1
        line = {f'train/{k}': float(v.mean()) for k, v in found.items()}
        if call <= main_begin and call % short == 0:
          state = _elect(state, line['train/objective'])
          if call == main_begin:
            state = state.replace(run=state.leader)
        if call >= main_begin:
          state, scores = _judge(state, held_out)
          line |= scores
        writer.write(call * per_call, line)
        bar.update(per_call)
        bar.set_postfix_str(
          f'log-likelihood {line["train/choice_log_likelihood"]:.4f} a choice'
        )
        waited = int(state.run.step) - int(state.best_step)
        is_last = call == num_calls
        if call >= main_begin and waited >= config.patience_steps:
          logging.info('user model: no gain for %d steps, stopping', waited)
          is_last, num_calls = True, call
        if is_last or (call * per_call) % config.checkpoint_steps == 0:
          checkpointer.save(call, state)
  return state


def _elect(state: FitState, objective: float) -> FitState:
  """Makes a finished short run the leader if its objective is best."""
  logging.info('user model: short run ended at objective %.4f', objective)
  if objective <= float(state.leader_objective):
    return state
  return state.replace(
    leader=state.run, leader_objective=jnp.asarray(objective, jnp.float32)
  )


def _judge(
  state: FitState, held_out: data_lib.UserData
) -> tuple[FitState, dict[str, float]]:
  """Scores the run's model on held-out people; keeps it if it is the best."""
  scores, score = {}, np.inf
  if held_out.num_users:
    found = evaluate.summarise(evaluate.predict(state.run.model, held_out))
    scores = {f'val/{k}': v for k, v in found.items()}
    score = found['choice_log_likelihood']
  if score < float(state.best_score):
    return state, scores
  return state.replace(
    best=state.run.model,
    best_score=jnp.asarray(score, jnp.float32),
    best_step=state.run.step,
  ), scores


def _check_finite(found, first_step, train, index, user_ids) -> None:
  """Names the first step with a non-finite loss, and the people in it."""
  bad = np.flatnonzero(~np.isfinite(found['loss']))
  if bad.size:
    people = [user_ids[u] for u in train.user[index[bad[0]]][:3]]
    metrics.check_finite(
      {'train/loss': found['loss'][bad[0]]},
      first_step + int(bad[0]),
      f'of people {", ".join(people)}, …',
    )


def save(directory: str, model: UserModel, info: dict[str, Any]) -> None:
  """Writes a fitted model.

  Args:
    directory: where to.
    model: the user model.
    info: plain values; must hold 'encoder_id'.
  """
  if 'encoder_id' not in info:
    raise errors.PastaError(
      'info lacks encoder_id, which says what the model reads'
    )
  checkpoint.save_params(os.path.join(directory, 'model'), model)
  content = {
    'settings': vars(model.settings),
    'text_hidden_dim': int(model.text['w1'].shape[1]),
    'info': dict(info),
  }
  workdir.atomic_write(
    os.path.join(directory, _INFO), json.dumps(content, indent=2) + '\n'
  )


def load_info(directory: str) -> dict[str, Any]:
  """What was said about the model when it was saved, e.g. 'encoder_id'."""
  return _read(directory)['info']


def load(directory: str, encoder_id: str | None = None) -> UserModel:
  """Reads a fitted model.

  Args:
    directory: as given to `save`.
    encoder_id: the encoder that will make its inputs; None checks nothing.

  Raises:
    PastaError: no model there, a damaged one, or one of another encoder.
  """
  content = _read(directory)
  made_by = content['info']['encoder_id']
  if encoder_id is not None and encoder_id != made_by:
    raise errors.PastaError(
      f'{directory}: the user model reads features of encoder {made_by}, not '
      f'of {encoder_id}; train it again on features of that encoder'
    )
  settings = heads_lib.HeadSettings(**content['settings'])
  dim = settings.embedding_dim
  constants = {
    'image_mean': jnp.zeros((dim,)),
    'image_whiten': jnp.zeros((dim, dim)),
    'cosine_mean': jnp.zeros(()),
    'cosine_std': jnp.zeros(()),
  }
  abstract = jax.eval_shape(
    lambda key: model_lib.init(
      key, settings, constants, content['text_hidden_dim']
    ),
    jax.random.key(0),
  )
  return checkpoint.load_params(os.path.join(directory, 'model'), abstract)


def _read(directory: str) -> dict[str, Any]:
  path = os.path.join(directory, _INFO)
  if not os.path.exists(path):
    raise errors.PastaError(
      f'{directory}: no user model there (expected {_INFO}); run '
      'launch.train_user_model first'
    )
  content = workdir.read_json(path)
  missing = {'settings', 'text_hidden_dim', 'info'} - set(content)
  if missing or 'encoder_id' not in content['info']:
    raise errors.PastaError(
      f'{path}: lacks {sorted(missing) or "info.encoder_id"}'
    )
  return content
