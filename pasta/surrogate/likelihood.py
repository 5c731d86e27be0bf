"""How well a surrogate foretells images, beside a Gaussian that does.

Letters: P prompts (columns), M images of each, D embedding width.
"""

import jax
import numpy as np

from pasta.surrogate import flow
from pasta.surrogate.columns import CHUNK, Columns
from pasta.surrogate.flow import Surrogate
from pasta.user_model.packing import chunks

_log_density = jax.jit(flow.log_density)


def log_likelihood(
  model: Surrogate, data: Columns, blur: float, key: jax.Array
) -> float:
  """Mean log density of an image's whitened features, in nats.

  Args:
    model: the surrogate.
    data: prompts' features [P, D] and their images' [P, M, D].
    blur: standard deviation of what is added to whitened features.
    key: draws that; the same key makes surrogates comparable.
  """
  text, image = data
  total = 0.0
  for i, (index, count) in enumerate(chunks(len(text), CHUNK)):
    chunk = image[index]
    added = blur * jax.random.normal(jax.random.fold_in(key, i), chunk.shape)
    found = _log_density(model, text[index], chunk, added)
    total += float(np.asarray(found)[:count].mean(1).sum())
  return total / len(text)


def gaussian_log_likelihood(
  training: Columns,
  data: Columns,
  constants: dict[str, jax.Array],
  blur: float,
) -> float:
  """What a linear mean with one covariance of residuals would have, in nats.

  Args:
    training: what the Gaussian is fitted to.
    data: what it is judged by.
    constants: of the surrogate; gives the units.
    blur: as for `log_likelihood`; here it only adds to the covariance.
  """
  constants = jax.tree.map(np.asarray, constants)

  def prepared(text, image):
    x = (text.astype(np.float64) - constants['text_mean']) / (
      constants['text_std']
    )
    u = image.astype(np.float64) - constants['image_mean']
    return np.c_[x, np.ones(len(x))], u @ constants['image_whiten']

  x, u = prepared(*training)
  weights = np.linalg.solve(
    x.T @ x + np.eye(x.shape[1]), x.T @ u.mean(1)
  )  # a ridge of 1
  residual = (u - (x @ weights)[:, None]).reshape(-1, u.shape[-1])
  dim = residual.shape[1]
  covariance = residual.T @ residual / len(residual) + blur**2 * np.eye(dim)
  x, u = prepared(*data)
  residual = (u - (x @ weights)[:, None]).reshape(-1, dim)
  _, log_det = np.linalg.slogdet(covariance)
  square = np.sum(residual.T * np.linalg.solve(covariance, residual.T), 0)
  # The expectation over the blur of the data.
  square = square.mean() + blur**2 * np.trace(np.linalg.inv(covariance))
  return float(-0.5 * (square + log_det + dim * np.log(2 * np.pi)))
