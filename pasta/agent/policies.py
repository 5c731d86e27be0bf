"""Slate policies by name, from the generator's own order to PASTA.

Letters: B sessions, C candidates, L slate columns, K user types.
"""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta import errors
from pasta.agent import expected_selection, inputs, lookahead, slates
from pasta.agent import policy as policy_lib
from pasta.agent import value_model as value_model_lib
from pasta.agent.history import CandidateSet, History
from pasta.user_model import belief

# How a slate is valued, and what finds the best one of scored candidates.
_SELECTORS = {
  'mean': policy_lib.Selector('mean', slates.select_mean, False),
  'choice': policy_lib.Selector('choice', slates.select_choice, True),
}


@jax.jit
def _rank_score(candidates: CandidateSet) -> jax.Array:
  """The generator's own order: 0 for its first candidate, down to −1."""
  batch, pool = candidates.category.shape
  return jnp.broadcast_to(-jnp.arange(pool) / pool, (batch, pool))


@jax.jit
def _utility_score(
  history: History, candidates: CandidateSet, spread_weight: float
) -> jax.Array:
  mean, spread = inputs.moments(history.log_belief, candidates.utility)
  return mean + spread_weight * spread


def _selector(name: str) -> policy_lib.Selector:
  if name not in _SELECTORS:
    raise errors.PastaError(
      f"selector is '{name}': expected one of {tuple(_SELECTORS)}"
    )
  return _SELECTORS[name]


def lmm(num_columns: int, temperature: float = 0.0) -> policy_lib.Policy:
  """The generator's own order, one a category (the paper's baseline)."""
  return policy_lib.Scored(
    name='lmm',
    score=lambda history, candidates: _rank_score(candidates),
    selector=_SELECTORS['mean'],
    num_columns=num_columns,
    uses_features=False,
    temperature=temperature,
  )


def random(num_columns: int) -> policy_lib.Policy:
  """Legal slates at random: a uniform candidate, then one of the rest, …"""
  return policy_lib.Scored(
    name='random',
    score=lambda history, candidates: _rank_score(candidates),
    selector=_SELECTORS['mean'],
    num_columns=num_columns,
    uses_features=False,
    temperature=np.inf,
  )


def optimistic(
  num_columns: int,
  spread_weight: float,
  *,
  renders_pool: bool = False,
  selector_name: str = 'mean',
  **options,
) -> policy_lib.Policy:
  """Σ_k b_k U_k plus spread_weight times its standard deviation.

  With spread_weight 0 this is `greedy`, and with renders_pool, which has all
  candidates drawn and judges their images, `greedy_rendered`.
  """
  name = (
    f'optimistic:spread_weight={spread_weight:g}' if spread_weight else 'greedy'
  )
  return policy_lib.Scored(
    name=name + '_rendered' * renders_pool,
    score=lambda history, candidates: _utility_score(
      history, candidates, spread_weight
    ),
    selector=_selector(selector_name),
    num_columns=num_columns,
    renders_pool=renders_pool,
    **options,
  )


def greedy_slate(
  num_columns: int,
  response: expected_selection.Response,
  *,
  belief: str = 'on',
  renders_pool: bool = False,
) -> policy_lib.Policy:
  """The slate with the best expected utility of selection.

  Where `greedy` takes the best columns one by one, this one hedges between
  types. With renders_pool the candidates' images are known: nothing scatters.
  """
  if renders_pool:
    response = response.replace(
      residual_std=jnp.zeros_like(response.residual_std)
    )
  insert = jax.jit(
    lambda history, candidates: expected_selection.insert(
      lambda sets, expected: expected,
      history.log_belief,
      candidates,
      response,
      num_columns,
    )
  )
  return policy_lib.Inserting(
    name='greedy_slate' + '_rendered' * renders_pool,
    insert=insert,
    num_columns=num_columns,
    predicts=False,
    belief=belief,
    renders_pool=renders_pool,
  )


def pasta(
  num_columns: int,
  value_model: value_model_lib.ValueModel,
  response: expected_selection.Response,
  *,
  temperature: float = 0.0,
  selector_name: str = 'mean',
  pessimism: float = 0.0,
  support_weight: float = 0.0,
) -> policy_lib.Policy:
  """The learned value f(h, p), or of whole slates for credit 'slate'.

  Args:
    num_columns: L.
    value_model: all its members are averaged.
    response: how people respond to slates.
    temperature: 0 for the best slate.
    selector_name: 'mean' or 'choice', for temperature 0.
    pessimism: deviations over the members that are taken off a score.
    support_weight: what is taken off for candidates unlike all that was shown.

  Raises:
    PastaError: an option that a critic of whole slates cannot have.
  """
  settings = value_model.settings
  name = 'pasta'
  if pessimism:
    name += f':pessimism={pessimism:g}'
  if support_weight:
    name += f':support_weight={support_weight:g}'
  if settings.credit == 'slate':
    if temperature or support_weight:
      raise errors.PastaError(
        "policy 'pasta' with credit 'slate' is deterministic and has no "
        'penalty a candidate: expected temperature and support_weight 0'
      )
    return policy_lib.Inserting(
      name=name + ':slate',
      insert=lambda history, candidates: value_model_lib.insert(
        value_model,
        history,
        candidates,
        response,
        pessimism,
        num_columns=num_columns,
      ),
      num_columns=num_columns,
      predicts=value_model.predicts,
      belief=settings.belief,
    )
  return policy_lib.Scored(
    name=name,
    score=lambda history, candidates: value_model_lib.scores(
      value_model, history, candidates, pessimism, support_weight
    ),
    selector=_selector(selector_name),
    num_columns=num_columns,
    belief=settings.belief,
    tokeniser=settings.gemma and settings.gemma.tokeniser,
    credit=settings.credit if value_model.predicts else None,
    temperature=temperature,
    response=response,
  )


