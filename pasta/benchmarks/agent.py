"""Speed of value learning and slate selection, as ratios measured in one run.

python -m launch.benchmark --part=agent

Everything runs on one core and is counted in CPU seconds; what is compared
takes turns, and ratios are medians over the rounds. About six CPU minutes with
torch and d3rlpy.

An update is one of `iql.update_many` on 64 sessions of 4 turns, so on 256
decisions with slates of 1 or 4: features of D = 384, base 'none', backbone
'mlp', width 256, heads of (256, 256), two twins, V and the moving average. Its
history is given, one vector of D features that stands for the state, or read:
4 D + 5 features a turn, by an encoder. The tiny one has 64 decisions, D = 8,
the default width of 32 and heads of (64,). Beside an update stand its matrix
products alone, other ways to do the same, and peers, where they are installed.

Not split, the heads' first layer reads history and item of each of the 4 items
as one vector. With the history given that is 1.31 times the arithmetic. It took
1.21 to 1.26 times as long, in five runs on two shared, busy cores, and the
products alone 1.25 to 1.28 times: one wide product does more a second than two
narrow ones, and what is not products, 12 to 14 % of the split update, is needed
either way. Of its 52 ms inputs take 0.8, clipping and Adam 0.7 and the moving
average 0.1; the remainder are activations, sums for biases and copies between
layouts. With the history read the encoder, two fifths of the arithmetic, is
needed either way, too: 1.17 times the arithmetic, 1.17 to 1.20 times as long.
There clipping and Adam, of 4 million parameters, take 6 of 91 ms. An encoder
that runs for every item makes it 1.6 times.
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta.agent import critics, inputs, iql, networks, slates
from pasta.agent import episodes as episodes_lib
from pasta.agent.episodes import Episodes
from pasta.agent.settings import NetworkSettings
from pasta.benchmarks import agent_peers as peers

_TURNS, _CATEGORIES, _TYPES = 4, 5, 16
_SESSIONS = 512  # that batches are drawn from
_DECISIONS, _POOL, _COLUMNS = 1000, 25, 4


def compare(
  functions: dict[str, Callable[[], object]], rounds: int
) -> dict[str, list]:
  """CPU seconds of calls that take turns, a list of rounds each."""
  for function in functions.values():
    jax.block_until_ready(function())
  seconds = {name: [] for name in functions}
  for _ in range(rounds):
    for name, function in functions.items():
      started = time.process_time()
      jax.block_until_ready(function())
      seconds[name].append(time.process_time() - started)
  return seconds


def draw(num: int, columns: int, dim: int) -> Episodes:
  """Random sessions."""
  rng = np.random.default_rng(0)
  shape = (num, _TURNS, columns)

  def normal(*shape):
    return jnp.asarray(rng.standard_normal(shape, dtype=np.float32))

  return Episodes(
    initial_text=normal(num, dim),
    slate_text=normal(*shape, dim),
    slate_image=normal(*shape, dim),
    slate_category=jnp.asarray(rng.integers(_CATEGORIES, size=shape)),
    slate_utility=normal(*shape, _TYPES),
    log_choice=jax.nn.log_softmax(normal(*shape)),
    log_belief=jax.nn.log_softmax(normal(num, _TURNS, _TYPES)),
    prompt_utility=normal(num, _TURNS, _TYPES),
    expected=normal(*shape),
    choice=jnp.asarray(rng.integers(columns, size=shape[:2])),
    reward=normal(num, _TURNS),
    valid=jnp.ones(shape[:2], bool),
    choice_log_scale=jnp.zeros(num),
  )


def updates(
  config: ml_collections.ConfigDict, episodes: Episodes, num: int
) -> Callable[[], object]:
  """A call that makes `num` updates in one compiled scan."""
  state = iql.init(jax.random.key(0), config, episodes)
  index = iql.batch_index(
    jax.random.key(1), 0, num, config.batch_sessions, len(episodes)
  )
  run = jax.jit(
    functools.partial(iql.update_many, config=config), donate_argnums=0
  )
  run = run.lower(state, index, episodes).compile()
  box = [state]

  def call():
    box[0], metrics = run(box[0], index, episodes)
    return metrics

  return call


def single_updates(
  config: ml_collections.ConfigDict,
  episodes: Episodes,
  num: int,
  *,
  from_numpy: bool,
) -> Callable[[], object]:
  """A call that makes `num` updates, each by a compiled program of its own.

  Batches are cut in numpy, as per-step trainers do, or by that program.
  """
  rng = np.random.default_rng(0)
  stored = jax.tree.map(np.asarray if from_numpy else jnp.asarray, episodes)
  if from_numpy:
    run = functools.partial(iql.update, config=config)
  else:

    def run(state, batch):
      rows, episodes = batch
      batch = episodes_lib.take(episodes, rows)
      return iql.update(state, batch, config=config)

  run = jax.jit(run, donate_argnums=0)
  box = [iql.init(jax.random.key(0), config, episodes)]

  def call():
    for _ in range(num):
      rows = rng.integers(len(stored), size=config.batch_sessions)
      if from_numpy:
        batch = episodes_lib.take(stored, rows)
      else:
        batch = rows, stored
      box[0], metrics = run(box[0], batch)
    return metrics

  return call


def product_shapes(
  config: ml_collections.ConfigDict,
  dim: int,
  columns: int,
  *,
  has_encoder: bool,
  is_split: bool = True,
) -> list[tuple[str, tuple[int, ...]]]:
  """Einsum rules and sizes [b, n, i, o] of all products of one update.

  All passes that the update's definition asks for: forward through the target
  critic, the value before and the value after its step, and the critic; and
  backward through value and critic, to the weights of all layers and to the
  inputs of all layers that read what others have made.
  """
  batch, w, j = config.batch_sessions, config.width, config.num_twins
  decisions, items = batch * _TURNS, batch * _TURNS * columns
  state_dim, item_dim = w if has_encoder else dim, dim + _CATEGORIES + 2
  first, state = [], []
  if has_encoder:
    first = [(_TURNS, batch, 4 * dim + _CATEGORIES, w)]
    state = [(1, decisions, w, w), (1, decisions, w + _TYPES, w)]
  of_state = (j, decisions if is_split else items, state_dim, w)
  first_head = [of_state, (j, items, item_dim, w)]
  if not is_split:
    first_head = [(j, items, state_dim + item_dim, w)]
  head = [(j, items, w, w), (j, items, w, 1)]
  first_value = [(1, decisions, state_dim, w)]
  value = [(1, decisions, w, w), (1, decisions, w, 1)]
  of_critic = first + state + first_head + head
  of_value = first + state + first_value + value
  backward = head + value
  if has_encoder:
    backward += 2 * state + [of_state] + first_value
  shapes = [('ni,io->no', s) for s in 2 * of_critic + 2 * of_value]
  shapes += [('ni,no->io', s) for s in of_critic + of_value]
  return shapes + [('no,io->ni', s) for s in backward]


def gflop(shapes: list[tuple[str, tuple[int, ...]]]) -> float:
  """Arithmetic of products."""
  return 2e-9 * sum(float(np.prod(shape)) for _, shape in shapes)


def products(
  shapes: list[tuple[str, tuple[int, ...]]],
) -> Callable[[], object]:
  """A call that makes these products and nothing else."""
  rng = np.random.default_rng(0)

  def operand(letters, shape):
    size = dict(zip('bnio', shape, strict=True))
    return jnp.asarray(
      rng.standard_normal([size[x] for x in 'b' + letters], dtype=np.float32)
    )

  operands = [
    [operand(letters, shape) for letters in rule[:5].split(',')]
    for rule, shape in shapes
  ]

  def multiply(operands):
    return [
      jax.vmap(functools.partial(jnp.einsum, rule))(*pair)
      for (rule, _), pair in zip(shapes, operands, strict=True)
    ]

  # Into the memory of the last results: tens of MB that the system hands out
  # anew would take as long as half of the products.
  run = jax.jit(
    lambda operands, results: multiply(operands),
    donate_argnums=1,
    keep_unused=True,
  )
  box = [jax.jit(multiply)(operands)]

  def call():
    box[0] = run(operands, box[0])
    return box[0]

  return call


class _GivenState(nn.Module):
  """In place of `networks.StateEncoder`: a history that is one vector."""

  settings: NetworkSettings

  def __call__(self, states: inputs.States) -> jax.Array:
    dim = (states.tokens.shape[-1] - _CATEGORIES) // 4
    return states.tokens[..., :dim]


class _UnsplitHead(nn.Module):
  """A head that reads [state, item] of every item through one first layer."""

  dims: tuple[int, ...]
  is_zero_at_start: bool

  @nn.compact
  def __call__(self, state: jax.Array, items: jax.Array) -> jax.Array:
    shape = (*items.shape[:-1], state.shape[-1])
    x = jnp.broadcast_to(state[..., None, :], shape)
    x = jnp.concatenate([x, items], -1)
    for dim in self.dims:
      x = nn.relu(nn.Dense(dim)(x))
    return nn.Dense(1)(x)[..., 0]


def _repeated_history(params, episodes, constants, settings, frozen, read):
  """`critics.shown_values` of a network that reads history and item as one."""
  del frozen
  states, items = read
  sessions, turns, columns = items.mean.shape
  states = jax.tree.map(lambda x: jnp.repeat(x, columns, 0), states)
  items = jax.tree.map(
    lambda x: jnp.moveaxis(x, 2, 1).reshape(-1, turns, 1, *x.shape[3:]), items
  )
  f = networks.Critic(settings).apply(
    {'params': params}, constants, states, items
  )  # [J, B L, T, 1]
  return jnp.moveaxis(f.reshape(-1, sessions, columns, turns), 2, 3)


def decisions(choice: bool) -> Callable[[], object]:
  """Slates of 4 of 25 scored candidates in 5 categories, a thousand times."""
  rng = np.random.default_rng(0)
  scores = [
    jnp.asarray(rng.standard_normal((_DECISIONS, _POOL), dtype=np.float32))
    for _ in range(1 + choice)
  ]
  category = jnp.asarray(rng.integers(_CATEGORIES, size=(_DECISIONS, _POOL)))
  select = slates.select_choice if choice else slates.select_mean
  run = jax.jit(jax.vmap(functools.partial(select, num_columns=_COLUMNS)))
  valid = jnp.ones((_DECISIONS, _POOL), bool)
  return functools.partial(run, *scores, category, valid)


def _line(
  name: str, ours: list, num: int, theirs: list | None = None, units: int = 1
) -> None:
  """Prints milliseconds a unit, and the median ratio of theirs to ours."""
  ours = 1e3 * np.array(ours) / num
  text = f'{name:<64}{np.median(ours):>10.3g}'
  if theirs is not None:
    theirs = 1e3 * np.array(theirs) / units
    text += f'{np.median(theirs):>10.3g}{np.median(theirs / ours):>8.2f}'
  print(text, flush=True)


def _print_comparison(
  title: str,
  ours: tuple[Callable[[], object], int],
  others: dict[str, tuple[Callable[[], object] | None, int]],
  rounds: int,
) -> None:
  """A line for each (call, units a call); None is not installed."""
  present = {name: call for name, (call, _) in others.items() if call}
  seconds = compare({'': ours[0]} | present, rounds)
  for name, (_, units) in others.items():
    if name in present:
      _line(f'{title}; {name}', seconds[''], ours[1], seconds[name], units)
    else:
      print(f'{title}; {name}: not installed')


def _compare_updates(
  config: ml_collections.ConfigDict, columns: int, has_encoder: bool
) -> None:
  """Lines of an update at full size."""
  value, dim, num = config.value, config.dim, config.num_updates
  episodes = draw(_SESSIONS, columns, dim)
  shape = (_TURNS, columns, dim, _CATEGORIES, _TYPES)
  shapes = product_shapes(value, dim, columns, has_encoder=has_encoder)
  theirs = peers.torch_iql(value, *shape, num, has_encoder=has_encoder)
  others = {
    f'its products alone, {gflop(shapes):.2f} GFLOP': (products(shapes), 1),
    'the same in plain torch': (theirs, num),
  }
  with contextlib.ExitStack() as stack:
    if not has_encoder:
      stack.enter_context(
        mock.patch.object(networks, 'StateEncoder', _GivenState)
      )
      if columns == 1:
        theirs = peers.d3rlpy_iql(value.batch_sessions * _TURNS, dim, num)
        others["d3rlpy's IQL, with its actor"] = theirs, num
    ours = updates(value, episodes, num), num
    if columns > 1:
      unsplit = product_shapes(
        value, dim, columns, has_encoder=has_encoder, is_split=False
      )
      others[f'products not split, {gflop(unsplit):.2f} GFLOP'] = (
        products(unsplit),
        1,
      )
      with mock.patch.object(networks, '_Head', _UnsplitHead):
        others['first layers not split'] = updates(value, episodes, num), num
      if has_encoder:
        with mock.patch.object(critics, 'shown_values', _repeated_history):
          others['history read with every item'] = (
            updates(value, episodes, num),
            num,
          )
  kind = 'read' if has_encoder else 'given'
  title = f'update, history {kind}, slate of {columns}'
  _print_comparison(title, ours, others, config.rounds)


def _compare_tiny_updates(config: ml_collections.ConfigDict) -> None:
  """Lines of an update that is mostly overhead."""
  value, num = config.tiny_value, config.tiny_num_updates
  episodes = draw(_SESSIONS, 1, config.tiny_dim)
  shape = (_TURNS, 1, config.tiny_dim, _CATEGORIES, _TYPES)
  others = {
    f'a program each, {name}': (
      single_updates(value, episodes, num, from_numpy=from_numpy),
      num,
    )
    for name, from_numpy in (
      ('batches from numpy', True),
      ('which cuts its batch', False),
    )
  }
  others['the same in plain torch'] = peers.torch_iql(value, *shape, num), num
  ours = updates(value, episodes, num), num
  _print_comparison('tiny update, scanned', ours, others, config.rounds)


def run(config: ml_collections.ConfigDict) -> None:
  """Prints the table.

  Args:
    config: `agent` of configs/benchmark.py.
  """
  # Products run on as many threads as there are cores: one.
  if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  print(f'{"CPU milliseconds":<64}{"ours":>10}{"other":>10}{"ratio":>8}')
  seconds = compare(
    {'mean': decisions(False), 'choice': decisions(True)}, config.rounds
  )
  for name in seconds:
    _line(f'1,000 decisions of 25 -> 4, selector {name}', seconds[name], 1)
  for columns in (1, _COLUMNS):
    for has_encoder in (False, True):
      _compare_updates(config, columns, has_encoder)
  _compare_tiny_updates(config)
