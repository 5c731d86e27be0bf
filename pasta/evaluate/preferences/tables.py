"""Tables as in the field: a user model on public preference data.

Rows are the user model (from the prior, after people's earlier answers, after
their answers in another split or another person's there), the same fit with one
type, CLIP's cosine and other encoders' cosines; published figures are quoted
beside.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from pasta import errors
from pasta.evaluate.preferences import measures, quoted, session_table
from pasta.storage import preferences, reserve
from pasta.user_model import pair_protocols, predictions, saved, sources
from pasta.user_model.model import UserModel

PROTOCOLS = (
  'pairs',
  'chains',
  'choices',
  'rankings',
  'ratings',
  'sessions',
)
_KINDS = {  # of feedback that a protocol is for
  'pairs': 'pair',
  'chains': 'pair',
  'choices': 'choice',
  'rankings': 'ranking',
  'ratings': 'rating',
}
_COSINE_SCALE = 100.0  # CLIP's own logit scale


class Scores(NamedTuple):
  """Scores of a data set's columns under each of K types.

  Attributes:
    utility: [N, L, K].
    log_likelihood: of what was said [N, K]; None for what has no types.
    scale: of utilities in a choice between two.
    log_prior: [K].
  """

  utility: np.ndarray
  log_likelihood: np.ndarray | None
  scale: float
  log_prior: np.ndarray


def check(config: ml_collections.ConfigDict) -> None:
  """Raises PastaError for a field that holds what it cannot."""
  if not config.tables:
    raise errors.PastaError("config field 'tables' is empty")
  for name, table in config.tables.items():
    errors.check_known(
      f"config field 'tables.{name}.protocol'", table.protocol, PROTOCOLS
    )
  for baseline in config.baselines:
    if '=' not in baseline:
      raise errors.PastaError(
        f"config field 'baselines' holds {baseline!r}, expected NAME=DIRECTORY"
      )


def evaluate(
  table: ml_collections.ConfigDict,
  config: ml_collections.ConfigDict,
  root: str,
) -> dict[str, Any]:
  """One table: {'rows': {name: measures}, 'quoted': [...], ...}."""
  where = os.path.join(root, config.user_model)
  if table.protocol == 'sessions':
    return session_table.evaluate(table, where, root)
  paths = {'': table.path}
  paths |= {p: table[p] for p in ('validation', 'context') if table[p]}
  stores = _open(root, table, paths)
  store = stores['']
  model = saved.load(where, store.encoder_id)
  users = store.records.user_id
  rows = {}

  def add(label: str, found: dict[str, Scores], belief: str) -> None:
    rows[label] = _measure(table.protocol, stores, found, belief)

  own = {part: of_model(model, s) for part, s in stores.items()}
  add(f'user model, K = {model.num_types}, from the prior', own, 'prior')
  if users is not None:
    add("user model, after people's earlier answers", own, 'earlier')
    if table.context and stores['context'].records.user_id is not None:
      add(f'user model, after answers in {table.context}', own, 'context')
      if len(np.unique(stores['context'].records.user_id)) > 1:
        label = "user model, after another person's answers there"
        add(label, own, 'mismatched')
  # What follows learns from nobody's answers.
  judged = {part: s for part, s in stores.items() if part != 'context'}
  single = saved.load_one_type(where, store.encoder_id)
  if single is not None:
    add(
      'one type', {p: of_model(single, s) for p, s in judged.items()}, 'prior'
    )
  add(
    f'cosine, {store.encoder_id}',
    {p: cosine(s) for p, s in judged.items()},
    'prior',
  )
  for baseline in config.baselines:
    label, _, folder = baseline.partition('=')
    others = _open(
      root,
      table,
      {
        part: _moved(table[field], config.features, folder)
        for part, field in (('', 'path'), ('validation', 'validation'))
        if table[field]
      },
    )
    if len(others[''].records) != len(store.records):
      raise errors.PastaError(
        f'{others[""].directory}: holds {len(others[""].records)} '
        f'observations, {store.directory} {len(store.records)}'
      )
    add(label, {p: cosine(s) for p, s in others.items()}, 'prior')
  return {
    'data': table.path,
    'protocol': table.protocol,
    'num_observations': len(store.records),
    'num_people': 0 if users is None else len(np.unique(users)),
    'rows': rows,
    'quoted': [q._asdict() for q in quoted.of(store.info, table.protocol)],
  }


def _open(
  root: str, table: ml_collections.ConfigDict, paths: Mapping[str, str]
) -> dict[str, preferences.Store]:
  """Data sets by part; of the judged one '' what training has left alone."""
  stores = {
    part: preferences.load(os.path.join(root, path))
    for part, path in paths.items()
  }
  stores[''] = reserve.part(
    stores[''], table.reserve, table.reserve_share, reserved=True
  )
  return stores


def _moved(path: str, old: str, new: str) -> str:
  """OLD/REST as NEW/REST."""
  first, _, rest = path.partition('/')
  if first != old:
    raise errors.PastaError(
      f'{path}: does not lie in {old!r} (config field features), so other '
      f'features of it cannot be found in {new!r}'
    )
  return os.path.join(new, rest)


def of_model(model: UserModel, store: preferences.Store) -> Scores:
  """A user model's utilities, in the data set's order."""
  source = sources.from_store(store, 'example', 'table')
  found = predictions.by_observation(model, source)
  return Scores(
    found.utility,
    found.log_likelihood,
    float(np.exp(jax.device_get(model.choice_log_scale))),
    np.asarray(model.log_prior, np.float64),
  )


def cosine(store: preferences.Store) -> Scores:
  """Cosine of prompt and best image, as one type that everybody is of."""
  records = store.records
  utility = np.zeros((*records.image.shape[:2], 1), np.float32)
  for start in range(0, len(records), 4096):
    part = slice(start, start + 4096)
    text = measures.unit(store.text[records.text[part]])
    image = measures.unit(store.image[np.maximum(records.image[part], 0)])
    utility[part, :, 0] = np.einsum('nd,nlmd->nlm', text, image).max(-1)
  return Scores(utility, None, _COSINE_SCALE, np.zeros(1))


def log_beliefs(
  kind: str,
  stores: Mapping[str, preferences.Store],
  found: Mapping[str, Scores],
) -> np.ndarray:
  """Belief over types before each observation [N, K].

  Args:
    kind: 'prior'; 'earlier', after the person's earlier answers in the same
      data set; 'context', after their answers in another one; or 'mismatched',
      after those of the next person there.
    stores: the data set as '', and 'context'.
    found: scores of both.
  """
  records, scores = stores[''].records, found['']
  num = len(records)
  joint = np.tile(scores.log_prior, (num, 1))
  if kind in ('context', 'mismatched'):
    known = stores['context'].records.user_id
    names, place = np.unique(known, return_inverse=True)
    total = np.zeros((len(names), joint.shape[1]))
    np.add.at(total, place, found['context'].log_likelihood)
    at = np.searchsorted(names, records.user_id)
    at = np.minimum(at, len(names) - 1)
    same = names[at] == records.user_id
    if kind == 'mismatched':
      at = (at + 1) % len(names)
    joint += np.where(same[:, None], total[at], 0.0)
  elif kind == 'earlier':
    _, person = np.unique(records.user_id, return_inverse=True)
    order = np.lexsort((_time(records), person))
    likelihood = scores.log_likelihood[order].astype(np.float64)
    before = np.cumsum(likelihood, 0) - likelihood
    starts = np.flatnonzero(np.diff(person[order], prepend=-1))
    begin = np.repeat(starts, np.diff(np.append(starts, num)))
    joint[order] += before - before[begin]
  return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)


def _time(records: preferences.Records) -> np.ndarray:
  """What grows with time [N]; the order in the data set where none is known."""
  return records.extra.get('order', np.arange(len(records)))


def _first_preferred(scores: Scores, log_belief: np.ndarray) -> np.ndarray:
  difference = scores.scale * (scores.utility[:, 0] - scores.utility[:, 1])
  first = 1.0 / (1.0 + np.exp(-np.clip(difference, -500, 500)))
  return (np.exp(log_belief) * first).sum(-1)


def _choice_probability(
  scores: Scores, log_belief: np.ndarray, image: np.ndarray
) -> np.ndarray:
  """Of each column [N, L]; 0 for those that are not there."""
  there = (image >= 0).all(-1)
  logit = np.where(there[:, :, None], scores.scale * scores.utility, -np.inf)
  logit -= logit.max(1, keepdims=True)
  odds = np.exp(logit)
  by_type = odds / odds.sum(1, keepdims=True)  # [N, L, K]
  return (by_type * np.exp(log_belief)[:, None]).sum(-1)


def _measure(
  protocol: str,
  stores: Mapping[str, preferences.Store],
  found: Mapping[str, Scores],
  belief: str,
) -> measures.Row:
  """One row of a table."""
  records, scores = stores[''].records, found['']
  log_belief = log_beliefs(belief, stores, found)
  person = records.user_id
  if person is None:
    person = np.arange(len(records))
  kind = _KINDS[protocol]
  if records.kind != kind:
    raise errors.PastaError(
      f'{stores[""].directory}: holds feedback of kind {records.kind!r}, '
      f'protocol {protocol!r} needs {kind!r}'
    )
  if protocol == 'pairs':
    threshold = None
    if 'validation' in stores:
      known = stores['validation'].records.feedback
      prior = np.tile(found['validation'].log_prior, (len(known), 1))
      prior -= np.logaddexp.reduce(prior, axis=1, keepdims=True)
      threshold = pair_protocols.tie_threshold(
        _first_preferred(found['validation'], prior), known
      )
    return measures.pairs(
      _first_preferred(scores, log_belief), records.feedback, person, threshold
    )
  if protocol == 'choices':
    return measures.choices(
      _choice_probability(scores, log_belief, records.image),
      records.feedback,
      person,
    )
  expected = (scores.utility * np.exp(log_belief)[:, None]).sum(-1)  # [N, L]
  if protocol == 'chains':
    uid = np.stack([_extra(stores[''], f'image_uid_{s}') for s in '01'], 1)
    chains = measures.chains(
      uid, records.feedback, records.text, person, _time(records)
    )
    if not len(chains):
      return {}
    later, new, before, lost = chains.T
    # Both under what was known before the first of the two turns.
    weight = np.exp(log_belief[before])
    better = (scores.utility[later, new] * weight).sum(-1)
    worse = (scores.utility[before, lost] * weight).sum(-1)
    return measures.cross_turn(better, worse, person[before])
  if protocol == 'rankings':
    rank = _extra(stores[''], 'mean_rank').astype(float)
    missing = (records.image < 0).all(-1)
    return measures.rankings(
      np.where(missing, np.nan, expected),
      np.where(missing, np.nan, rank),
      _extra(stores[''], 'prompt_row'),
    )
  return measures.ratings(expected[:, 0], records.feedback, person)


def _extra(store: preferences.Store, name: str) -> np.ndarray:
  if name not in store.records.extra:
    raise errors.PastaError(
      f'{store.directory}: its observations have no {name!r}, which this '
      f'protocol needs; they have {sorted(store.records.extra)}'
    )
  return store.records.extra[name]


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
  """All tables; quoted figures are marked."""
  lines = []
  for name, table in found.items():
    columns = [c for row in table['rows'].values() for c in row]
    columns += [q['column'] for q in table['quoted']]
    columns = list(dict.fromkeys(columns))
    lines += [
      f'## {name}',
      '',
      f'{table["data"]}: {table["num_observations"]} observations of '
      f'{table["num_people"] or "unknown"} people; 95 % bootstrap intervals.',
      '',
      f'| | {" | ".join(columns)} |',
      f'|---|{"---|" * len(columns)}',
    ]
    for label, row in table['rows'].items():
      cells = [_cell(row.get(c)) for c in columns]
      lines.append(f'| {label} | {" | ".join(cells)} |')
    for q in table['quoted']:
      cells = [
        f'{100 * q["value"]:.1f} %' if c == q['column'] else '' for c in columns
      ]
      lines.append(
        f'| *quoted:* {q["name"]} ({q["source"]}) | {" | ".join(cells)} |'
      )
    lines.append('')
  return '\n'.join(lines)


def _cell(found: Mapping[str, float] | None) -> str:
  if found is None:
    return ''
  mean, low, high = (100 * found[k] for k in ('mean', 'low', 'high'))
  return f'{mean:.1f} % [{low:.1f}, {high:.1f}], n = {found["num"]}'
