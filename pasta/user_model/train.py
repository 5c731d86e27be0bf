"""Fits a user model: phases, restarts, split-and-merge moves, early stopping.

A fit has one phase, or two: pre-training on large single-turn data sets, then
training on sequential data (paper, section 4). A phase is a sequence of calls
of `steps_per_call` steps. The first ones are short runs from different random
partitions, then come trials of moves from the best of them; the winner goes
on. Everything that a call changes is in `FitState`, and what it draws derives
from the root key and its number, so that a run that was cut off goes on
exactly where its last checkpoint stands.
"""

import os
from collections.abc import Mapping

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import checkpoint, errors, metrics, progress
from pasta.user_model import (
  datasets,
  em,
  evaluate,
  feeding,
  moves,
  prediction,
  scores,
  text_utility,
)
from pasta.user_model import heads as heads_lib
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel

# Columns of a data set that normalisation and text regression look at.
_MOST_COLUMNS = 65_536


@flax.struct.dataclass
class FitState:
  """What a call changes.

  Attributes:
    run: the run at work.
    base: where the trials of this round began.
    leader: the best of the short runs, or of this round's trials, so far.
    leader_objective: its objective [].
    leader_trial: which of the trials it is [], int32; 0 = no move.
    num_moves: moves taken [], int32.
    best: the model with the best held-out score, and that score [].
    best_step: when that was [], int32.
  """

  run: em.EMState
  base: em.EMState
  leader: em.EMState
  leader_objective: jax.Array
  leader_trial: jax.Array
  num_moves: jax.Array
  best: UserModel
  best_score: jax.Array
  best_step: jax.Array


