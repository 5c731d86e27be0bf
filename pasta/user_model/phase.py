"""One phase of a fit: restarts, rounds of moves, the best run's continuation.

A phase is a sequence of calls of `steps_per_call` steps:

  restarts      short runs from different random partitions; the one with the
                best objective leads
  moves         rounds of trials, each of which goes on from the leader for a
                while: trial 0 as it is, the others after a split-and-merge
                move; the best trial leads, and a round that trial 0 wins is
                the last
  continuation  the leader goes on until its steps are over or held-out people
                are predicted no better; the best model on the way is kept

`Schedule` says where a call stands in it. Everything that a call changes is in
`FitState`, and what it draws derives from the phase's key and the call's
number, so that a phase that was cut off goes on exactly where its last
checkpoint stands.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import checkpoint, metrics, progress
from pasta.user_model import em, evaluate, feeding, moves, sources
from pasta.user_model.model import UserModel

_RESTARTS, _MOVES, _CONTINUATION = 'restarts', 'moves', 'continuation'


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
    restart_objectives: where each short run ended [R]; NaN = not yet.
    best: the model with the best held-out score, and that score [].
    best_step: when that was [], int32.
  """

  run: em.EMState
  base: em.EMState
  leader: em.EMState
  leader_objective: jax.Array
  leader_trial: jax.Array
  num_moves: jax.Array
  restart_objectives: jax.Array
  best: UserModel
  best_score: jax.Array
  best_step: jax.Array


@jax.jit
def _copy(state: em.EMState) -> em.EMState:
  return jax.tree.map(jnp.copy, state)


