"""Shows what a directory of raw files, or one of them, holds.

  python -m launch.inspect_data --raw=DIR

Prints files by ending and the fields of records, so that a person can write the
map of fields that data/pasta_release/README.md explains. DIR may be a zip file,
or a table of your own (parquet, CSV, JSON lines): then the commands that
prepare and fit it are printed, with the columns as far as they are known.
"""

from absl import flags

from launch import cli

flags.DEFINE_string(
  'raw', None, 'Directory of the raw files, zip file, or table.'
)

if __name__ == '__main__':
  cli.run(
    'data.inspect_data:run',
    config=False,
    workdir=False,
    flag_names=('raw',),
  )
