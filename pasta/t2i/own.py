"""A text-to-image model of one's own, which a config names: checked, pooled."""

import functools
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from pasta import plugins, processes
from pasta.t2i import arguments as arguments_lib

_FIELD = 't2i.arguments'
_METHODS = ('generate', 'close')
_ATTRIBUTES = {'model_id': str, 'image_size': int, 'draws_at_any_size': bool}
# Prompts a worker draws per task.
_CHUNK = 8


class Own:
  """Calls a model of one's own (see base.TextToImage) and checks its images.

  A class with an attribute `runs_in_workers` that is True is made again in
  each of `num_workers` processes, which share its prompts; others, such as
  models that fill a GPU, are made once, in this process.

  Attributes:
    model_id: names the class, its arguments and its own model_id.
  """

  def __init__(
    self, name: str, size: int, arguments: str, num_workers: int, known
  ):
    """Imports and makes it.

    Args:
      name: 'module:Class'.
      size: width and height that are asked for, pixels; its own `image_size`
        counts.
      arguments: its further keyword arguments, a JSON object, or ''.
      num_workers: processes; 0 draws in this one.
      known: names of the models that are built in, for errors.

    Raises:
      PastaError: it cannot be imported or made, or lacks something.
    """
    own = plugins.load(name, 't2i.name', known)
    self._name = name
    self._recipe = (own, name, arguments, size)
    self._model = _make(*self._recipe)
    model = self._model
    self.image_size = model.image_size
    self.draws_at_any_size = model.draws_at_any_size
    identity = plugins.identity(name, arguments, _FIELD)
    # Ids of several models are joined by ' + '.
    self.model_id = f'{identity}/{"_".join(model.model_id.split())}'
    if callable(getattr(model, 'scenes', None)):
      self.scenes = self._scenes  # without it, hidden people refuse the model
    processes.check_num(num_workers)
    is_pooled = getattr(own, 'runs_in_workers', False) is True
    self._num_workers = num_workers if is_pooled else 0
    self._pool = None

  def generate(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """See TextToImage.

    Raises:
      PastaError: the class fails, or returns something else.
    """
    seeds = arguments_lib.check(prompts, seeds, images_per_prompt)
    prompts = list(prompts)
    size = self.image_size
    if not prompts:
      return np.zeros((0, images_per_prompt, size, size, 3), np.uint8)
    if not self._num_workers or len(prompts) <= _CHUNK:
      return _generate(
        self._model, self._name, size, prompts, seeds, images_per_prompt
      )
    if self._pool is None:
      self._pool = processes.Pool(self._num_workers)
    starts = range(0, len(prompts), _CHUNK)
    parts = self._pool.map(
      functools.partial(_work, self._recipe),
      [prompts[i : i + _CHUNK] for i in starts],
      [seeds[i : i + _CHUNK] for i in starts],
      [images_per_prompt] * len(starts),
    )
    return np.concatenate(list(parts))

  def _scenes(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """What is drawn, int8 [P, M, S]; same arguments as `generate`."""
    seeds = arguments_lib.check(prompts, seeds, images_per_prompt)
    with plugins.calling(self._name, 'scenes'):
      found = self._model.scenes(list(prompts), seeds, images_per_prompt)
    found = np.asarray(found)
    leading = (len(prompts), images_per_prompt)
    if found.dtype != np.int8 or found.ndim != 3 or found.shape[:2] != leading:
      raise plugins.wrong(
        self._name,
        'scenes',
        _described(found),
        f'int8 {[*leading, "S"]}',
      )
    return found

  def close(self) -> None:
    """Ends the worker processes and the model."""
    if self._pool is not None:
      self._pool.close()
      self._pool = None
    with plugins.calling(self._name, 'close'):
      self._model.close()


def from_config(config: ml_collections.ConfigDict, known: Sequence[str]) -> Own:
  """The model that `t2i.name` names; see `Own`."""
  return Own(
    config.name, config.size, config.arguments, config.num_workers, known
  )


def _make(own: type, name: str, arguments: str, size: int) -> Any:
  return plugins.make(
    own, name, _FIELD, arguments, _METHODS, _ATTRIBUTES, size=size
  )


def _generate(
  model: Any,
  name: str,
  size: int,
  prompts: list[str],
  seeds: np.ndarray,
  images_per_prompt: int,
) -> np.ndarray:
  """Images uint8 [P, M, size, size, 3] of a model, or a PastaError."""
  with plugins.calling(name, 'generate'):
    images = np.asarray(model.generate(prompts, seeds, images_per_prompt))
  shape = (len(prompts), images_per_prompt, size, size, 3)
  if images.dtype != np.uint8 or images.shape != shape:
    raise plugins.wrong(
      name,
      'generate',
      _described(images),
      f'uint8 {list(shape)} for {len(prompts)} prompts of '
      f'{images_per_prompt} images with image_size {size}',
    )
  return images


def _described(array: np.ndarray) -> str:
  is_float = np.issubdtype(array.dtype, np.floating)
  has_nan = is_float and not np.isfinite(array).all()
  return f'{array.dtype} {list(array.shape)}' + ' with NaN' * bool(has_nan)


_of_worker = functools.cache(_make)  # a worker process makes its model once


def _work(
  recipe: tuple[type, str, str, int],
  prompts: list[str],
  seeds: np.ndarray,
  images_per_prompt: int,
) -> np.ndarray:
  model, name = _of_worker(*recipe), recipe[1]
  return _generate(
    model, name, model.image_size, prompts, seeds, images_per_prompt
  )
