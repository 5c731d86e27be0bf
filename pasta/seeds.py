"""Seeds from labels: the same labels give the same seed, on every machine.

Vectorised numpy, for what happens outside jax (render workers, candidate
generators, people's noise). No state, so order and batching never matter.
"""

import hashlib
import zlib

import numpy as np


def mix64(x: np.ndarray) -> np.ndarray:
  """The finaliser of splitmix64: uint64 -> well mixed uint64, elementwise."""
  x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return x ^ (x >> np.uint64(31))


def derive(
  root: np.ndarray | int, *labels: str | int | np.ndarray
) -> np.ndarray:
  """Folds labels into a root seed.

  Args:
    root: unsigned integers of any shape.
    *labels: texts, or integers (arrays broadcast against root).

  Returns:
    uint64 of the broadcast shape; each label changes every bit's odds.
  """
  seed = np.asarray(root).astype(np.uint64)
  with np.errstate(over='ignore'):
    for label in labels:
      if isinstance(label, str):
        label = zlib.crc32(label.encode())
      label = np.asarray(label).astype(np.uint64)
      seed = mix64(
        seed + (label + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
      )
  return seed


def uniform(
  root: np.ndarray | int, *labels: str | int | np.ndarray
) -> np.ndarray:
  """Uniform float64 in (0, 1), one for each element of `derive`."""
  bits = derive(root, *labels) >> np.uint64(12)
  return (bits.astype(np.float64) + 0.5) * 2.0**-52


def gumbel(
  root: np.ndarray | int, *labels: str | int | np.ndarray
) -> np.ndarray:
  """Standard Gumbel noise, one for each element of `derive`."""
  return -np.log(-np.log(uniform(root, *labels)))


def normal(
  root: np.ndarray | int, *labels: str | int | np.ndarray
) -> np.ndarray:
  """Standard normal noise (Box and Muller), one for each of `derive`."""
  radius = np.sqrt(-2.0 * np.log(uniform(root, *labels, 'radius')))
  return radius * np.cos(2.0 * np.pi * uniform(root, *labels, 'angle'))


def text_hash(text: str) -> int:
  """A text as 64 bits, the same on every machine."""
  data = text.encode('utf-8', 'replace')
  return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), 'little')
