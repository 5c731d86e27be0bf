"""How well one source of images stands for another: the surrogate's report.

Two renders of a prompt differ, so that no surrogate can agree with rendered
images better than renders with other seeds do: the ceiling of every figure.

Letters: S slates, L columns, M images per prompt, D embedding width, K types.
"""

import jax
import numpy as np

from pasta.user_model import model as user_model_lib
from pasta.user_model import text_utility
from pasta.user_model.model import UserModel

FIGURES = (  # key, what tables call it, digits
  ('utility_correlation', 'correlation of utilities, mean over types', 3),
  ('utility_correlation_worst', '… of the worst type', 3),
  ('choice_agreement', 'same best column, mean over types', 3),
  ('mixture_agreement', 'same likeliest column of the mixture', 3),
  ('utility_shift', 'shift of utilities, in their deviations', 3),
  ('utility_spread', 'spread of utilities, as a ratio', 3),
)


def compare(
  model: UserModel, text: np.ndarray, image: np.ndarray, other: np.ndarray
) -> dict[str, float]:
  """Utilities and choices by some images against those by others.

  Args:
    model: the user model.
    text: prompts' features [S, L, D].
    image: features of their images [S, L, M, D].
    other: of other images of the same prompts [S, L, M, D].

  Returns:
    'utility_correlation' over columns, mean over types, and '..._worst', of
    the type with the least; 'choice_agreement', the share of slates where a
    type's best column is the same, mean over types; 'mixture_agreement', where
    the likeliest choice of a person of unknown type is; 'utility_shift', the
    absolute difference of means in standard deviations, and 'utility_spread',
    the ratio of standard deviations, other's to image's, means over types.
  """
  first, second = (_utilities(model, text, x) for x in (image, other))
  num_types = first.shape[-1]
  a, b = first.reshape(-1, num_types), second.reshape(-1, num_types)
  spread = np.maximum(a.std(0), 1e-9)
  centred = (a - a.mean(0)) * (b - b.mean(0))
  correlation = centred.mean(0) / (spread * np.maximum(b.std(0), 1e-9))
  return {
    'utility_correlation': float(correlation.mean()),
    'utility_correlation_worst': float(correlation.min()),
    'choice_agreement': float(np.mean(first.argmax(1) == second.argmax(1))),
    'mixture_agreement': float(
      np.mean(_mixture_pick(model, first) == _mixture_pick(model, second))
    ),
    'utility_shift': float(np.mean(np.abs(b.mean(0) - a.mean(0)) / spread)),
    'utility_spread': float(np.mean(b.std(0) / spread)),
  }


def _utilities(
  model: UserModel, text: np.ndarray, image: np.ndarray
) -> np.ndarray:
  """R_k of each column, [S, L, K]."""
  flat = text_utility.column_utilities(
    model,
    text.reshape(-1, text.shape[-1]),
    image.reshape(-1, *image.shape[2:]),
  )
  return flat.reshape(*text.shape[:2], -1)


@jax.jit
def _mixture_pick(model: UserModel, utility: jax.Array) -> jax.Array:
  """The likeliest choice [S] of somebody of whom only the prior is known."""
  log_probs = user_model_lib.choice_log_probs(model, utility)
  mixture = jax.nn.logsumexp(log_probs + model.log_prior, axis=-1)  # [S, L]
  return mixture.argmax(1)


def explained(image: np.ndarray, draws: np.ndarray) -> dict[str, float]:
  """R² of images' features by the mean of what is drawn for their prompt.

  Args:
    image: rendered [P, M, D].
    draws: [P, A, D], other draws of the same prompts; their mean is one of
      few, which costs about the within-prompt variance over A.

  Returns:
    'mean_r2' and, where M > 1, 'mean_r2_ceiling', what prompts' true means
    would have.
  """
  image, draws = image.astype(np.float64), draws.astype(np.float64)
  total = np.mean((image - image.mean((0, 1))) ** 2)
  error = np.mean((image - draws.mean(1, keepdims=True)) ** 2)
  found = {'mean_r2': float(1 - error / total)}
  if image.shape[1] > 1:
    within = np.mean(image.var(1, ddof=1))
    found['mean_r2_ceiling'] = float(1 - within / total)
  return found


def table(
  surrogate: dict[str, float], rendered: dict[str, float] | None
) -> list[str]:
  """Lines of markdown: the surrogate beside the ceiling, where there is one."""
  lines = ['| | surrogate | rendered again |', '|---|---|---|']
  for key, title, digits in FIGURES:
    ceiling = '–' if rendered is None else f'{rendered[key]:.{digits}f}'
    lines.append(f'| {title} | {surrogate[key]:.{digits}f} | {ceiling} |')
  return lines
