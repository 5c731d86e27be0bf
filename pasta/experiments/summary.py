"""What an experiment's runs amount to, with intervals over seeds and people.

Letters: S seeds, N people of a seed, A resamples.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pasta.evaluate import compare

NUM_RESAMPLES = 2000
# Where gaps begin and end: the share is of that up to bayes_slate, beside it
# stands that up to bayes, the end up to version 0.1.0.
ENDS = (compare.BASELINE, 'bayes_slate', 'bayes')


class Resamples:
  """Two-level bootstrap: seeds are drawn, then people within each.

  The same draws serve every quantity, so that arms are compared on the same
  seeds and people.
  """

  def __init__(self, num_seeds: int, num_people: int):
    rng = np.random.default_rng(0)
    shape = (NUM_RESAMPLES, num_seeds)
    drawn = rng.integers(num_seeds, size=shape)
    weights = np.zeros((NUM_RESAMPLES, num_seeds, num_people))
    share = np.full(num_people, 1 / num_people)
    for position in range(num_seeds):
      counts = rng.multinomial(num_people, share, NUM_RESAMPLES)
      weights[np.arange(NUM_RESAMPLES), drawn[:, position]] += counts
    self._weights = weights / (num_seeds * num_people)  # [A, S, N]

  def ratio(
    self, top: np.ndarray, bottom: np.ndarray | None = None
  ) -> dict[str, float | None]:
    """Mean of top [S, N] over that of bottom, with its 95 % interval.

    None where bottom's mean is not positive: there is nothing to take a share
    of.
    """
    mean = np.mean(top)
    draws = np.einsum('asn,sn->a', self._weights, top)
    if bottom is not None:
      below = np.einsum('asn,sn->a', self._weights, bottom)
      if not np.mean(bottom) > 0:
        return {'mean': None, 'low': None, 'high': None}
      mean = mean / np.mean(bottom)
      draws = draws[below > 0] / below[below > 0]
    low, high = np.percentile(draws, (2.5, 97.5))
    return {'mean': float(mean), 'low': float(low), 'high': float(high)}


def summarise(
  outcomes: Mapping[str, Sequence[Mapping[str, compare.Outcome]]],
  arms: Mapping[str, Mapping],
  reference: str,
) -> list[dict]:
  """One row an arm.

  Args:
    outcomes: arm -> for each seed 'arm', its own outcome, and those of ENDS,
      between which gaps lie, in its own world.
    arms: arm -> label, series, x, row, column, reference.
    reference: the arm that arms without a reference of their own are compared
      with, person by person; '' for none.

  Returns:
    Rows of plain JSON values.
  """
  some = next(iter(outcomes.values()))
  resamples = Resamples(len(some), len(some[0]['arm'].final_utility))

  def gather(name, who, what):
    return np.array(
      [np.asarray(getattr(o[who], what)) for o in outcomes[name]], float
    )

  rows = []
  for name, arm in arms.items():
    returns = gather(name, 'arm', 'returns')
    low, high, columns = (gather(name, end, 'returns') for end in ENDS)
    final = gather(name, 'arm', 'final_utility')
    num_turns = outcomes[name][0]['arm'].satisfaction.shape[1]
    row = {
      'arm': name,
      'label': arm['label'],
      'series': arm['series'],
      'x': arm['x'],
      'row': arm['row'],
      'column': arm['column'],
      'num_seeds': len(returns),
      'num_people': returns.shape[1],
      'final_utility': resamples.ratio(final),
      'final_win_share': resamples.ratio(
        compare.win_share(final, gather(name, 'lmm', 'final_utility'))
      ),
      'renders_per_turn': outcomes[name][0]['arm'].renders_per_turn,
      'num_turns': num_turns,
    }
    if (
      returns.shape[1:] == low.shape[1:]
      and num_turns == (outcomes[name][0]['lmm'].satisfaction.shape[1])
    ):
      row |= {
        'return': resamples.ratio(returns),
        'gain': resamples.ratio(returns - low),
        'relative_gain': resamples.ratio(returns - low, low),
        'share': resamples.ratio(returns - low, high - low),
        'share_of_bayes': resamples.ratio(returns - low, columns - low),
        'distinct_categories': float(
          np.mean(gather(name, 'arm', 'num_categories'))
        ),
        'diversity': float(np.mean([o['diversity'] for o in outcomes[name]])),
      }
      predicted = np.array([o['arm'].predicted[:, 0] for o in outcomes[name]])
      if np.isfinite(predicted).all():
        row['overestimate'] = resamples.ratio(predicted - returns)
    other = arm['reference'] or reference
    if other and name != other:
      if (
        'return' in row
        and num_turns == outcomes[other][0]['arm'].satisfaction.shape[1]
      ):
        row['difference'] = resamples.ratio(
          returns - gather(other, 'arm', 'returns')
        )
      row['final_difference'] = resamples.ratio(
        final - gather(other, 'arm', 'final_utility')
      )
    rows.append(row)
  return rows
