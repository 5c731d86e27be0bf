"""Speed of value learning and slate selection, as ratios measured in one run.

python -m launch.benchmark_agent [--rounds=15]

Everything runs on one core and is counted in CPU seconds; what is compared
takes turns, and ratios are medians over the rounds. Two to five minutes.

An update is one of `iql.update_many` on 64 sessions of 4 turns, so on 256
decisions with slates of 1 or 4: features of D = 384, base 'none', backbone
'mlp', width 256, heads of (256, 256), two twins, V and the moving average. Of
its history a state reads 4 D + 5 features a turn. The tiny one has 64
decisions, D = 8, the default width of 32 and heads of (64,). Beside an update
stand its matrix products alone, other ways to do the same, and peers, where
they are installed.
"""

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
from absl import app, flags

from configs import train_value
from launch import benchmark_agent_peers as peers
from pasta.agent import critics, iql, networks, selector
from pasta.agent import episodes as episodes_lib
from pasta.agent.episodes import Episodes

_ROUNDS = flags.DEFINE_integer('rounds', 15, 'how often each is timed')

_TURNS, _CATEGORIES, _TYPES, _TWINS = 4, 5, 16, 2
_SESSIONS = 512  # that batches are drawn from
_DIM, _WIDTH, _BATCH, _UPDATES = 384, 256, 64, 20
_TINY_DIM, _TINY_BATCH, _TINY_UPDATES = 8, 16, 100
_TINY_WIDTH, _TINY_HEAD = 32, 64
_DECISIONS, _POOL, _COLUMNS = 1000, 25, 4


def compare(functions: dict[str, Callable[[], object]]) -> dict[str, list]:
  """CPU seconds of calls that take turns, a list of rounds each."""
  for function in functions.values():
    jax.block_until_ready(function())
  seconds = {name: [] for name in functions}
  for _ in range(_ROUNDS.value):
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
    expected=normal(*shape),
    choice=jnp.asarray(rng.integers(columns, size=shape[:2])),
    reward=normal(num, _TURNS),
    valid=jnp.ones(shape[:2], bool),
    choice_log_scale=jnp.zeros(num),
  )


def configure(
  width: int, head_dims: tuple[int, ...], batch: int
) -> ml_collections.ConfigDict:
  """The config of train_value for these sizes."""
  config = train_value.get_config()
  config.credit, config.base, config.backbone = 'choice', 'none', 'mlp'
  config.width, config.head_dims = width, head_dims
  config.batch_sessions, config.num_twins = batch, _TWINS
  config.weight_decay = 0.0
  return config


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


def products(columns: int) -> tuple[Callable[[], object], float]:
  """The matrix products of one update, and nothing else.

  All passes that the update's definition asks for: forward through the target
  critic, the value before and the value after its step, and the critic; and
  backward through value and critic, to the weights of all layers and to the
  inputs of all but the first ones.

  Returns:
    A call, and its GFLOP.
  """
  decisions, items = _BATCH * _TURNS, _BATCH * _TURNS * columns
  w, j = _WIDTH, _TWINS
  first_state = [(_TURNS, _BATCH, 4 * _DIM + _CATEGORIES, w)]
  state = [(1, decisions, w, w), (1, decisions, w + _TYPES, w)]
  first_head = [(j, items, _DIM + _CATEGORIES + 2, w)]
  head = [(j, decisions, w, w), (j, items, w, w), (j, items, w, 1)]
  value = [(1, decisions, w, w)] * 2 + [(1, decisions, w, 1)]
  of_critic = first_state + state + first_head + head
  of_value = first_state + state + value
  shapes = [('ni,io->no', s) for s in 2 * of_critic + 2 * of_value]
  shapes += [('ni,no->io', s) for s in of_critic + of_value]
  shapes += [('no,io->ni', s) for s in 2 * state + head + value]
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

  @jax.jit
  def run(operands):
    return [
      jax.vmap(functools.partial(jnp.einsum, rule))(*pair)
      for (rule, _), pair in zip(shapes, operands, strict=True)
    ]

  gflop = 2e-9 * sum(float(np.prod(shape)) for _, shape in shapes)
  return functools.partial(run, operands), gflop


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


def _repeated_history(params, episodes, constants, settings, frozen=None):
  """`critics.shown_values` of a network that reads history and item as one."""
  del frozen
  states, items = critics.network_inputs(episodes, constants, settings)
  sessions, turns, columns = items.mean.shape
  states = jax.tree.map(lambda x: jnp.repeat(x, columns, 0), states)
  items = jax.tree.map(
    lambda x: jnp.moveaxis(x, 2, 1).reshape(-1, turns, 1, *x.shape[3:]), items
  )
  f = networks.Critic(settings).apply(
    {'params': params}, constants, states, items
  )  # [J, B L, T, 1]
  return jnp.moveaxis(f.reshape(-1, sessions, columns, turns), 2, 3)


