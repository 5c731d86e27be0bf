"""How much an encoder knows: retrieval, zero-shot and linear probes."""

import functools
import itertools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from pasta.t2i.sketch import lexicon


def retrieval(
  text: np.ndarray,
  image: np.ndarray,
  *,
  num_choices: int = 64,
  num_draws: int = 200,
  seed: int = 0,
) -> tuple[float, float]:
  """Top-1 accuracy among a few, averaged over random draws.

  Args:
    text: unit vectors of captions, [N, D].
    image: unit vectors of their images, [N, D].
    num_choices: pairs in each draw, at most N.
    num_draws: how many draws.
    seed: of the draws.

  Returns:
    Accuracy of finding the image of a caption, and the caption of an image.
  """
  chex.assert_equal_shape([text, image])
  if len(text) < num_choices:
    raise ValueError(f'{len(text)} pairs, expected at least {num_choices}')
  rng = np.random.default_rng(seed)
  own = np.arange(num_choices)
  hits = np.zeros((num_draws, 2))
  for draw in range(num_draws):
    rows = rng.choice(len(text), num_choices, replace=False)
    scores = text[rows] @ image[rows].T  # [captions, images]
    hits[draw] = (
      (scores.argmax(1) == own).mean(),
      (scores.argmax(0) == own).mean(),
    )
  to_image, to_text = hits.mean(0)
  return float(to_image), float(to_text)


def zero_shot(
  image: np.ndarray, phrases: Sequence[np.ndarray], scenes: np.ndarray
) -> dict[str, float]:
  """Accuracy of taking the phrase nearest to the image, slot by slot.

  Args:
    image: unit vectors, [N, D].
    phrases: unit vectors of each slot's phrases, S arrays [values, D].
    scenes: true values, [N, S].

  Returns:
    Slot name to accuracy; 'subject_group' counts a subject's group.
  """
  guesses = [np.argmax(image @ p.T, axis=1) for p in phrases]
  return _accuracies(np.stack(guesses, axis=1), scenes)


def linear_probe(
  image: np.ndarray,
  scenes: np.ndarray,
  *,
  num_train: int,
  num_steps: int = 400,
) -> dict[str, float]:
  """Accuracy of a linear softmax classifier per slot.

  Args:
    image: unit vectors, [N, D]; the first `num_train` are fitted.
    scenes: true values, [N, S].
    num_train: rows to fit; the accuracy is that of the others.
    num_steps: full-batch Adam steps.

  Returns:
    Slot name to accuracy; 'subject_group' counts a subject's group.
  """
  mean, std = image[:num_train].mean(0), image[:num_train].std(0) + 1e-6
  x = jnp.asarray((image - mean) / std)
  params = _fit_probe(x[:num_train], jnp.asarray(scenes[:num_train]), num_steps)
  guesses = [jnp.argmax(z, 1) for z in _slot_logits(params, x[num_train:])]
  return _accuracies(np.stack(guesses, axis=1), scenes[num_train:])


def _slot_logits(params: dict, x: jax.Array) -> list[jax.Array]:
  """Logits of every slot's values, S arrays [N, values]."""
  logits = x @ params['kernel'] + params['bias']
  ends = np.cumsum((0, *lexicon.SLOT_SIZES))
  return [logits[:, a:b] for a, b in itertools.pairwise(ends)]


@functools.partial(jax.jit, static_argnames='num_steps')
def _fit_probe(x: jax.Array, scenes: jax.Array, num_steps: int) -> dict:
  """Softmax regressions of all slots at once, with a small ridge."""

  def loss_fn(params):
    losses = [
      optax.softmax_cross_entropy_with_integer_labels(
        logits, scenes[:, slot]
      ).mean()
      for slot, logits in enumerate(_slot_logits(params, x))
    ]
    return sum(losses) + 1e-3 * jnp.sum(params['kernel'] ** 2)

  optimizer = optax.adam(optax.cosine_decay_schedule(0.05, num_steps))

  def step(carry, _):
    params, opt_state = carry
    grads = jax.grad(loss_fn)(params)
    updates, opt_state = optimizer.update(grads, opt_state)
    return (optax.apply_updates(params, updates), opt_state), None

  num_values = sum(lexicon.SLOT_SIZES)
  params = {
    'kernel': jnp.zeros((x.shape[1], num_values)),
    'bias': jnp.zeros(num_values),
  }
  carry = params, optimizer.init(params)
  (params, _), _ = jax.lax.scan(step, carry, length=num_steps)
  return params


def _accuracies(guesses: np.ndarray, scenes: np.ndarray) -> dict[str, float]:
  """Slot name to accuracy, for int [N, S] twice."""
  hits = (guesses == scenes).mean(0)
  result = dict(zip(lexicon.SLOT_NAMES, map(float, hits), strict=True))
  group = np.array(lexicon.SUBJECT_GROUP)
  same = group[guesses[:, 0]] == group[scenes[:, 0]]
  return {'subject_group': float(same.mean()), **result}
