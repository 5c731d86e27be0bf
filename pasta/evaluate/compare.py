"""Policies compared on the same people: returns, intervals, gap closed.

The headline is the share of the gap from lmm (the language model's own order)
to bayes_slate (the true population, exact posterior of choices, the slate of
the best expected pick) that a policy closes. Beside it stands the share of the
gap to bayes_full, which hears all feedback, and to bayes, which picks columns
one by one and was the end of the gap up to version 0.1.0. The gap splits into
common taste (`prior`, which knows the population but never adapts) and
adaptation (the rest). All intervals are 95 % percentile bootstraps over
people; differences are paired.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from pasta import metrics
from pasta.storage import sessions as sessions_lib

NUM_RESAMPLES = 2000
# The zero of the gap, and what counts as its end; the first is the headline's.
BASELINE = 'lmm'
CEILINGS = ('bayes_slate', 'bayes_full', 'bayes')


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What N people gave under one policy; person i is the same in all.

  Attributes:
    policy_id: which policy.
    satisfaction: [N, T].
    comparison: -1, 0, 1 of turns 2..T [N, T - 1].
    final_utility: true utility of the last chosen column [N].
    num_categories: distinct categories in each slate, mean [N].
    renders_per_turn: images that the policy has drawn in a turn.
    candidates_per_turn: prompts that it chooses from.
    predicted: what the policy thought its slates were worth from each turn on
      [N, T], in units of return; NaN where it predicts nothing.
  """

  policy_id: str
  satisfaction: np.ndarray
  comparison: np.ndarray
  final_utility: np.ndarray
  num_categories: np.ndarray
  renders_per_turn: int
  candidates_per_turn: int
  predicted: np.ndarray

  @property
  def returns(self) -> np.ndarray:
    """Sum of the satisfaction over turns [N]."""
    return self.satisfaction.sum(1)


def outcome(
  records: list[sessions_lib.Session],
  utilities: np.ndarray,
  predicted: np.ndarray,
  *,
  renders_pool: bool = False,
) -> Outcome:
  """What the sessions of one policy amount to.

  Args:
    records: N sessions.
    utilities: true utility of the chosen columns [N, T].
    predicted: see Outcome.
    renders_pool: whether the policy has all candidates drawn.
  """
  first = records[0].turns[0]
  return Outcome(
    policy_id=records[0].policy_id,
    satisfaction=np.array([[t.satisfaction for t in r.turns] for r in records]),
    comparison=np.array([[t.comparison for t in r.turns[1:]] for r in records]),
    final_utility=utilities[:, -1],
    num_categories=np.array(
      [
        np.mean(
          [len({t.candidates[c].category for c in t.slate}) for t in r.turns]
        )
        for r in records
      ]
    ),
    renders_per_turn=records[0].images_per_prompt
    * len(first.candidates if renders_pool else first.slate),
    candidates_per_turn=len(first.candidates),
    predicted=predicted,
  )


