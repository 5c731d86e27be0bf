"""Public and own preference data: raw files -> TFDS -> features."""

from pasta import extras

extras.require(
  'PIL',
  'array_record',
  'grain',
  'importlib_resources',
  'pyarrow',
  'tensorflow_datasets',
)