NAMES = (
  'lmm',
  'random',
  'greedy',
  'greedy_rendered',
  'greedy_slate',
  'greedy_slate_rendered',
  'lookahead',
  'optimistic',
  'pasta',
)
_DETERMINISTIC = ('greedy_slate', 'greedy_slate_rendered', 'lookahead')
_NEED_RESPONSE = (*_DETERMINISTIC, 'pasta')


def build(
  config: ml_collections.ConfigDict,
  *,
  num_columns: int,
  value_model: value_model_lib.ValueModel | None = None,
  response: expected_selection.Response | None = None,
) -> policy_lib.Policy:
  """The policy that a config names.

  Args:
    config: see configs/common.py:policy.
    num_columns: L.
    value_model: needed by 'pasta'.
    response: how people respond, `expected_selection.learned`; needed
      by selector 'choice', 'greedy_slate' and 'pasta'.

  Raises:
    PastaError: an unknown name, selector, belief or temperature; no value
      model or user model where one is needed.
  """
  policy = _build(config, num_columns, value_model, response)
  return with_options(policy, config)


def with_options(
  policy: policy_lib.Policy, config: ml_collections.ConfigDict
) -> policy_lib.Policy:
  """The policy with what all may have: pools, categories, what it hears.

  Raises:
    PastaError: an unknown kind of feedback, or some for a policy whose belief
      is not for this field to set.
  """
  for kind in config.feedback:
    errors.check_known(f'feedback of policy {config.name}', kind, belief.KINDS)
  if config.feedback and (config.name == 'pasta' or not policy.uses_features):
    raise errors.PastaError(
      f"policy '{config.name}' hears what it was made for: expected feedback "
      "(); pasta's is train_user_model.belief"
    )
  policy.use_categories = config.use_categories
  policy.feedback = tuple(config.feedback)
  policy.num_candidates = config.num_candidates
  return policy


def _build(config, num_columns, value_model, response) -> policy_lib.Policy:
  name, temperature = config.name, config.temperature
  if config.belief not in ('on', 'prior', 'oracle'):
    raise errors.PastaError(
      f"belief of policy {name} is '{config.belief}': expected 'on', 'prior' "
      "or 'oracle'; pasta's is the one it was trained with"
    )
  if response is None and name in _NEED_RESPONSE:
    raise errors.PastaError(
      f"policy '{name}' needs a user model: run launch.train_user_model first"
    )
  if name == 'lmm':
    return lmm(num_columns, temperature)
  if name == 'random':
    return random(num_columns)
  if temperature and name in _DETERMINISTIC:
    raise errors.PastaError(
      f"policy '{name}' is deterministic: expected temperature 0, not "
      f'{temperature}'
    )
  if name in ('greedy_slate', 'greedy_slate_rendered'):
    return greedy_slate(
      num_columns,
      response,
      belief=config.belief,
      renders_pool=name.endswith('_rendered'),
    )
  if name == 'lookahead':
    return lookahead.Planning(
      name=f'lookahead:num_rollouts={config.num_rollouts}',
      num_columns=num_columns,
      belief=config.belief,
      response=response,
      num_rollouts=config.num_rollouts,
    )
  if name in ('greedy', 'greedy_rendered', 'optimistic'):
    return optimistic(
      num_columns,
      config.spread_weight if name == 'optimistic' else 0.0,
      renders_pool=name == 'greedy_rendered',
      belief=config.belief,
      temperature=temperature,
      selector_name=config.selector,
      response=response,
    )
  if name == 'pasta':
    if value_model is None:
      raise errors.PastaError(
        "policy 'pasta' needs a value model: run launch.train_value first"
      )
    if config.member >= 0:
      value_model = value_model_lib.member(value_model, config.member)
    return pasta(
      num_columns,
      value_model,
      response,
      temperature=temperature,
      selector_name=config.selector,
      pessimism=config.pessimism,
      support_weight=config.support_weight,
    )
  raise errors.PastaError(f"policy is '{name}': expected one of {NAMES}")
