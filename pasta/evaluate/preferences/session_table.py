"""How well a user model predicts what people chose in whole sessions."""

import os
from typing import Any

import ml_collections
import numpy as np

from pasta.evaluate.preferences import measures
from pasta.storage import reserve
from pasta.storage import session_features as features_lib
from pasta.user_model import predictions, saved, sources


def evaluate(
  table: ml_collections.ConfigDict, user_model: str, root: str
) -> dict[str, Any]:
  """One table of `tables`, of protocol 'sessions'.

  Args:
    table: of `configs/evaluate_preferences.py`.
    user_model: directory of the fitted model.
    root: what `table.path` is relative to.

  Returns:
    Of each row the accuracy of choices and of worse / same / better, with
    intervals over people.
  """
  features = reserve.sessions(
    features_lib.load_dir(os.path.join(root, table.path)),
    table.reserve,
    table.reserve_share,
    reserved=True,
  )
  model = saved.load(user_model, features.encoder_id)
  most = features.choice.size
  people = sources.from_sessions(features, most)
  # Choices one by one: nothing is known of anybody.
  alone = sources.from_sessions(features, most, 'example')
  _, who = np.unique(features.user_id, return_inverse=True)
  session = alone.row // features.choice.shape[1]
  found = predictions.by_turn(model, people)
  mask = found.choice_mask
  prior = predictions.by_turn(model, alone)
  rows = {
    f'user model, K = {model.num_types}, from the prior': {
      'choice_accuracy': _accuracy(
        prior.is_correct, prior.choice_mask, who[session]
      )
    },
    "user model, after people's earlier answers": _row(found),
  }
  if people.num_users > 1:
    rows["user model, after another person's earlier answers"] = {
      'choice_accuracy': _accuracy(found.mismatched_is_correct, mask)
    }
  single = saved.load_one_type(user_model, features.encoder_id)
  if single is not None:
    rows['one type'] = _row(predictions.by_turn(single, people))
  rows[f'cosine, {features.encoder_id}'] = {
    'choice_accuracy': _accuracy(_cosine_is_correct(people), mask)
  }
  return {
    'data': table.path,
    'protocol': table.protocol,
    'num_observations': people.num_observations,
    'num_people': people.num_users,
    'rows': rows,
    'quoted': [],
  }


def _row(found: predictions.ByTurn) -> measures.Row:
  row = {'choice_accuracy': _accuracy(found.is_correct, found.choice_mask)}
  if found.comparison_mask.any():
    row['comparison_accuracy'] = _accuracy(
      found.comparison_correct, found.comparison_mask
    )
  return row


def _accuracy(
  is_correct: np.ndarray, mask: np.ndarray, person: np.ndarray | None = None
) -> dict[str, float]:
  """Share of [U, O] where mask is 1; `person` [U] joins rows of one person."""
  person = np.arange(len(mask)) if person is None else person
  mask = np.asarray(mask, bool)
  return measures.over_people(
    np.asarray(is_correct)[mask], person[np.nonzero(mask)[0]]
  )


def _cosine_is_correct(source: sources.Source) -> np.ndarray:
  """Whether the column with the image nearest to its prompt was chosen [U, O].

  One person at a time: float32 copies of everybody's features would be large.
  """
  found = []
  for person in range(source.num_users):
    turns = predictions.turns(source, np.array([person]))
    text, image = measures.unit(turns.text[0]), measures.unit(turns.image[0])
    cosine = np.einsum('old,olmd->olm', text, image)
    found.append(cosine.max(-1).argmax(-1) == turns.feedback.choice[0])
  return np.stack(found)
