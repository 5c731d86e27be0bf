"""Fits a user model: one phase of EM, or two, then the text regression.

Two phases are the paper's (section 4): pre-training on large single-turn data
sets, then training on sequential data.
"""

import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import errors
from pasta.user_model import (
  belief,
  evaluate,
  feeding,
  habits,
  saved,
  scores,
  sources,
  text_utility,
)
from pasta.user_model import heads as heads_lib
from pasta.user_model import model as model_lib
from pasta.user_model import phase as phase_lib
from pasta.user_model.model import UserModel

# Columns of a data set that normalisation and text regression look at.
_MOST_COLUMNS = 65_536


def fit(
  data: Mapping[str, sources.Dataset],
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
  directory: str,
  update: feeding.Update,
  scorer: scores.Scorer | None = None,
) -> tuple[UserModel, dict[str, float]]:
  """Fits a user model; goes on from the directory's checkpoint if any.

  Args:
    data: data sets by name: sessions' features, or preference data on disk.
    config: `configs/train_user_model.py`; `config.sources` has a field for
      every data set.
    key: typed root key.
    directory: for checkpoints and metrics.
    update: one step, `em.update`.
    scorer: the form of the scores; None: the heads that config describes.

  Returns:
    The model with the best held-out log-likelihood, and metrics on the
    held-out people ('val' figures are those that the stop was chosen by, hence
    slightly flattering).

  Raises:
    PastaError: data are broken or hold nothing to learn from, or the loss
      became non-finite (step and people are named).
    ValueError: a config field is out of range.
  """
  _check_config(config, data)
  split_key, init_key, run_key, text_key = jax.random.split(key, 4)
  parts = sources.split(data, config, split_key)
  for name, part in parts.items():
    logging.info(
      'user model: %s: %d people to train on, %d held out, %d observations',
      name,
      part.train.num_users,
      part.held_out.num_users,
      part.train.num_observations + part.held_out.num_observations,
    )
  _check_habits(config, parts)
  columns = [sources.columns(p.train, _MOST_COLUMNS) for p in parts.values()]
  model = _initial_model(init_key, columns, config, scorer).replace(
    feedback_weights={
      kind: jnp.asarray(1.0 if weight is None else weight, jnp.float32)
      for kind, weight in _weights(config).items()
    },
    widening=jnp.asarray(config.belief.widening or 0.0, jnp.float32),
  )
  people = sum(part.train.num_users for part in parts.values())
  if model.num_types > people:
    logging.warning(
      'user model: %d types for %d people: some will rest on the prior alone',
      model.num_types,
      people,
    )

  def phase_of(used, settings, *folder):
    where = os.path.join(directory, *folder)
    # Every phase draws its starts and batches anew from the same key.
    phase_key = jax.random.clone(run_key)
    return phase_lib.Phase(used, settings, phase_key, where, update)

  if config.pretrain.sources:
    used = {name: parts[name] for name in config.pretrain.sources}
    settings = ml_collections.ConfigDict(config.to_dict())
    settings.num_steps = config.pretrain.num_steps
    model = phase_of(used, settings, 'pretrain')(model).best
  used = {name: parts[name] for name in config.main_sources}
  settings = phase_lib.continued(config) if config.pretrain.sources else config
  phase = phase_of(used, settings)
  state = phase(model)
  model, found = state.best, phase.describe(state)
  first = used[config.main_sources[0]]
  held_out = None
  if first.held_out.num_users:
    if first.held_out.num_places is not None:  # Sessions: beliefs matter.
      if model.habits:
        model = habits.fit(model, first.held_out, config)
      else:
        model = evaluate.calibrate(model, first.held_out)
      free = [k for k, weight in _weights(config).items() if weight is None]
      model = evaluate.tune_weights(model, first.held_out, free)
      if config.belief.widening is None:
        model = evaluate.tune_widening(model, first.held_out)
    held_out = sources.columns(first.held_out, _MOST_COLUMNS)
  model, text_metrics = text_utility.fit(
    model,
    columns[list(parts).index(config.main_sources[0])],
    held_out,
    config.text,
    key=text_key,
  )
  found |= text_metrics
  baseline = None
  if config.baseline_steps and model.num_types > 1:
    settings = _baseline_config(config)
    one = scorer and scorer.clone(num_types=1)
    # As the many types began, so does the one.
    one_key = jax.random.clone(init_key)
    start = _initial_model(one_key, columns, settings, one)
    baseline = phase_of(used, settings, saved.ONE_TYPE)(start).best
    saved.save(
      os.path.join(directory, saved.ONE_TYPE),
      jax.device_get(baseline),
      {'encoder_id': sources.encoder_id(data)},
    )
  found |= _final_metrics(model, parts, config.main_sources[0], baseline)
  found['choice_scale'] = float(jnp.exp(model.choice_log_scale))
  found['widening'] = float(model.widening)
  found |= {
    f'{kind}_weight': float(weight)
    for kind, weight in model.feedback_weights.items()
  }
  return jax.device_get(model), found


