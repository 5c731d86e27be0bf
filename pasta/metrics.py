"""Metrics on disk, the check for divergence, and bootstrap intervals."""

import json
import math
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from absl import logging

from pasta import errors, files

_KEY = re.compile(r'^[\w.]+(/[\w.@=-]+)+$')
_LOSS = re.compile(r'(^|_)(loss|objective)(_|$)')
_CHUNK_ELEMENTS = 4_000_000  # resampled values held at once


class MetricWriter:
  """Writes metrics to `metrics.jsonl` and, where installed, TensorBoard.

  Each line of the file is one JSON object with 'step' and the metrics. A line
  that a kill has torn is dropped when the file is opened again.
  """

  def __init__(self, directory: str, *, resume_step: int = 0):
    """Opens the files in `directory`, which is made where it is missing.

    Args:
      directory: where to.
      resume_step: the first step that will be written. Lines of this step
        and later ones are removed: a run that is restarted from a checkpoint
        does these steps again.

    Raises:
      PastaError: an existing file is damaged elsewhere than at its end.
    """
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, 'metrics.jsonl')
    lines = read_lines(path) if os.path.exists(path) else []
    kept = [line for line in lines if line['step'] < resume_step]
    files.atomic_write(path, ''.join(json.dumps(x) + '\n' for x in kept))
    self._file = open(path, 'a', encoding='utf-8')
    self._events = _event_writer(directory, resume_step)

  def __enter__(self) -> 'MetricWriter':
    return self

  def __exit__(self, *unused_exception) -> None:
    self.close()

  def write(self, step: int, metrics: Mapping[str, float]) -> None:
    """Adds one line.

    Args:
      step: number of the step the metrics belong to.
      metrics: 'group/name' (groups: train, val, eval, time) to a number or a
        one-element array. Non-finite numbers are written as null.

    Raises:
      ValueError: a key is not of the form 'group/name', or a value is not
        one number.
    """
    values = {}
    for key, value in metrics.items():
      if not _KEY.match(key):
        raise ValueError(f"metric {key!r} is not of the form 'group/name'")
      array = np.asarray(value)
      if array.size != 1:
        raise ValueError(
          f'metric {key!r} has shape {array.shape}, expected one number'
        )
      values[key] = float(array.reshape(()))
    line = {k: v if math.isfinite(v) else None for k, v in values.items()}
    self._file.write(json.dumps({'step': int(step), **line}) + '\n')
    self._file.flush()
    if self._events is not None:
      for key, value in values.items():
        self._events.add_scalar(key, value, int(step))

  def close(self) -> None:
    """Closes the files."""
    self._file.close()
    if self._events is not None:
      self._events.close()


def read_lines(path: str) -> list[dict]:
  """Returns the objects of a JSONL file, less a torn last line.

  Raises:
    PastaError: the file is missing, or another line is not a JSON object
      with a step.
  """
  try:
    with open(path, encoding='utf-8', errors='replace') as f:
      lines = f.read().split('\n')
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  # Every whole line ends with a newline: what follows the last one is torn.
  result = []
  for number, line in enumerate(lines[:-1], start=1):
    try:
      result.append(json.loads(line))
      result[-1]['step'] += 0
    except (ValueError, KeyError, TypeError) as e:
      raise errors.PastaError(
        f'{path}: line {number} is not a JSON object with a step'
      ) from e
  return result


def check_finite(
  metrics: Mapping[str, float], step: int, batch: object = None
) -> None:
  """Stops a run whose loss has become infinite or not a number.

  Args:
    metrics: as for `MetricWriter.write`; the keys looked at are those with
      'loss' or 'objective' as a word of their name, e.g. 'train/q_loss'.
    step: number of the step.
    batch: what identifies the step's batch, e.g. its index or its users.

  Raises:
    PastaError: such a value is not finite; names key, value, step and batch.
  """
  for key, value in metrics.items():
    is_loss = _LOSS.search(key.rsplit('/', 1)[-1])
    if is_loss and not np.all(np.isfinite(np.asarray(value))):
      where = '' if batch is None else f', batch {batch}'
      raise errors.PastaError(
        f'{key} is {float(np.asarray(value).ravel()[0])} at step {step}{where}'
        ': the run has diverged or its input is bad'
      )


