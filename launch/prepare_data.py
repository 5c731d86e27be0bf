r"""Prepares a public or own data set; configs/prepare_data.py tells how.

python -m launch.prepare_data --config=configs/prepare_data.py:NAME --raw=DIR \
  --workdir=DIR
"""

from absl import flags

from launch import cli

flags.DEFINE_string(
  'raw',
  None,
  'Directory of the raw files; of own data also a file, or a pattern such as '
  'DIR/*.parquet.',
)

if __name__ == '__main__':
  cli.run('data.prepare_data:run', flag_names=('raw',))
