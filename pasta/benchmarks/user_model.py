"""Speed of the latent-class library, as ratios measured in one run.

python -m launch.benchmark --part=user_model

Compares an EM iteration with a plain numpy one (Newton M-step, as the fastest
packages have it), each the fastest of some; a first fit in a new process with
its import; 30 restarts with one, means over seeds of the starts; and, where the
config says `large`, an iteration on 100,000 people and its memory.
"""

import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta.latent_class import choices, full_batch
from pasta.latent_class import model as latent_class

_FIRST_FIT = """
import time; started = time.time()
import numpy as np
from pasta.latent_class import model as latent_class
imported = time.time() - started
from pasta.benchmarks import user_model as b
data = b.draw(361, 12, 4, 6, 5, np.float64)
started = time.time()
latent_class.fit(*data, num_types=5)
print(imported + time.time() - started)
"""
_MEMORY = """
from pasta.benchmarks import user_model as b
import numpy as np
import resource
data = b.draw(100_000, 5, 4, 32, 16, np.float32)
print(b.seconds_an_iteration(data, 16, 3))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def draw(num_users, num_choices, columns, dim, num_types, dtype):
  """Choices of planted types, a block of people at a time."""
  rng = np.random.default_rng(0)
  tastes = rng.standard_normal((num_types, dim)).astype(np.float32)
  types = rng.integers(num_types, size=num_users)
  user = np.repeat(np.arange(num_users), num_choices)
  features = rng.standard_normal((len(user), columns, dim), dtype=dtype)
  choice = np.empty(len(user), np.int64)
  for rows in np.array_split(np.arange(len(user)), max(len(user) // 10_000, 1)):
    utility = np.einsum('nld,nd->nl', features[rows], tastes[types[user[rows]]])
    choice[rows] = np.argmax(utility + rng.gumbel(size=utility.shape), 1)
  return features, choice, user


def seconds_an_iteration(arrays, num_types, num_iterations) -> float:
  """One EM iteration of one run, once compiled."""
  features, choice, user = arrays
  dtype = features.dtype
  with jax.enable_x64(dtype == np.float64):
    data, _ = choices.make(features, choice, user, dtype=dtype.type)
    data = jax.tree.map(jnp.asarray, data)
    dim = data.num_features
    prior = full_batch.Prior(
      np.zeros(dim, dtype), np.ones(dim, dtype), np.asarray(1.0, dtype)
    )
    start = np.random.default_rng(0).dirichlet(
      np.ones(num_types), (1, data.num_users)
    )
    state = full_batch.init(start, np.zeros((1, num_types, dim), dtype))

    def run(state, num):
      zero, one = np.asarray(0, dtype), np.asarray(1, dtype)
      return jax.block_until_ready(
        full_batch.run(
          state, data, prior, np.int32(num), zero, one, np.int32(0)
        )
      )

    state = run(state, 4)
    started = time.perf_counter()
    after = run(state, num_iterations)
    seconds = time.perf_counter() - started
    # Fewer than asked for, where the objective ceases to rise.
    return seconds / int(after.iteration - state.iteration)


def numpy_seconds_an_iteration(arrays, num_types, num_iterations) -> float:
  """The same iteration as one writes it in numpy, type by type."""
  features, choice, user = arrays
  dtype, dim = features.dtype, features.shape[2]
  rng = np.random.default_rng(0)
  beta = 0.1 * rng.standard_normal((num_types, dim)).astype(dtype)
  log_prior = np.full(num_types, -np.log(num_types), dtype)
  rows, flat = np.arange(len(choice)), features.reshape(-1, dim)
  starts = np.flatnonzero(np.r_[True, np.diff(user) != 0])
  started = time.perf_counter()
  for _ in range(num_iterations):
    logits = (flat @ beta.T).reshape(*features.shape[:2], num_types)
    logits -= logits.max(1, keepdims=True)
    probs = np.exp(logits)
    probs /= probs.sum(1, keepdims=True)
    joint = log_prior + np.add.reduceat(np.log(probs[rows, choice]), starts)
    gamma = np.exp(joint - joint.max(1, keepdims=True))
    gamma /= gamma.sum(1, keepdims=True)
    log_prior = np.log(gamma.mean(0))
    for k in range(num_types):
      weight = gamma[user, k]
      mean = np.einsum('nl,nld->nd', probs[..., k], features)
      gradient = weight @ (features[rows, choice] - mean) - beta[k]
      weighted = flat * (probs[..., k] * weight[:, None]).reshape(-1, 1)
      hessian = flat.T @ weighted - mean.T @ (mean * weight[:, None])
      beta[k] += np.linalg.solve(hessian + np.eye(dim, dtype=dtype), gradient)
  return (time.perf_counter() - started) / num_iterations


def _subprocess(code: str) -> list[float]:
  done = subprocess.run(
    [sys.executable, '-c', code],
    check=True,
    capture_output=True,
    text=True,
  )
  return [float(line) for line in done.stdout.split()]


def _line(name: str, ours: float, theirs: float | None, unit: str) -> None:
  ratio = '' if theirs is None else f'{theirs:>10.3g} {theirs / ours:>9.2f}'
  print(f'{name:<44} {ours:>10.3g} {ratio}  {unit}', flush=True)


def run(config: ml_collections.ConfigDict) -> None:
  """Prints the table.

  Args:
    config: `user_model` of configs/benchmark.py.
  """
  repeats = range(config.repeats)
  print(f'{"":<44} {"ours":>10} {"other":>10} {"ratio":>9}')
  small = draw(361, 12, 4, 6, 5, np.float64)
  _line(
    'iteration, 361 x 12 x 4 x 6, K = 5; numpy',
    1e3 * min(seconds_an_iteration(small, 5, 50) for _ in repeats),
    1e3 * min(numpy_seconds_an_iteration(small, 5, 5) for _ in repeats),
    'ms',
  )
  _line(
    'first fit, new process, import included',
    *_subprocess(_FIRST_FIT),
    None,
    's',
  )

  def fit(num_restarts):
    # Some starts take several times the iterations of others.
    started = time.perf_counter()
    for seed in repeats:
      latent_class.fit(
        *small,
        num_types=5,
        num_restarts=num_restarts,
        max_rounds=0,
        seed=seed,
      )
    return (time.perf_counter() - started) / len(repeats)

  fit(1), fit(30)
  _line('one restart; 30 restarts', fit(1), fit(30), 's')
  if config.large:
    seconds, memory = _subprocess(_MEMORY)
    large = draw(100_000, 5, 4, 32, 16, np.float32)
    _line(
      'iteration, 100,000 x 5 x 4 x 32, K = 16; numpy',
      seconds,
      numpy_seconds_an_iteration(large, 16, 1),
      's',
    )
    _line('peak memory of that', memory, None, 'GiB')
  total = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(f'peak memory of this process {total:.2f} GiB')
