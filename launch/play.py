"""One session in the terminal, with the trained agent of a workdir.

  python -m launch.play --workdir=DIR --prompt="a quiet harbour at dusk"

Writes a contact sheet a turn and the session itself into DIR/play.
"""

from absl import flags

from launch import cli

flags.DEFINE_string('prompt', '', 'What you want to see, in a few words.')
flags.DEFINE_string(
  'person',
  '',
  'Who you are: what was learned of you in earlier sessions counts, and what '
  'this one adds is kept.',
)
flags.DEFINE_string(
  'value',
  '',
  'NAME of the run whose value-NAME chooses; evaluation/ has its own.',
)
flags.DEFINE_integer('size', 256, 'Pixels of a picture, 32 to 1024.')
flags.DEFINE_integer('seed', -1, 'Of the session; negative: from the clock.')

if __name__ == '__main__':
  cli.run(
    'pasta.stages.play:run',
    config=False,
    flag_names=('prompt', 'size', 'seed', 'person', 'value'),
  )
