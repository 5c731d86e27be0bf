"""How well a user model predicts what people chose in whole sessions."""

import os
from typing import Any

import ml_collections
import numpy as np

from pasta.evaluate.preferences import measures
from pasta.storage import reserve
from pasta.storage import session_features as features_lib
from pasta.user_model import evaluate as model_evaluate
from pasta.user_model import saved
from pasta.user_model import sessions_by_person as data_lib


def evaluate(
  table: ml_collections.ConfigDict, name: str, user_model: str, root: str
) -> dict[str, Any]:
  """One table of `tables`, of protocol 'sessions'.

  Args:
    table: of `configs/evaluate_preferences.py`.
    name: of the table.
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
  people, names = data_lib.from_features(features, most)
  # Choices one by one: nothing is known of anybody.
  alone, _ = data_lib.from_features(features, most, 'example')
  places, _ = data_lib.group(features, most, 'example')
  who = np.unique(features.user_id, return_inverse=True)[1]
  found = model_evaluate.predict(model, people)
  rows = {
    f'user model, K = {model.num_types}, from the prior': {
      'choice_accuracy': _accuracy(
        model_evaluate.predict(model, alone).is_correct,
        alone.mask,
        who[places.session[:, 0]],
      )
    },
    "user model, after people's earlier answers": _row(found),
  }
  if len(names) > 1:
    rows["user model, after another person's earlier answers"] = {
      'choice_accuracy': _accuracy(found.mismatched_is_correct, people.mask)
    }
  single = saved.load_one_type(user_model, features.encoder_id)
  if single is not None:
    rows['one type'] = _row(model_evaluate.predict(single, people))
  rows[f'cosine, {features.encoder_id}'] = {
    'choice_accuracy': _accuracy(_cosine_is_correct(people), people.mask)
  }
  return {
    'data': table.path,
    'protocol': table.protocol,
    'num_observations': int(people.mask.sum()),
    'num_people': len(names),
    'rows': rows,
    'quoted': [],
  }


def _row(found: model_evaluate.Predictions) -> measures.Row:
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


def _cosine_is_correct(people: data_lib.UserData) -> np.ndarray:
  """Whether the column with the image nearest to its prompt was chosen."""
  guess = np.zeros(people.choice.shape, np.int32)
  for person, (text, image) in enumerate(zip(people.text, people.image)):
    cosine = np.einsum(
      'old,olmd->olm', measures.unit(text), measures.unit(image)
    )
    guess[person] = cosine.max(-1).argmax(-1)
  return guess == people.choice