def continued(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """The config of a phase that goes on from a fitted model."""
  phase = ml_collections.ConfigDict(config.to_dict())
  phase.num_restarts, phase.num_move_rounds = 0, 0
  phase.shared_steps, phase.start_steps, phase.anneal_steps = 0, 0, 0
  phase.start_temperature = config.end_temperature
  return phase


class Place(NamedTuple):
  """Where a call stands in a phase.

  Attributes:
    part: 'restarts', 'moves' or 'continuation'.
    run: number of the restart, or of the trial in its round.
    is_first: of the run's calls; of the continuation none is.
    is_last: likewise.
  """

  part: str
  run: int = 0
  is_first: bool = False
  is_last: bool = False


class Schedule:
  """The sequence of a phase's calls.

  Attributes:
    per_call: steps of a call.
    moves_begin: number of the first call of the moves.
    main_begin: number of the first call of the continuation.
    most_steps: of all calls, if all rounds are needed and patience never ends.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    self.per_call = config.steps_per_call
    self._short = config.restart_steps // self.per_call  # calls of a restart
    self._trial = config.move_steps // self.per_call  # calls of a trial
    self._round = self._trial * (config.num_moves + 1)  # calls of a round
    self.moves_begin = self._short * config.num_restarts
    self.main_begin = self.moves_begin + config.num_move_rounds * self._round
    # The leader has the steps of its restart behind it.
    begun = config.restart_steps if config.num_restarts else 0
    most = self.main_begin + (config.num_steps - begun) // self.per_call
    self.most_steps = most * self.per_call

  def __call__(self, call: int) -> Place:
    """Where the call with this number stands."""
    if call < self.moves_begin:
      run, within = divmod(call, self._short)
      return Place(_RESTARTS, run, within == 0, within + 1 == self._short)
    if call < self.main_begin:
      in_round = (call - self.moves_begin) % self._round
      run, within = divmod(in_round, self._trial)
      return Place(_MOVES, run, within == 0, within + 1 == self._trial)
    return Place(_CONTINUATION)


class Phase:
  """See the module's docstring; call it with the model to start from."""

  def __init__(
    self,
    parts: Mapping[str, sources.Split],
    config: ml_collections.ConfigDict,
    key: jax.Array,
    directory: str,
    update: feeding.Update,
  ):
    """Plans a phase.

    Args:
      parts: the phase's data sets.
      config: `configs/train_user_model.py`, of this phase.
      key: typed key of starts and batches.
      directory: for checkpoints and metrics.
      update: one step, `em.update`.
    """
    self._parts, self._config, self._directory = parts, config, directory
    batch_key, self._start_key, self._sample_key = jax.random.split(key, 3)
    train = {name: part.train for name, part in parts.items()}
    self._train = train
    self._feeder = feeding.Feeder(train, config, batch_key, update)
    self._people = {
      name: config.sources[name].weight * source.num_users
      for name, source in train.items()
    }
    self._schedule = Schedule(config)
    self._proposals = None

  def __call__(self, start: UserModel) -> FitState:
    """Runs the phase from a model, or from its last checkpoint."""
    config, schedule = self._config, self._schedule
    per_call = schedule.per_call
    first = self._fresh(start, 0)
    state = FitState(
      run=first,
      base=first,
      leader=first,
      leader_objective=jnp.asarray(-jnp.inf),
      leader_trial=jnp.zeros((), jnp.int32),
      num_moves=jnp.zeros((), jnp.int32),
      restart_objectives=jnp.full((config.num_restarts,), jnp.nan),
      best=start,
      best_score=jnp.asarray(-jnp.inf),
      best_step=jnp.zeros((), jnp.int32),
    )
    checkpoints = os.path.join(self._directory, 'checkpoints')
    with checkpoint.Checkpointer(checkpoints) as checkpointer:
      call, state = checkpointer.restore(state) or (0, state)
      bar = progress.progress(
        total=schedule.most_steps, unit='step', desc='user model'
      )
      bar.update(call * per_call)
      writer = metrics.MetricWriter(
        self._directory, resume_step=call * per_call + 1
      )
      with writer, bar:
        while call < schedule.main_begin or not self._is_over(state):
          place = schedule(call)
          if place.is_first:
            state = self._begin_run(state, start, place)
          state, line = self._advance(state)
          call += 1
          if place.is_last:
            call, state = self._end_run(
              state, call, place, line['train/objective']
            )
          if call >= schedule.main_begin:
            state, found = self._judge(state)
            line |= found
          writer.write(call * per_call, line)
          bar.update(call * per_call - bar.n)
          bar.set_postfix_str(
            f'{line["train/log_likelihood"]:.4g} nats a person', refresh=False
          )
          is_last = call >= schedule.main_begin and self._is_over(state)
          if is_last or (call * per_call) % config.checkpoint_steps == 0:
            checkpointer.save(call, state)
        progress.end_early(bar, 'converged')
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

  def _begin_run(
    self, state: FitState, start: UserModel, place: Place
  ) -> FitState:
    """The state in which a restart or a trial begins."""
    if place.part == _RESTARTS:
      return state.replace(run=self._fresh(start, place.run))
    if place.run > 0:
      return state.replace(run=self._move(state.base, place.run))
    # A new round: the leader so far is its base, and to be beaten anew, as
    # trial 0 gets the same steps without a move.
    self._proposals = None
    return state.replace(
      base=state.leader,
      run=state.leader,
      leader_objective=jnp.asarray(-jnp.inf),
    )

  def _move(self, base: em.EMState, trial: int) -> em.EMState:
    """The state after the trial's move; fewer than planned repeat the first."""
    # Not in the checkpoint: they follow from the round's base.
    if self._proposals is None:
      sample = moves.sample(self._train, self._config, self._sample_key)
      self._proposals = moves.propose(base.model, sample, self._config)
    found, direction = self._proposals
    if not found:  # One type alone.
      return base
    move = found[(trial - 1) % len(found)]
    return moves.apply(base, move, direction)

  def _advance(self, state: FitState) -> tuple[FitState, dict[str, float]]:
    first_step = int(state.run.step)
    # A copy: the step donates its state, and a leader must outlive it.
    run, found = self._feeder.run(_copy(state.run), self._schedule.per_call)
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

  def _end_run(
    self, state: FitState, call: int, place: Place, objective: float
  ) -> tuple[int, FitState]:
    """What the end of a restart or a trial decides.

    Args:
      state: after the run's last call.
      call: number of the next call.
      place: of the last one.
      objective: of the last one.

    Returns:
      The number of the next call, which leaves out rounds that are not needed,
      and the state.
    """
    if place.part == _RESTARTS:
      logging.info(
        'user model: short run %d of %d: objective %.4g nats a person',
        place.run + 1,
        self._config.num_restarts,
        objective,
      )
      state = self._elect(state, objective, 0)
      state = state.replace(
        restart_objectives=state.restart_objectives.at[place.run].set(objective)
      )
    else:
      logging.info(
        'user model: move %d of %d: objective %.4g nats a person',
        place.run,
        self._config.num_moves,
        objective,
      )
      state = self._elect(state, objective, place.run)
      if place.run == self._config.num_moves:  # The round's last trial.
        taken = int(state.leader_trial) > 0
        state = state.replace(num_moves=state.num_moves + taken)
        if not taken:  # No move helps: no further rounds.
          call = self._schedule.main_begin
    if call == self._schedule.main_begin:
      state = state.replace(run=state.leader)
    return call, state

  def describe(self, state: FitState) -> dict[str, float]:
    """How the phase went.

    Returns:
      'best_step'; 'num_moves'; 'is_converged', 1 where it stopped for lack of
      gain before its steps were over; and, of several short runs,
      'share_near_best', those that ended within 1 % of the best objective.
    """
    found = {
      'best_step': int(state.best_step),
      'num_moves': int(state.num_moves),
      'is_converged': float(int(state.run.step) < self._config.num_steps),
    }
    ends = np.asarray(state.restart_objectives)
    if ends.size > 1:
      near = ends >= ends.max() - 0.01 * abs(ends.max())
      found['share_near_best'] = float(near.mean())
    return found

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
      values = evaluate.score(model, part.held_out)
      kind = next(iter(part.held_out.feedback))
      prefix = '' if len(self._parts) == 1 else f'{name}_'
      found |= {f'val/{prefix}{k}': v for k, v in values.items()}
      score += self._people[name] * values[f'{kind}_log_likelihood']
      total += self._people[name]
    return (score / total if total else None), found
