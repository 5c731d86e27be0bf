"""Says what the old results in a working directory take, and frees it.

python -m launch.clean --workdir=DIR --older=30d

prints each stage's directory that nothing has been written to for so long, with
its size. It deletes them with --yes, and nothing else.
"""

from absl import flags

from launch import cli

flags.DEFINE_string(
  'older', '30d', 'Age from which on: a number and h, d or w; 0d: everything.'
)
flags.DEFINE_list('stages', [], 'These alone, e.g. evaluate,report.')
flags.DEFINE_bool('yes', False, 'Delete what is listed.')

if __name__ == '__main__':
  cli.run(
    'pasta.stages.clean:run',
    config=False,
    flag_names=('older', 'stages', 'yes'),
  )
