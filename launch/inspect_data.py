"""Shows what a directory of raw files, or a zip file, holds.

  python -m launch.inspect_data --raw=DIR

Prints files by ending and the fields of records, so that a person can write the
map of fields that data/pasta_release/README.md explains.
"""

from absl import flags

from launch import cli

flags.DEFINE_string('raw', None, 'Directory of the raw files, or zip file.')

if __name__ == '__main__':
  cli.run(
    'data.inspect_data:run',
    config=False,
    workdir=False,
    flag_names=('raw',),
  )
