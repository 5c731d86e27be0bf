"""The hidden population: synthetic people with a known truth.

A person likes values of scene attributes: a table of weights [S, V] (slots by
values), the sum of what everybody likes (common), what their true type likes,
and a personal deviation. Behind each session stands an intent: values that the
person has in mind this time, some of which the initial prompt names. People
judge a column by its best image, choose with noise, and report a satisfaction.

Where `habituation` is h > 0, people differ in how soon they tire of a look:
h_i is 2 h for half of them and 0 for the others. For each style and palette v,

  u_t(v) = taste(v) − h_i A_t(v),
  A_{t+1}(v) = 0.7 A_t(v) + the share of the chosen column's images showing v,

with A_0 = 0 at the start of every session. What people have in mind for a
session, and all other slots, are untouched.

Only people and the ceilings `bayes` and `oracle` see this; learners see
prompts, pixels and feedback.
"""

import dataclasses
from collections.abc import Sequence

import ml_collections
import numpy as np

from pasta import errors, seeds
from pasta.population import initial_prompts
from pasta.t2i.sketch import lexicon, scene
from pasta.types import screen_position

NUM_SLOTS = scene.NUM_SLOTS
NUM_VALUES = scene.MAX_VALUES
TIRING_SLOTS = tuple(
  lexicon.SLOT_NAMES.index(name) for name in ('style', 'palette')
)
BOREDOM_DECAY = 0.7  # a turn
# Slots that an initial prompt names at most: people type about twelve words.
_MOST_NAMED = 3
# 1 where a slot has a value of that index, else padding, [S, V].
VALID = (
  np.arange(NUM_VALUES)[None, :] < np.array(lexicon.SLOT_SIZES)[:, None]
).astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Population:
  """The true parameters.

  Attributes:
    tastes: each true type's weights [K*, S, V].
    type_prior: share of each true type [K*].
    config: the knobs (configs/common.py:population says what each means).
    center: utility at which satisfaction is one half.
  """

  tastes: np.ndarray
  type_prior: np.ndarray
  config: ml_collections.ConfigDict
  center: float


@dataclasses.dataclass(frozen=True)
class Crowd:
  """N sittings: a person and what they have in mind, one a session.

  Attributes:
    user_ids: N texts.
    initial_prompts: N texts.
    types: true type of each [N].
    tastes: lasting taste [N, S, V].
    intents: weights of this session's intent [N, S, V].
    named: 1 where the initial prompt names the slot [N, S].
    generosity: shift of the reported satisfaction, in logits [N].
    habituation: h_i [N].
    noise_seeds: root of each sitting's noise [N].
  """

  user_ids: tuple[str, ...]
  initial_prompts: tuple[str, ...]
  types: np.ndarray
  tastes: np.ndarray
  intents: np.ndarray
  named: np.ndarray
  generosity: np.ndarray
  habituation: np.ndarray
  noise_seeds: np.ndarray

  def __len__(self) -> int:
    return len(self.user_ids)

  def select(self, index: np.ndarray) -> 'Crowd':
    """The sittings at the given integer positions."""
    return Crowd(
      **{
        f.name: (
          tuple(getattr(self, f.name)[i] for i in index)
          if isinstance(getattr(self, f.name), tuple)
          else getattr(self, f.name)[index]
        )
        for f in dataclasses.fields(self)
      }
    )


def build(config: ml_collections.ConfigDict) -> Population:
  """Draws the true types from `config.seed`.

  Raises:
    PastaError: a knob is out of range (the field is named).
  """
  errors.check_least(
    config,
    'population.{}',
    num_types=1,
    common_scale=0,
    type_scale=0,
    person_scale=0,
    intent_scale=0,
    choice_noise=0,
    satisfaction_noise=0,
    drift_scale=0,
    habituation=0,
    careless_share=0,
    position_bias=0,
  )
  if config.careless_share > 1:
    raise errors.PastaError(
      f'population.careless_share is {config.careless_share}, expected a share '
      'of choices, at most 1'
    )
  rng = np.random.default_rng([config.seed, 0])
  slot_scale = np.array([config.slot_scales[n] for n in lexicon.SLOT_NAMES])
  shape = (NUM_SLOTS, NUM_VALUES)
  common = config.common_scale * rng.standard_normal(shape)
  by_type = rng.standard_normal((config.num_types, *shape))
  # Powers above 1: a few strong likes and dislikes, little in between.
  by_type = np.sign(by_type) * np.abs(by_type) ** config.type_power
  by_type *= config.type_scale / by_type.std()
  # How much a type cares about each slot at all.
  importance = np.exp(
    config.importance_spread
    * rng.standard_normal((config.num_types, NUM_SLOTS))
  )
  importance /= np.sqrt((importance**2).mean(1, keepdims=True))
  by_type *= importance[..., None]
  prior = rng.dirichlet(np.full(config.num_types, config.type_concentration))
  if config.num_types > 1:
    # What everybody shares is the common part alone.
    by_type -= np.einsum('k,ksv->sv', prior, by_type)
  tastes = (common + by_type) * slot_scale[:, None]
  population = Population(
    tastes=tastes * VALID, type_prior=prior, config=config, center=0.0
  )
  # Half the satisfaction scale: the typical best-of-column of a first slate.
  crowd = draw_crowd(population, 500, 1, seed=config.seed + 1_000_003)
  scenes = scene.sample(list(crowd.initial_prompts), crowd.noise_seeds, 4)
  best = image_utility(crowd, scenes[:, None]).max(-1)
  return dataclasses.replace(
    population, center=float(best.mean()) + config.satisfaction_center
  )


