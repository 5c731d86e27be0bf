"""Small files in Pick-a-Filter's format, with two groups of people."""

import os
import struct
import zipfile
from typing import Any

import numpy as np

_PAIRS_PER_PROMPT = 3
_TONE = 1.0  # how far a filter shifts an image's features
_BINUNICODE = struct.Struct('<cI')


def write(
  raw: str,
  num_pairs: int = 90,
  *,
  num_users: int = 18,
  width: int = 16,
  mix_ratio: str = '1.0',
  seed: int = 0,
) -> None:
  """Writes paf_MIX_RATIO_mix_ratio.zip with a pickle a judgement.

  All prefer what lies further along one direction, more or less. Even users
  prefer what is shifted one way along another direction, odd users what is
  shifted the other way. The share of pairs that the mixture ratio names
  gets a shift: half of them the preferred image, as its user likes, and half
  the other one, as its user does not.

  Args:
    raw: directory, made where it is missing.
    num_pairs: judgements, three to a prompt.
    num_users: people.
    width: of the features.
    mix_ratio: share of pairs with a filter, as a text.
    seed: of all that is drawn.
  """
  rng = np.random.default_rng(seed)
  os.makedirs(raw, exist_ok=True)
  tone, quality = np.linalg.qr(rng.normal(size=(width, 2)))[0].T
  path = os.path.join(raw, f'paf_{mix_ratio}_mix_ratio.zip')
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    for i in range(num_pairs):
      if i % _PAIRS_PER_PROMPT == 0:
        prompt = _unit(rng.normal(size=width))
      user = int(rng.integers(num_users))
      images = prompt + rng.normal(size=(2, width)) / np.sqrt(width)
      images -= np.outer(images @ tone, tone)
      better = (images[1] - images[0]) @ quality + rng.normal() / np.sqrt(width)
      winner = int(better > 0)
      if rng.random() < float(mix_ratio):
        liked = _TONE * tone * (1 if user % 2 == 0 else -1)
        if rng.random() < 0.5:
          images[winner] += liked
        else:
          images[1 - winner] -= liked
      left, right = (_unit(x).astype(np.float32) for x in images)
      name = f'paf_{mix_ratio}_mix_ratio/{i}.joblib'
      sample = (
        ((str(user), prompt.astype(np.float32), (left, right)), 2 * winner - 1),
        i,
      )
      file.writestr(zipfile.ZipInfo(name), joblib_bytes(sample))


def _unit(x: np.ndarray) -> np.ndarray:
  return x / np.linalg.norm(x)


def joblib_bytes(value: Any) -> bytes:
  """What joblib.dump writes, with arrays of float32 as torch's tensors."""
  return b'\x80\x04' + _pickled(value) + b'.'


def _pickled(value: Any) -> bytes:
  """Instructions that leave a value on the stack."""
  if isinstance(value, np.ndarray):
    return _tensor(value)
  if isinstance(value, tuple):
    return b'(' + b''.join(map(_pickled, value)) + b't'
  if isinstance(value, str):
    data = value.encode()
    return _BINUNICODE.pack(b'X', len(data)) + data
  return struct.pack('<ci', b'J', value)


def _tensor(value: np.ndarray) -> bytes:
  """torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)."""
  storage = _storage(value)
  return b''.join(
    (
      b'ctorch._utils\n_rebuild_tensor_v2\n(',
      b'ctorch.storage\n_load_from_bytes\n',
      struct.pack('<cI', b'B', len(storage)) + storage + b'\x85R',
      *(_pickled(0), _pickled(value.shape), _pickled((1,)), b'\x89'),
      b'ccollections\nOrderedDict\n)RtR',
    )
  )


def _storage(value: np.ndarray) -> bytes:
  """torch.save of a storage, of the legacy kind."""
  sizes = b'(' + b''.join(
    _pickled(x) for x in ('short', 2, 'int', 4, 'long', 4)
  )
  return b''.join(
    (
      b'\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.',  # magic
      b'\x80\x02' + _pickled(1001) + b'.',  # protocol
      b'\x80\x02}(' + _pickled('protocol_version') + _pickled(1001),
      _pickled('little_endian') + b'\x88' + _pickled('type_sizes'),
      b'}' + sizes + b'uu.',
      b'\x80\x02(' + _pickled('storage') + b'ctorch\nFloatStorage\n',
      *(_pickled('0'), _pickled('cpu'), _pickled(len(value)), b'NtQ.'),
      b'\x80\x02](' + _pickled('0') + b'e.',
      struct.pack('<q', len(value)) + value.astype('<f4').tobytes(),
    )
  )