def fit(
  data: Mapping[str, datasets.Dataset],
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
  directory: str,
  scorer: scores.Scorer | None = None,
) -> tuple[UserModel, dict[str, float]]:
  """Fits a user model; goes on from the directory's checkpoint if any.

  Args:
    data: data sets by name: sessions' features, or preference data on disk.
    config: `configs/train_user_model.py`; `config.sources` has a field for
      every data set.
    key: typed root key.
    directory: for checkpoints and metrics.
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
  parts = datasets.split(data, config, split_key)
  for name, part in parts.items():
    logging.info(
      'user model: %s: %d people to train on, %d held out, %d observations',
      name,
      part.train.num_users,
      part.held_out.num_users,
      part.train.num_observations + part.held_out.num_observations,
    )
  model = _initial_model(init_key, parts, config, scorer)
  people = sum(part.train.num_users for part in parts.values())
  if model.num_types > people:
    logging.warning(
      'user model: %d types for %d people: some will rest on the prior alone',
      model.num_types,
      people,
    )
  if config.pretrain.sources:
    phase = {name: parts[name] for name in config.pretrain.sources}
    settings = ml_collections.ConfigDict(config.to_dict())
    settings.num_steps = config.pretrain.num_steps
    where = os.path.join(directory, 'pretrain')
    model = Run(phase, settings, run_key, where)(model).best
  phase = {name: parts[name] for name in config.main_sources}
  settings = continued(config) if config.pretrain.sources else config
  state = Run(phase, settings, run_key, directory)(model)
  model = state.best
  found = {
    'best_step': int(state.best_step),
    'num_moves': int(state.num_moves),
  }
  first = phase[config.main_sources[0]]
  sessions = first.held_out_sessions
  if sessions is not None and sessions.num_users:
    model = evaluate.calibrate(model, sessions)
  if first.train.gather(first.train.row[:1])[0].ndim == 3:
    model, text_metrics = text_utility.fit(
      model,
      datasets.columns(first.train, _MOST_COLUMNS),
      datasets.columns(first.held_out, _MOST_COLUMNS)
      if first.held_out.num_users
      else None,
      config.text,
      key=text_key,
    )
    found |= text_metrics
  found |= _final_metrics(model, parts, config.main_sources[0])
  found['choice_scale'] = float(jnp.exp(model.choice_log_scale))
  return jax.device_get(model), found


def _final_metrics(
  model: UserModel, parts: Mapping[str, datasets.Split], main: str
) -> dict[str, float]:
  """Held-out metrics; those of the main data set have no prefix."""
  found = {}
  for name, part in parts.items():
    prefix = '' if name == main else f'{name}_'
    if part.held_out_sessions is not None:
      people = part.held_out_sessions
      if not people.num_users:
        people = part.train_sessions
      result = evaluate.evaluate(model, people)
    else:
      people = part.held_out if part.held_out.num_users else part.train
      result = prediction.evaluate(model, people, part.train)
    result['num_train_users'] = part.train.num_users
    result['num_held_out_users'] = part.held_out.num_users
    found |= {prefix + k: v for k, v in result.items()}
  return found


def _check_config(
  config: ml_collections.ConfigDict, data: Mapping[str, datasets.Dataset]
) -> None:
  for field in ('num_restarts', 'restart_steps', 'num_steps', 'steps_per_call'):
    if config[field] < 1:
      raise errors.PastaError(
        f'{field} is {config[field]}, expected at least 1'
      )
  fields = ['restart_steps', 'num_steps', 'checkpoint_steps']
  if config.num_move_rounds:
    fields.append('move_steps')
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
  wanted = {*config.main_sources, *config.pretrain.sources}
  if not config.main_sources or wanted != set(data):
    raise errors.PastaError(
      f'main_sources and pretrain.sources name {sorted(wanted)}, the data sets '
      f'are {sorted(data)}'
    )


def continued(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """The config of a phase that goes on from a fitted model."""
  phase = ml_collections.ConfigDict(config.to_dict())
  phase.num_restarts, phase.num_move_rounds = 0, 0
  phase.shared_steps, phase.start_steps, phase.anneal_steps = 0, 0, 0
  phase.start_temperature = config.end_temperature
  return phase


def _initial_model(
  key: jax.Array,
  parts: Mapping[str, datasets.Split],
  config: ml_collections.ConfigDict,
  scorer: scores.Scorer | None,
) -> UserModel:
  columns = [datasets.columns(p.train, _MOST_COLUMNS) for p in parts.values()]
  if scorer is not None:
    return model_lib.init(key, scorer, {}, *columns[0], config.text.hidden_dim)
  settings = heads_lib.HeadSettings(
    num_types=config.num_types,
    embedding_dim=columns[0][0].shape[-1],
    rank=config.rank,
    trunk_dim=config.trunk_dim,
    aggregation=config.aggregation,
  )
  return heads_lib.init_model(
    key, settings, columns, config.whitening_floor, config.text.hidden_dim
  )


class Run:
  """One phase: short runs, trials of moves, the winner's continuation."""

  def __init__(
    self,
    parts: Mapping[str, datasets.Split],
    config: ml_collections.ConfigDict,
    key: jax.Array,
    directory: str,
  ):
    """Plans a phase.

    Args:
      parts: the phase's data sets.
      config: `configs/train_user_model.py`, of this phase.
      key: typed key of starts and batches.
      directory: for checkpoints and metrics.
    """
    self._parts, self._config, self._directory = parts, config, directory
    batch_key, self._start_key, self._sample_key = jax.random.split(key, 3)
    train = {name: part.train for name, part in parts.items()}
    self._train = train
    self._feeder = feeding.Feeder(train, config, batch_key)
    self._people = {
      name: config.sources[name].weight * source.num_users
      for name, source in train.items()
    }
    per_call = config.steps_per_call
    self._short = config.restart_steps // per_call  # calls of a short run
    self._trial = config.move_steps // per_call  # calls of a trial
    self._trials_begin = self._short * config.num_restarts
    rounds = config.num_move_rounds if config.num_types > 1 else 0
    self._round = self._trial * (config.num_moves + 1)  # calls of a round
    self._main_begin = self._trials_begin + rounds * self._round
    self._proposals = None

  def __call__(self, start: UserModel) -> FitState:
    """Runs the phase from a model, or from its last checkpoint."""
    config, per_call = self._config, self._config.steps_per_call
    first = self._fresh(start, 0)
    state = FitState(
      run=first,
      base=first,
      leader=first,
      leader_objective=jnp.asarray(-jnp.inf),
      leader_trial=jnp.zeros((), jnp.int32),
      num_moves=jnp.zeros((), jnp.int32),
      best=start,
      best_score=jnp.asarray(-jnp.inf),
      best_step=jnp.zeros((), jnp.int32),
    )
    left = (config.num_steps - config.restart_steps) // per_call
    if not config.num_restarts:
      left = config.num_steps // per_call
    checkpoints = os.path.join(self._directory, 'checkpoints')
    with checkpoint.Checkpointer(checkpoints) as checkpointer:
      call, state = checkpointer.restore(state) or (0, state)
      bar = progress.progress(
        total=(self._main_begin + left) * per_call,
        unit='step',
        desc='user model',
      )
      bar.update(call * per_call)
      writer = metrics.MetricWriter(
        self._directory, resume_step=call * per_call + 1
      )
      with writer, bar:
        while call < self._main_begin or not self._is_over(state):
          state = self._prepare(state, start, call)
          state, line = self._advance(state)
          call, state = self._conclude(state, call, line)
          if call >= self._main_begin:
            state, found = self._judge(state)
            line |= found
          writer.write(call * per_call, line)
          bar.update(call * per_call - bar.n)
          bar.set_postfix_str(
            f'log-likelihood {line["train/log_likelihood"]:.4f} a person'
          )
          is_last = call >= self._main_begin and self._is_over(state)
          if is_last or (call * per_call) % config.checkpoint_steps == 0:
            checkpointer.save(call, state)
    return state

  def _fresh(self, start: UserModel, restart: int) -> em.EMState:
    kinds = self._config.start_sharpness
    return em.init(
      jax.random.fold_in(self._start_key, restart),
      start,
      self._people,
      kinds[restart % len(kinds)],
      self._config,
    )

  def _is_over(self, state: FitState) -> bool:
    """Whether the winner's continuation has ended."""
    if int(state.run.step) >= self._config.num_steps:
      return True
    waited = int(state.run.step) - int(state.best_step)
    return bool(
      np.isfinite(state.best_score) and waited >= self._config.patience_steps
    )

  def _prepare(self, state: FitState, start: UserModel, call: int) -> FitState:
    """The state in which a call begins, where a run of its own begins."""
    if call < self._trials_begin:
      if call % self._short == 0:
        state = state.replace(run=self._fresh(start, call // self._short))
    elif call < self._main_begin:
      trial, within = divmod(
        (call - self._trials_begin) % self._round, self._trial
      )
      if within == 0 and trial == 0:
        self._proposals = None
        state = state.replace(
          base=state.leader,
          run=state.leader,
          leader_objective=jnp.asarray(-jnp.inf),
        )
      elif within == 0:
        state = state.replace(run=self._move(state.base, trial))
    return state

  def _move(self, base: em.EMState, trial: int) -> em.EMState:
    """The state after the trial's move; fewer than planned repeat the first."""
    if self._proposals is None:
      sample = moves.sample(self._train, self._config, self._sample_key)
      self._proposals = moves.propose(base.model, sample, self._config)
    found, direction = self._proposals
    move = found[(trial - 1) % len(found)]
    return moves.apply(base, move, direction)

  def _advance(self, state: FitState) -> tuple[FitState, dict[str, float]]:
    first_step = int(state.run.step)
    # A copy: the step donates its state, and a leader must outlive it.
    run, found = self._feeder.run(
      jax.tree.map(jnp.copy, state.run), self._config.steps_per_call
    )
    self._check_finite(found, first_step)
    line = {f'train/{k}': float(v.mean()) for k, v in found.items()}
    return state.replace(run=run), line

  def _check_finite(self, found, first_step: int) -> None:
    """Names the first step with a non-finite loss, and the people in it."""
    bad = np.flatnonzero(~np.isfinite(found['loss']))
    if not bad.size:
      return
    step = first_step + int(bad[0])
    people = []
    for name, plan in self._feeder.plans(step).items():
      source = self._train[name]
      at = np.searchsorted(source.user, np.unique(plan.user)[:3])
      people += [source.user_ids[i] for i in at]
    metrics.check_finite(
      {'train/loss': found['loss'][bad[0]]},
      step,
      f'of people {", ".join(people)}, …',
    )

  def _conclude(
    self, state: FitState, call: int, line: dict[str, float]
  ) -> tuple[int, FitState]:
    """The number of calls after this one, and what its end decides."""
    objective, call = line['train/objective'], call + 1
    if call <= self._trials_begin and call % self._short == 0:
      logging.info('user model: short run ended at objective %.4f', objective)
      state = self._elect(state, objective, 0)
    elif self._trials_begin < call <= self._main_begin:
      done = (call - self._trials_begin - 1) % self._round + 1
      trial = (done - 1) // self._trial
      if done % self._trial == 0:
        logging.info('user model: move %d: objective %.4f', trial, objective)
        state = self._elect(state, objective, trial)
      if done == self._round:
        taken = int(state.leader_trial) > 0
        state = state.replace(num_moves=state.num_moves + taken)
        if not taken:  # No move helps: no further rounds.
          call = self._main_begin
    if call == self._main_begin and self._main_begin:
      state = state.replace(run=state.leader)
    return call, state

  @staticmethod
  def _elect(state: FitState, objective: float, trial: int) -> FitState:
    """Makes a finished run the leader if its objective is best."""
    if objective <= float(state.leader_objective):
      return state
    return state.replace(
      leader=state.run,
      leader_objective=jnp.asarray(objective, jnp.float32),
      leader_trial=jnp.asarray(trial, jnp.int32),
    )

  def _judge(self, state: FitState) -> tuple[FitState, dict[str, float]]:
    """Scores the run's model on held-out people; keeps it if it is the best."""
    score, found = self._score(state.run.model)
    if score is None:  # Nobody held out: the last is the best.
      score = float(state.run.step)
    if score < float(state.best_score):
      return state, found
    return state.replace(
      best=state.run.model,
      best_score=jnp.asarray(score, jnp.float32),
      best_step=state.run.step,
    ), found

  def judge(self, model: UserModel) -> float | None:
    """Held-out log-likelihood per observation; None where nobody is held out.

    Data sets count by the weight of their people.
    """
    return self._score(model)[0]

  def _score(self, model: UserModel) -> tuple[float | None, dict[str, float]]:
    found, score, total = {}, 0.0, 0.0
    for name, part in self._parts.items():
      if not part.held_out.num_users:
        continue
      if part.held_out_sessions is not None:
        values = evaluate.summarise(
          evaluate.predict(model, part.held_out_sessions)
        )
        kind = 'choice'
      else:
        values = prediction.evaluate(model, part.held_out)
        kind = next(iter(part.held_out.feedback))
      prefix = '' if len(self._parts) == 1 else f'{name}_'
      found |= {f'val/{prefix}{k}': v for k, v in values.items()}
      score += self._people[name] * values[f'{kind}_log_likelihood']
      total += self._people[name]
    return (score / total if total else None), found
