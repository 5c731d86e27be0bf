"""Latency of the agent as a library, in one process, once compiled.

python -m launch.benchmark --part=library --workdir=DIR

`propose` reads the candidates' texts through the encoder and picks a slate;
`observe` hears a choice and a satisfaction, with the images' features at hand:
nothing is drawn or encoded. The median of all turns but each session's first.
"""

import time

import ml_collections
import numpy as np

from pasta.library.agent import Agent, Feedback

_LOOKS = (
  'in watercolour',
  'as an ink drawing',
  'in fog',
  'at night',
  'at dawn',
)


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Times an agent's calls and prints a table.

  Args:
    config: `library` of configs/benchmark.py.
    workdir: of a trained agent.
  """
  agent = Agent.load(workdir, policy=config.policy)
  print(
    f'{agent.policy.policy_id}, K = {agent.user_model.num_types}, pools of '
    f'{config.num_candidates}'
  )
  for num in config.num_people:
    propose, observe = _timed(agent, num, config)
    print(
      f'{num:5d} people at once: propose {1e3 * propose:7.1f} ms, observe '
      f'{1e3 * observe:7.1f} ms'
    )


def _timed(
  agent: Agent, num: int, config: ml_collections.ConfigDict
) -> tuple[float, float]:
  """Median seconds of a call for `num` people."""
  rng = np.random.default_rng(0)
  dim = agent.user_model.text_dim
  shape = agent.num_columns, agent.images_per_prompt, dim
  propose, observe = [], []
  for _ in range(-(-config.rounds // max(agent.num_turns - 1, 1)) + 1):
    sessions = [agent.begin(f'a harbour, number {i}') for i in range(num)]
    for turn in range(agent.num_turns):
      pools = [
        [
          f'{s.initial_prompt}, {_LOOKS[c % len(_LOOKS)]}, {turn} {c}'
          for c in range(config.num_candidates)
        ]
        for s in sessions
      ]
      answers = [
        Feedback(
          choice=int(rng.integers(agent.num_columns)),
          image_features=rng.standard_normal(shape) / dim**0.5,
          satisfaction=0.7,
        )
        for _ in sessions
      ]
      started = time.perf_counter()
      agent.propose_many(sessions, pools)
      between = time.perf_counter()
      agent.observe_many(sessions, answers)
      ended = time.perf_counter()
      if turn or agent.num_turns == 1:
        propose.append(between - started)
        observe.append(ended - between)
  return float(np.median(propose)), float(np.median(observe))
