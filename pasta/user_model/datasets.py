"""The data sets of a fit: read, grouped by person, split."""

import dataclasses
from collections.abc import Mapping

import jax
import ml_collections
import numpy as np

from pasta import errors
from pasta.storage import preferences as preferences_lib
from pasta.storage import session_features as features_lib
from pasta.user_model import sessions_by_person as data_lib
from pasta.user_model import sources
from pasta.user_model.sources import Source

Dataset = features_lib.SessionFeatures | preferences_lib.Store


@dataclasses.dataclass(frozen=True)
class Split:
  """A data set, split by person.

  Attributes:
    train: people to learn from.
    held_out: other people; may be nobody.
    train_sessions: the former as sessions; None for data that are not.
    held_out_sessions: likewise.
  """

  train: Source
  held_out: Source
  train_sessions: data_lib.UserData | None = None
  held_out_sessions: data_lib.UserData | None = None


def encoder_id(datasets: Mapping[str, Dataset]) -> str:
  """The encoder of all data sets' features; PastaError where they differ."""
  found = {name: d.encoder_id for name, d in datasets.items()}
  if len(set(found.values())) != 1:
    raise errors.PastaError(
      f'data sets have features of different encoders: {found}'
    )
  return next(iter(found.values()))


def split(
  datasets: Mapping[str, Dataset],
  config: ml_collections.ConfigDict,
  key: jax.Array,
) -> dict[str, Split]:
  """Groups and splits every data set as `config.sources` says.

  Args:
    datasets: by name, each with a field of that name in `config.sources`.
    config: `configs/train_user_model.py`.
    key: typed key that draws who is held out.

  Raises:
    PastaError: data that are broken, or a field out of range.
  """
  found = {}
  for i, (name, dataset) in enumerate(datasets.items()):
    settings = config.sources[name]
    limits = settings.held_out_share, settings.max_held_out_users
    # The first data set's split does not depend on whether there are others.
    split_key = jax.random.fold_in(key, i) if i else key
    if isinstance(dataset, preferences_lib.Store):
      source = sources.from_store(dataset, settings.membership, name)
      found[name] = Split(*data_lib.split(source, *limits, split_key))
      continue
    data, user_ids = data_lib.from_features(
      dataset, settings.max_observations, settings.membership
    )
    parts = data_lib.split(data, *limits, split_key)
    train, held_out = (
      sources.from_user_data(part, user_ids, name) for part in parts
    )
    found[name] = Split(train, held_out, *parts)
  return found


def columns(source: Source, max_columns: int) -> tuple[np.ndarray, np.ndarray]:
  """Shown columns of observations spread evenly over a data set.

  Args:
    source: the data set.
    max_columns: at most about so many.

  Returns:
    Prompts [n, D] and images [n, M, D].
  """
  num_columns = source.gather(source.row[:1])[1].shape[1]
  num = min(source.num_observations, max(max_columns // num_columns, 1))
  at = np.arange(num) * source.num_observations // num
  batch = source.read(at)
  text = np.broadcast_to(batch.text, (num, num_columns, *batch.text.shape[2:]))
  there = np.ones((num, num_columns), bool)
  if batch.available is not None:
    there = batch.available
  return text[there], batch.image[there]