def summary(metrics: Mapping[str, float]) -> str:
  """Metrics as a part of a log line, to four significant digits."""
  return ', '.join(
    f'{name.rsplit("/", 1)[-1]} {value:.4g}' for name, value in metrics.items()
  )


class Interval(NamedTuple):
  """A mean and its 95 % bootstrap interval."""

  mean: float
  low: float
  high: float


def bootstrap_mean(
  x: np.ndarray, *, num_resamples: int = 2000, seed: int = 0
) -> Interval:
  """Mean of x and its 95 % percentile bootstrap interval.

  The entries of x must be independent: one a person or session, not one a
  choice.

  Args:
    x: [N], finite.
    num_resamples: number of resamples.
    seed: of the resampling.

  Raises:
    ValueError: x is empty, not one-dimensional or not finite.
  """
  x = np.asarray(x, np.float64)
  if x.ndim != 1 or not x.size:
    raise ValueError(f'x has shape {x.shape}, expected [N] with N > 0')
  if not np.all(np.isfinite(x)):
    raise ValueError('x holds values that are not finite')
  rng = np.random.default_rng(seed)
  chunk = max(1, _CHUNK_ELEMENTS // x.size)
  means = []
  for start in range(0, num_resamples, chunk):
    size = (min(chunk, num_resamples - start), x.size)
    means.append(x[rng.integers(x.size, size=size)].mean(axis=1))  # [chunk]
  low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
  return Interval(float(x.mean()), float(low), float(high))


def bootstrap_ratio(
  total: np.ndarray,
  count: np.ndarray,
  *,
  num_resamples: int = 2000,
  seed: int = 0,
) -> Interval:
  """Mean over all observations and its interval over people.

  People are resampled with all that they did, so the interval is honest where
  one person's observations hang together.

  Args:
    total: sum of each person's observations [U].
    count: number of them [U]; some above 0.
    num_resamples: number of resamples.
    seed: of the resampling.
  """
  total, count = np.asarray(total, np.float64), np.asarray(count, np.float64)
  if total.shape != count.shape or total.ndim != 1 or not count.sum() > 0:
    raise ValueError(
      f'total has shape {total.shape}, count {count.shape} and sum '
      f'{count.sum():g}: expected [U] each, with observations'
    )
  rng = np.random.default_rng(seed)
  chunk = max(1, _CHUNK_ELEMENTS // total.size)
  ratios = []
  for start in range(0, num_resamples, chunk):
    size = (min(chunk, num_resamples - start), total.size)
    index = rng.integers(total.size, size=size)
    number = count[index].sum(1)
    ratios.append((total[index].sum(1) / np.maximum(number, 1e-12))[number > 0])
  low, high = np.percentile(np.concatenate(ratios), (2.5, 97.5))
  return Interval(float(total.sum() / count.sum()), float(low), float(high))


def paired_bootstrap(
  x: np.ndarray, y: np.ndarray, *, num_resamples: int = 2000, seed: int = 0
) -> Interval:
  """Mean of x - y and its interval, for x [N] and y [N] of the same persons.

  Raises:
    ValueError: the shapes differ; see also `bootstrap_mean`.
  """
  x, y = np.asarray(x), np.asarray(y)
  if x.shape != y.shape:
    raise ValueError(f'x has shape {x.shape}, y {y.shape}: expected the same')
  return bootstrap_mean(x - y, num_resamples=num_resamples, seed=seed)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
  """Spearman's correlation of x and y [n]; NaN where one is constant."""
  a, b = _ranks(x), _ranks(y)
  spread = a.std() * b.std()
  if not spread:
    return float('nan')
  return float(np.mean((a - a.mean()) * (b - b.mean())) / spread)


def _ranks(x: np.ndarray) -> np.ndarray:
  """Ranks, equal values at their mean."""
  _, inverse, count = np.unique(x, return_inverse=True, return_counts=True)
  return (np.cumsum(count) - (count - 1) / 2)[inverse]


def _event_writer(directory: str, resume_step: int):
  """TensorBoard's writer, or None where tensorboardX is not installed."""
  try:
    import tensorboardX  # Optional, and slow to import.
  except ImportError:
    logging.info(
      'no TensorBoard files: tensorboardX is not installed, '
      "pip install 'pasta-t2i[report]'"
    )
    return None
  return tensorboardX.SummaryWriter(
    directory, purge_step=resume_step or None, write_to_disk=True
  )