def draw_tastes(
  population: Population, num: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """People from the prior: (types [N], tastes [N, S, V])."""
  config = population.config
  types = rng.choice(len(population.type_prior), num, p=population.type_prior)
  slot_scale = np.array([config.slot_scales[n] for n in lexicon.SLOT_NAMES])
  deviation = (
    config.person_scale
    * slot_scale[:, None]
    * rng.standard_normal((num, NUM_SLOTS, NUM_VALUES))
  )
  return types, population.tastes[types] + deviation * VALID


def draw_intents(
  population: Population, num: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """What people have in mind: (values [N, S], weights [N, S]).

  A slot that matters to nobody this time has weight zero.
  """
  config = population.config
  values = np.stack(
    [rng.choice(len(v), num, p=_prior(v)) for v in lexicon.SLOTS.values()],
    axis=1,
  )
  cares = rng.random((num, NUM_SLOTS)) < config.intent_share
  return values, config.intent_scale * cares


def intent_table(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """One-hot weights [N, S, V] of intents (values [N, S], weights [N, S])."""
  return weights[..., None] * (
    values[..., None] == np.arange(NUM_VALUES)
  ).astype(np.float64)


def _prior(values: tuple[lexicon.Value, ...]) -> np.ndarray:
  weights = np.array([v.weight for v in values])
  return weights / weights.sum()


def draw_crowd(
  population: Population,
  num_people: int,
  sessions_per_person: int,
  *,
  seed: int,
  prompts: Sequence[str] = (),
) -> Crowd:
  """Draws people and their sittings; person i's sittings are consecutive.

  Args:
    population: where they are drawn from.
    num_people: how many.
    sessions_per_person: sittings of each.
    seed: of all that is drawn; two seeds give two sets of people.
    prompts: what they type, one a sitting; (): something they have in mind.
  """
  config = population.config
  rng = np.random.default_rng([config.seed, 1, seed])
  types, tastes = draw_tastes(population, num_people, rng)
  repeat = np.repeat(np.arange(num_people), sessions_per_person)
  num = len(repeat)
  values, weights = draw_intents(population, num, rng)
  # The initial prompt names the subject (or its group) and now and then more.
  lots = rng.random((num, NUM_SLOTS))
  lots[:, 0] = -1.0
  rank = np.argsort(np.argsort(lots, axis=1), axis=1)
  named = (lots < config.named_share) & (rank < _MOST_NAMED)
  if prompts:
    typed, values, named = initial_prompts.picked(prompts, values, seed)
  else:
    typed = initial_prompts.made_of(values, named, seed)
  weights = np.where(named, config.intent_scale, weights)
  generosity = config.generosity_spread * rng.standard_normal(num_people)
  # Its own stream: people are the same whether or not some tire.
  lots = seeds.uniform(seed, 'habituation', np.arange(num_people))
  habituation = np.where(lots < 0.5, 2 * config.habituation, 0.0)
  noise = seeds.derive(seed, 'sitting', np.arange(num))
  return Crowd(
    user_ids=tuple(f'p{seed}-{i}' for i in repeat),
    initial_prompts=tuple(typed),
    types=types[repeat],
    tastes=tastes[repeat],
    intents=intent_table(values, weights),
    named=named.astype(np.float64),
    generosity=generosity[repeat],
    habituation=habituation[repeat],
    noise_seeds=noise,
  )


def image_utility(crowd: Crowd, scenes: np.ndarray) -> np.ndarray:
  """What each person feels for each image.

  Args:
    crowd: N sittings.
    scenes: int8 [N, L, M, S].

  Returns:
    float64 [N, L, M].
  """
  table = crowd.tastes + crowd.intents  # [N, S, V]
  sitting = np.arange(len(crowd))[:, None, None, None]
  slot = np.arange(NUM_SLOTS)
  return table[sitting, slot, scenes].sum(-1)


def drifted(population: Population, crowd: Crowd, turn: int) -> Crowd:
  """The crowd as it is at a turn: tastes take a random step between turns.

  The steps depend on (sitting, turn) only, whatever people are shown.
  """
  config = population.config
  if not config.drift_scale or not turn:
    return crowd
  slot_scale = np.array([config.slot_scales[n] for n in lexicon.SLOT_NAMES])
  steps = sum(
    seeds.normal(
      crowd.noise_seeds[:, None, None],
      'drift',
      t,
      np.arange(NUM_SLOTS)[:, None],
      np.arange(NUM_VALUES),
    )
    for t in range(1, turn + 1)
  )  # [N, S, V]
  steps = config.drift_scale * slot_scale[:, None] * steps * VALID
  return dataclasses.replace(crowd, tastes=crowd.tastes + steps)


def bored(crowd: Crowd, boredom: np.ndarray) -> Crowd:
  """The crowd as it feels with boredom A [N, S, V]; see the module."""
  if not crowd.habituation.any():
    return crowd
  tiring = crowd.habituation[:, None, None] * boredom
  return dataclasses.replace(crowd, tastes=crowd.tastes - tiring)


def next_boredom(
  boredom: np.ndarray, scenes: np.ndarray, choice: np.ndarray
) -> np.ndarray:
  """A_{t+1} [N, S, V] from A_t; see the module.

  Args:
    boredom: A_t [N, S, V]; zeros at the start of a session.
    scenes: int8 [N, L, M, S], what the slates of turn t show.
    choice: the columns chosen at turn t, int [N].
  """
  chosen = scenes[np.arange(len(choice)), choice]  # [N, M, S]
  share = (chosen[..., None] == np.arange(NUM_VALUES)).mean(1)  # [N, S, V]
  return expected_boredom(boredom, share)


def expected_boredom(boredom: np.ndarray, share: np.ndarray) -> np.ndarray:
  """A_{t+1} [..., S, V] from A_t and what share of images shows each value."""
  tires = np.isin(np.arange(NUM_SLOTS), TIRING_SLOTS)
  return BOREDOM_DECAY * boredom + share * tires[:, None]


def answer(
  population: Population,
  crowd: Crowd,
  scenes: np.ndarray,
  previous: np.ndarray | None,
  turn: int,
  columns: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """People look at their slates and answer.

  A column's place on the screen adds position_bias · (1 − c / (L − 1)) to its
  utility, c = 0 … L − 1 from the first column on, while people choose; what
  they feel for what they have chosen is their utility alone. A share of choices
  is careless: uniform over the columns, whatever and wherever they are.

  Noise depends on (sitting, turn, column) only, so that policies can be
  compared on the same people with the same noise.

  Args:
    population: the truth.
    crowd: N sittings, as bored as they are (`bored`).
    scenes: int8 [N, L, M, S], what the slates show.
    previous: utility of the column chosen in the turn before [N], or None.
    turn: 0-based.
    columns: on-screen order [N, L], screen column c shows entry columns[c];
      None where nothing stands in an order.

  Raises:
    PastaError: places matter to these people, and the order is not given.

  Returns:
    (choice int [N], satisfaction [N] in [0, 1], comparison int [N] in
    {-1, 0, 1} with zeros where there is no turn before, true utility of the
    chosen column [N]).
  """
  config = population.config
  crowd = drifted(population, crowd, turn)
  column = image_utility(crowd, scenes).max(-1)  # [N, L], by the best image
  noise = seeds.gumbel(
    crowd.noise_seeds[:, None], 'choice', turn, np.arange(column.shape[1])
  )
  appeal = column
  if config.position_bias:
    if columns is None:
      raise errors.PastaError(
        f'population.position_bias is {config.position_bias}, and these '
        'columns have no order on a screen, expected 0'
      )
    appeal = column + config.position_bias * screen_position(columns)
  lot = seeds.uniform(crowd.noise_seeds, 'careless', turn)
  is_careless = (lot < config.careless_share)[:, None]
  choice = np.argmax(
    np.where(is_careless, noise, appeal + config.choice_noise * noise), axis=1
  )
  chosen = np.take_along_axis(column, choice[:, None], 1)[:, 0]
  logit = (
    config.satisfaction_slope * (chosen - population.center) + crowd.generosity
  )
  level = 1.0 / (1.0 + np.exp(-logit))
  normal = seeds.normal(crowd.noise_seeds, 'satisfaction', turn)
  satisfaction = np.clip(level + config.satisfaction_noise * normal, 0.0, 1.0)
  comparison = np.zeros(len(crowd), np.int64)
  if previous is not None:
    difference = (
      chosen
      - previous
      + config.comparison_noise
      * seeds.normal(crowd.noise_seeds, 'comparison', turn)
    )
    comparison = np.where(
      np.abs(difference) < config.comparison_threshold, 0, np.sign(difference)
    ).astype(np.int64)
  return choice, satisfaction, comparison, chosen