def _weights(config: ml_collections.ConfigDict) -> dict[str, float | None]:
  """How much each kind of feedback counts in beliefs; None: to be tuned."""
  return {kind: config.belief[kind] for kind in belief.KINDS}


def _baseline_config(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """The config of the same fit with one type: a single run."""
  settings = ml_collections.ConfigDict(config.to_dict())
  settings.num_types, settings.num_restarts = 1, 1
  settings.restart_steps = settings.num_steps = config.baseline_steps
  settings.num_move_rounds = 0
  return settings


def _final_metrics(
  model: UserModel,
  parts: Mapping[str, sources.Split],
  main: str,
  baseline: UserModel | None,
) -> dict[str, float]:
  """Held-out metrics; those of the main data set have no prefix."""
  found = {}
  for name, part in parts.items():
    prefix = '' if name == main else f'{name}_'
    nobody = not part.held_out.num_users
    people = part.train if nobody else part.held_out
    result = evaluate.evaluate(model, people, part.train, baseline)
    result['num_train_users'] = part.train.num_users
    result['num_held_out_users'] = part.held_out.num_users
    found |= {prefix + k: v for k, v in result.items()}
  return found


def _check_config(
  config: ml_collections.ConfigDict, data: Mapping[str, sources.Dataset]
) -> None:
  errors.check_least(
    config, num_restarts=1, restart_steps=1, num_steps=1, steps_per_call=1
  )
  fields = ['restart_steps', 'num_steps', 'checkpoint_steps']
  if config.num_move_rounds:
    fields.append('move_steps')
  if config.baseline_steps:
    fields.append('baseline_steps')
  steps = {field: config[field] for field in fields}
  if config.pretrain.sources:
    steps['pretrain.num_steps'] = config.pretrain.num_steps
  for field, value in steps.items():
    if value % config.steps_per_call:
      raise errors.PastaError(
        f'{field} is {value}, expected a multiple of steps_per_call, '
        f'{config.steps_per_call}'
      )
  least = config.restart_steps + config.num_move_rounds * config.move_steps
  for field in ('num_steps', 'pretrain.num_steps'):
    if field in steps and steps[field] < least:
      raise errors.PastaError(
        f'{field} is {steps[field]}, expected at least restart_steps + '
        f'num_move_rounds * move_steps, {least}'
      )
  given = {k: 0 for k, weight in _weights(config).items() if weight is not None}
  errors.check_least(config.belief, 'belief.{}', **given)
  widening = config.belief.widening
  if widening is not None and not 0 <= widening <= 1:
    raise errors.PastaError(
      f'belief.widening is {widening}, expected a share in [0, 1]'
    )
  wanted = {*config.main_sources, *config.pretrain.sources}
  if not config.main_sources or wanted != set(data):
    raise errors.PastaError(
      f'main_sources and pretrain.sources name {sorted(wanted)}, the data sets '
      f'are {sorted(data)}'
    )


def _check_habits(
  config: ml_collections.ConfigDict, parts: Mapping[str, sources.Split]
) -> None:
  """Raises PastaError where no data can tell how people choose; counts them."""
  with_choices = {
    k: p for k, p in parts.items() if 'choice' in p.train.feedback
  }
  if (config.lapse or config.position) and not with_choices:
    field = 'lapse' if config.lapse else 'position'
    raise errors.PastaError(
      f'{field} is True, but none of {", ".join(parts)} holds slate choices to '
      'learn it from'
    )
  if not config.position:
    return
  missing = {
    name: (part.train.num_without_order, part.train.num_observations)
    for name, part in with_choices.items()
  }
  if all(without == num for without, num in missing.values()):
    raise errors.PastaError(
      'position is True, but no choice of '
      f'{", ".join(with_choices)} has its on-screen order: extract features of '
      'sessions that have it'
    )
  for name, (without, num) in missing.items():
    if without:
      logging.warning(
        'user model: %s: %d of %d choices have no on-screen order: no place '
        'attracts there',
        name,
        without,
        num,
      )


def _initial_model(
  key: jax.Array,
  columns: Sequence[tuple[np.ndarray, np.ndarray]],
  config: ml_collections.ConfigDict,
  scorer: scores.Scorer | None,
) -> UserModel:
  if scorer is not None:
    model = model_lib.init(key, scorer, {}, *columns[0], config.text.hidden_dim)
    return model.replace(habits=habits.initial(config))
  settings = heads_lib.HeadSettings(
    num_types=config.num_types,
    embedding_dim=columns[0][0].shape[-1],
    rank=config.rank,
    trunk_dim=config.trunk_dim,
    aggregation=config.aggregation,
  )
  model = heads_lib.init_model(
    key, settings, columns, config.whitening_floor, config.text.hidden_dim
  )
  return model.replace(habits=habits.initial(config))
