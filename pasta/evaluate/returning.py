"""A person who comes back: sessions 1, 2, 3, … of the same people.

Each later session is played twice: from the belief that the sessions before
have left, and from the prior, as if the person were new. Person, what they have
in mind, noise and image seeds are the same in both, so the difference is what
the kept belief is worth.

Letters: N people, S sessions.
"""

import os
from collections.abc import Mapping

import ml_collections
import numpy as np

from pasta import errors, metrics
from pasta.agent.policy import Policy
from pasta.evaluate import compare, fresh_people
from pasta.evaluate import judges as judges_lib
from pasta.user_model.model import UserModel
from pasta.world import world as world_lib


def play(
  policy: Policy,
  judges: judges_lib.Judges,
  config: ml_collections.ConfigDict,
  workdir: str,
  directory: str,
  world: world_lib.World,
  model: UserModel,
) -> list[dict[str, object]]:
  """S sessions of N people with one policy.

  Args: as for `fresh_people.play_policy`; the people have S sittings each.

  Returns:
    Of each session the `return` of those who are known from their earlier
    sessions, for the second on `fresh`, that of the same people as if they were
    new, and the paired `gain`; estimates as in `compare.compare`.

  Raises:
    PastaError: a policy without a belief.
  """
  if not policy.uses_features:
    raise errors.PastaError(
      f"config field 'returning.policies' names {policy.policy_id}, which has "
      'no belief to keep'
    )

  def returns(where, sitting, known):
    outcome, _ = fresh_people.play_policy(
      policy, sitting, config, workdir, where, world, model, known
    )
    return outcome.returns

  rows, known = [], None
  for session in range(judges.num_sessions):
    sitting = judges.session(session)
    where = os.path.join(directory, f'session-{session + 1}')
    carried = returns(where, sitting, known)
    row = {'return': _estimate(carried, config.seed)}
    if known is not None:
      fresh = returns(f'{where}-as-if-new', sitting, None)
      row |= {
        'fresh': _estimate(fresh, config.seed),
        'gain': _estimate(carried - fresh, config.seed),
      }
    rows.append(row)
    known = fresh_people.known_after(where, model)
  return rows


def _estimate(values: np.ndarray, seed: int) -> Mapping[str, float]:
  return metrics.bootstrap_mean(
    values, num_resamples=compare.NUM_RESAMPLES, seed=seed
  )._asdict()


def lines(results: Mapping[str, list[dict]]) -> list[str]:
  """What coming back is worth, as lines for a terminal."""
  return [
    f'{name:>12}  session {i + 1}: {row["gain"]["mean"]:+.3f} '
    f'[{row["gain"]["low"]:+.3f}, {row["gain"]["high"]:+.3f}] by what was '
    'learned of the person before'
    for name, rows in results.items()
    for i, row in enumerate(rows)
    if 'gain' in row
  ]