def heads(head: type[nn.Module]) -> Callable[[], object]:
  """Twin heads alone, forward and backward, on slates of 4."""
  twins = nn.vmap(
    head,
    in_axes=None,
    axis_size=_TWINS,
    variable_axes={'params': 0},
    split_rngs={'params': True},
  )((_WIDTH, _WIDTH), False)
  rng = np.random.default_rng(0)
  decisions = _BATCH * _TURNS
  state = rng.standard_normal((decisions, _DIM), dtype=np.float32)
  items = rng.standard_normal((decisions, _COLUMNS, _DIM), dtype=np.float32)
  params = twins.init(jax.random.key(0), state, items)

  @jax.jit
  def run(params, state, items):
    def loss(params, state):
      return (twins.apply(params, state, items) ** 2).sum()

    return jax.grad(loss, argnums=(0, 1))(params, state)

  return functools.partial(run, params, state, items)


def decisions(choice: bool) -> Callable[[], object]:
  """Slates of 4 of 25 scored candidates in 5 categories, a thousand times."""
  rng = np.random.default_rng(0)
  scores = [
    jnp.asarray(rng.standard_normal((_DECISIONS, _POOL), dtype=np.float32))
    for _ in range(1 + choice)
  ]
  category = jnp.asarray(rng.integers(_CATEGORIES, size=(_DECISIONS, _POOL)))
  select = selector.select_choice if choice else selector.select_mean
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
) -> None:
  """A line for each (call, units a call); None is not installed."""
  present = {name: call for name, (call, _) in others.items() if call}
  seconds = compare({'': ours[0]} | present)
  for name, (_, units) in others.items():
    if name in present:
      _line(f'{title}; {name}', seconds[''], ours[1], seconds[name], units)
    else:
      print(f'{title}; {name}: not installed')


def main(_) -> None:
  """Prints the table."""
  # Products run on as many threads as there are cores: one.
  if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  print(f'{"CPU milliseconds":<64}{"ours":>10}{"other":>10}{"ratio":>8}')
  seconds = compare({'mean': decisions(False), 'choice': decisions(True)})
  for name in seconds:
    _line(f'1,000 decisions of 25 -> 4, selector {name}', seconds[name], 1)

  config = configure(_WIDTH, (_WIDTH, _WIDTH), _BATCH)
  num = _UPDATES
  for columns in (1, _COLUMNS):
    episodes = draw(_SESSIONS, columns, _DIM)
    shape = (_TURNS, columns, _DIM, _CATEGORIES, _TYPES)
    bare, gflop = products(columns)
    others = {
      f'its matrix products alone, {gflop:.2f} GFLOP': (bare, 1),
      'the same in plain torch': (peers.torch_iql(config, *shape, num), num),
    }
    if columns == 1:
      theirs = peers.d3rlpy_iql(_BATCH * _TURNS, _DIM, num)
      others["d3rlpy's IQL of 384 + 384, with its actor"] = theirs, num
    else:
      with mock.patch.object(networks, '_Head', _UnsplitHead):
        others['heads not split'] = updates(config, episodes, num), num
      with mock.patch.object(critics, 'shown_values', _repeated_history):
        others['history read with every item'] = (
          updates(config, episodes, num),
          num,
        )
    ours = updates(config, episodes, num), num
    _print_comparison(f'update, slate of {columns}', ours, others)
  _print_comparison(
    'critic heads alone, state of 384, slate of 4',
    (heads(networks._Head), 1),
    {'not split': (heads(_UnsplitHead), 1)},
  )

  config = configure(_TINY_WIDTH, (_TINY_HEAD,), _TINY_BATCH)
  episodes = draw(_SESSIONS, 1, _TINY_DIM)
  num = _TINY_UPDATES
  shape = (_TURNS, 1, _TINY_DIM, _CATEGORIES, _TYPES)
  others = {
    f'a program each, {name}': (
      single_updates(config, episodes, num, from_numpy=from_numpy),
      num,
    )
    for name, from_numpy in (
      ('batches from numpy', True),
      ('which cuts its batch', False),
    )
  }
  others['the same in plain torch'] = peers.torch_iql(config, *shape, num), num
  ours = updates(config, episodes, num), num
  _print_comparison('tiny update, scanned', ours, others)


if __name__ == '__main__':
  app.run(main)