def win_share(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """1 where x is above y, one half where equal, else 0."""
  return (x > y) + 0.5 * (x == y)


def gap_shares(
  returns: Mapping[str, np.ndarray], low: str, high: str, *, seed: int
) -> dict[str, metrics.Interval]:
  """Share of the gap from policy `low` to `high` that each policy closes.

  Args:
    returns: [N] a policy, the same people in each.
    low: the policy that counts as 0.
    high: the policy that counts as 1.
    seed: of the resampling; people are resampled jointly in all policies.

  Returns:
    For each policy the ratio of mean differences, with its interval. NaN where
    the gap is not positive: then there is nothing to take a share of.
  """
  num = len(returns[low])
  rng = np.random.default_rng(seed)
  counts = rng.multinomial(num, np.full(num, 1 / num), NUM_RESAMPLES) / num

  def share(x, weights):
    base, top = weights @ returns[low], weights @ returns[high]
    gap = top - base
    return np.where(
      gap > 0, (weights @ x - base) / np.where(gap > 0, gap, 1.0), np.nan
    )

  everyone = np.full((1, num), 1 / num)
  result = {}
  for name, x in returns.items():
    mean = float(share(x, everyone)[0])
    if np.isnan(mean):
      result[name] = metrics.Interval(np.nan, np.nan, np.nan)
      continue
    bounds = np.nanpercentile(share(x, counts), (2.5, 97.5))
    result[name] = metrics.Interval(mean, float(bounds[0]), float(bounds[1]))
  return result


def compare(
  outcomes: Mapping[str, Outcome],
  *,
  seed: int,
  agent: str = 'pasta',
  baseline: str = BASELINE,
) -> dict[str, object]:
  """All tables of the report, as plain JSON values.

  Args:
    outcomes: by policy name.
    seed: of the resampling.
    agent: compared with each other policy.
    baseline: the zero of the gap.

  Returns:
    policies, paired, gap_closed and split. gap_closed[ceiling][policy] has the
    share of the gap up to each of CEILINGS that was run, the split is of the
    gap up to the first; both are absent where the policies they need were not
    run.
  """

  def interval(x: metrics.Interval) -> dict[str, float | None]:
    return {
      k: None if np.isnan(v) else float(v) for k, v in x._asdict().items()
    }

  def mean(x):
    return interval(
      metrics.bootstrap_mean(x, num_resamples=NUM_RESAMPLES, seed=seed)
    )

  result = {'policies': {}, 'paired': {}}
  for name, o in outcomes.items():
    result['policies'][name] = {
      'policy_id': o.policy_id,
      'return': mean(o.returns),
      'satisfaction': [mean(x) for x in o.satisfaction.T],
      'comparison': [
        {
          'better': float((x == 1).mean()),
          'same': float((x == 0).mean()),
          'worse': float((x == -1).mean()),
        }
        for x in o.comparison.T
      ],
      'distinct_categories': float(o.num_categories.mean()),
      'renders_per_turn': o.renders_per_turn,
      'candidates_per_turn': o.candidates_per_turn,
    }
    if np.isfinite(o.predicted[:, 0]).all():
      # From the first turn on: what the whole session was thought to bring.
      result['policies'][name]['overestimate'] = mean(
        o.predicted[:, 0] - o.returns
      )
  pairs = [(agent, name) for name in outcomes if name != agent]
  if {'greedy', baseline} <= set(outcomes):
    pairs.append(('greedy', baseline))
  for one, other in pairs:
    if one in outcomes:
      x, y = outcomes[one], outcomes[other]
      result['paired'][f'{one}-{other}'] = {
        'return': interval(
          metrics.paired_bootstrap(
            x.returns, y.returns, num_resamples=NUM_RESAMPLES, seed=seed
          )
        ),
        'final_image_win_share': mean(
          win_share(x.final_utility, y.final_utility)
        ),
      }
  for ceiling in CEILINGS:
    if not {baseline, ceiling} <= set(outcomes):
      continue
    shares = gap_shares(
      {n: o.returns for n, o in outcomes.items()}, baseline, ceiling, seed=seed
    )
    closed = result.setdefault('gap_closed', {})
    closed[ceiling] = {n: interval(s) for n, s in shares.items()}
    if 'prior' in shares and ceiling == CEILINGS[0]:
      common = shares['prior']
      result['split'] = {
        'common_taste': interval(common),
        'adaptation': interval(
          metrics.Interval(1 - common.mean, 1 - common.high, 1 - common.low)
        ),
      }
  return result


def headline(results: Mapping) -> list[str]:
  """The headline table of `compare`'s results, as lines for a terminal."""
  lines = []
  rows = sorted(
    results['policies'].items(), key=lambda item: item[1]['return']['mean']
  )
  for name, row in rows:
    share = ''
    for ceiling, closed in results.get('gap_closed', {}).items():
      if closed[name]['mean'] is not None:
        share += f'  {100 * closed[name]["mean"]:6.1f} % of lmm→{ceiling}'
    value = row['return']
    lines.append(
      f'{name:>12}  return {value["mean"]:.3f} '
      f'[{value["low"]:.3f}, {value["high"]:.3f}]{share}'
    )
  for pair in ('pasta-lmm', 'pasta-greedy'):
    if pair in results['paired']:
      value = results['paired'][pair]
      difference, wins = value['return'], value['final_image_win_share']
      lines.append(
        f'{pair:>12}  {difference["mean"]:+.3f} [{difference["low"]:+.3f}, '
        f'{difference["high"]:+.3f}], better final images for '
        f'{100 * wins["mean"]:.0f} %'
      )
  return lines
