"""The loop that trainers share, and programs that are kept.

A trainer is a pure `update(state, ...)`, compiled; what surrounds it is here:
steps, checkpoints, metrics, the progress bar, and the stop where a loss is not
finite. Restarting the same command is the only way to resume.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from pasta import checkpoint
from pasta import metrics as metrics_lib
from pasta import progress as progress_lib
from pasta.types import PyTree

Metrics = dict[str, float]


def key_of(
  config: ml_collections.ConfigDict,
) -> ml_collections.FrozenConfigDict:
  """What a program made from a config is kept by, for functools.lru_cache.

  Args:
    config: of a learner whose programs take keys and do not read `seed`, by
      which its runs differ most.

  Returns:
    The config with a seed of 0; hashable, and equal where configs are.
  """
  config = config.copy_and_resolve_references()
  config.seed = 0
  return ml_collections.FrozenConfigDict(config)


def run(
  start: Callable[[], PyTree],
  make_batch: Callable[[int, int], tuple],
  update: Callable[..., tuple[PyTree, dict[str, jax.Array]]],
  judge: Callable[[PyTree, int], tuple[PyTree, Metrics]] | None = None,
  *,
  directory: str,
  num_steps: int,
  steps_per_call: int = 1,
  log_steps: int,
  checkpoint_steps: int,
  desc: str,
  unit: str = 'updates',
  units_per_step: int = 1,
) -> tuple[PyTree, Metrics]:
  """Trains from the directory's last checkpoint, or from the start.

  One call of `update` makes `steps_per_call` steps, the last one what is left.
  Metrics and checkpoints are written after a call that reaches or passes a
  multiple of their interval, and after the last call, each under the number of
  steps that have been made.

  Args:
    start: makes the state of step 0; where there is a checkpoint it is traced
      for its shapes alone.
    make_batch: `make_batch(step, num) -> arguments`, what `update` takes after
      the state to make `num` steps where `step` have been made. It may depend
      on these two alone: then a run that goes on gives what a whole one gives.
    update: compiled; `update(state, *arguments) -> (state, metrics)`, see
      `call`. The means of its metrics are written.
    judge: `judge(state, step) -> (state, metrics)` where metrics are written;
      it adds held-out ones, and may note in the state which was best.
    directory: gets checkpoints/ and metrics.jsonl.
    num_steps: steps in all.
    steps_per_call: see above.
    log_steps: steps between two lines of metrics.
    checkpoint_steps: steps between two checkpoints.
    desc: what the progress bar calls this.
    unit: what it counts.
    units_per_step: how many of these a step makes.

  Returns:
    The state after all steps, and what `judge` found after the last one;
    nothing where no step was left.

  Raises:
    PastaError: a loss that is not finite, or a checkpoint of other shapes.
  """
  held_out = {}
  with checkpoint.Checkpointer(os.path.join(directory, 'checkpoints')) as saver:
    step, state = saver.restore(jax.eval_shape(start)) or (0, start())
    with (
      metrics_lib.MetricWriter(directory, resume_step=step + 1) as writer,
      progress_lib.progress(
        total=num_steps * units_per_step, unit=unit, desc=desc
      ) as bar,
    ):
      bar.update(step * units_per_step)
      while step < num_steps:
        num = min(steps_per_call, num_steps - step)
        state, found = call(update, state, *make_batch(step, num))
        before, step = step, step + num
        bar.update(num * units_per_step)
        is_last = step == num_steps
        if is_last or _passed(before, step, log_steps):
          line = {name: float(jnp.mean(x)) for name, x in found.items()}
          metrics_lib.check_finite(line, step, f'{before} to {step - 1}')
          if judge is not None:
            state, held_out = judge(state, step)
          writer.write(step, line | held_out)
        if is_last or _passed(before, step, checkpoint_steps):
          saver.save(step, state)
  return state, held_out


def call(
  update: Callable[..., tuple[PyTree, Any]], state: PyTree, *arguments: PyTree
) -> tuple[PyTree, Any]:
  """Calls a compiled update, between which and the host nothing may travel.

  The arguments are sent to the device beforehand. What else an update would
  fetch, a Python number or a numpy array that it was bound to, say, would be
  sent anew at every step unnoticed: here it raises. From device to device an
  update on many of them spreads its batch.

  Args:
    update: `update(state, *arguments) -> (state, metrics)`.
    state: on the device; it may be donated.
    *arguments: arrays of jax or numpy.
  """
  arguments = jax.device_put(arguments)
  with (
    jax.transfer_guard_host_to_device('disallow'),
    jax.transfer_guard_device_to_host('disallow'),
  ):
    return update(state, *arguments)


def _passed(before: int, now: int, every: int) -> bool:
  """Whether a multiple of `every` lies in (before, now]."""
  return now // every > before // every
