"""Updates of other libraries, for pasta.benchmarks.agent.

Each function returns a call that makes some updates, or None where the library
is not installed.

Letters: T turns, B sessions, D embedding width, J twin heads.
"""

import importlib.util
from collections.abc import Callable

import ml_collections
import numpy as np


def _has(*modules: str) -> bool:
  return all(importlib.util.find_spec(name) for name in modules)


def torch_iql(
  config: ml_collections.ConfigDict,
  turns: int,
  columns: int,
  dim: int,
  categories: int,
  types: int,
  num: int,
  *,
  has_encoder: bool = True,
) -> Callable[[], object] | None:
  """`num` updates of the project's networks (backbone 'mlp') in eager torch.

  Its inputs are ready: no sessions are gathered. Without an encoder the state
  is the first D features of its token.
  """
  if not _has('torch'):
    return None
  import torch
  from torch import nn

  torch.set_num_threads(1)
  item_dim, token_dim = dim + categories + 2, 4 * dim + categories
  batch, width, twins = config.batch_sessions, config.width, config.num_twins
  head_dims = tuple(config.head_dims)
  state_dim = width if has_encoder else dim

  def weight(*shape):
    return nn.Parameter(torch.randn(shape) / shape[-2] ** 0.5)

  class State(nn.Module):
    def __init__(self):
      super().__init__()
      self.kernel = weight(turns, token_dim, width)
      self.turn = nn.Parameter(torch.zeros(turns, 1, width))
      self.hidden = nn.Linear(width, width)
      self.norm = nn.LayerNorm(width)
      self.out = nn.Linear(width + types, width)

    def forward(self, tokens, belief):  # [T, B, ...]
      x = torch.relu(torch.bmm(tokens, self.kernel).cumsum(0) + self.turn)
      x = self.norm(self.hidden(x))
      return torch.relu(self.out(torch.cat([x, belief], -1)))

  class Given(nn.Module):
    def forward(self, tokens, belief):
      return tokens[..., :dim]

  encoder = State if has_encoder else Given

  class Critic(nn.Module):
    def __init__(self):
      super().__init__()
      self.state = encoder()
      self.level = nn.Linear(state_dim, 1)
      self.of_state = nn.Linear(state_dim, twins * head_dims[0])
      self.of_item = nn.Linear(item_dim, twins * head_dims[0], bias=False)
      dims = (*head_dims, 1)
      self.kernels = nn.ParameterList(
        weight(twins, *pair) for pair in zip(dims, dims[1:], strict=False)
      )
      self.biases = nn.ParameterList(
        nn.Parameter(torch.zeros(twins, 1, size)) for size in dims[1:]
      )

    def forward(self, tokens, belief, items):  # items [T, B, L, ...]
      state = self.state(tokens, belief)
      x = self.of_state(state)[..., None, :] + self.of_item(items)
      x = x.reshape(-1, twins, head_dims[0]).transpose(0, 1)
      for kernel, bias in zip(self.kernels, self.biases, strict=True):
        x = torch.baddbmm(bias, torch.relu(x), kernel)
      return x.reshape(twins, turns, batch, columns) + self.level(state)

  class Value(nn.Module):
    def __init__(self):
      super().__init__()
      self.state = encoder()
      dims = (state_dim, *head_dims)
      layers = []
      for pair in zip(dims, dims[1:], strict=False):
        layers += [nn.Linear(*pair), nn.ReLU()]
      self.head = nn.Sequential(*layers, nn.Linear(dims[-1], 1))

    def forward(self, tokens, belief):
      return self.head(self.state(tokens, belief))[..., 0]

  critic, target, value = Critic(), Critic(), Value()
  of_value, of_critic = (
    torch.optim.AdamW(m.parameters(), 1e-3) for m in (value, critic)
  )
  states = (
    torch.randn(turns, batch, token_dim),
    torch.softmax(torch.randn(turns, batch, types), -1),
  )
  items = torch.randn(turns, batch, columns, item_dim)
  weights = torch.softmax(torch.randn(turns, batch, columns), -1)
  choice = torch.randint(columns, (twins, turns, batch, 1))
  reward = torch.randn(turns, batch)

  def descend(module, optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()

  def update():
    with torch.no_grad():
      q = (weights * target(*states, items)).sum(-1).amin(0)
    error = q - value(*states)
    asymmetry = torch.where(error < 0, 0.4, 0.6)
    descend(value, of_value, (asymmetry * error**2).mean())
    with torch.no_grad():
      later = torch.cat([value(*states)[1:], torch.zeros(1, batch)])
    f = critic(*states, items).gather(-1, choice)[..., 0]
    error = reward + later - f
    descend(critic, of_critic, (error**2).sum(0).mean())
    with torch.no_grad():
      pairs = [list(m.parameters()) for m in (target, critic)]
      torch._foreach_lerp_(*pairs, 0.01)

  return lambda: [update() for _ in range(num)]


def d3rlpy_iql(batch: int, dim: int, num: int) -> Callable[[], object] | None:
  """`num` updates of d3rlpy's IQL: states and actions [B, D], heads (256, 256).

  Twin Q, V and moving average as here, and an actor.
  """
  if not _has('d3rlpy'):
    return None
  import d3rlpy
  import structlog
  import torch

  torch.set_num_threads(1)
  structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(50)  # only failures
  )
  algorithm = d3rlpy.algos.IQLConfig(batch_size=batch).create(device='cpu')
  algorithm.create_impl((dim,), dim)
  rng = np.random.default_rng(0)
  size = (4, dim)
  episodes = [
    d3rlpy.dataset.Episode(
      rng.standard_normal(size, dtype=np.float32),
      rng.uniform(-1, 1, size).astype(np.float32),
      rng.standard_normal((4, 1), dtype=np.float32),
      terminated=True,
    )
    for _ in range(batch)
  ]
  stored = d3rlpy.dataset.create_infinite_replay_buffer(episodes)
  sample = stored.sample_transition_batch
  return lambda: [algorithm.update(sample(batch)) for _ in range(num)]
