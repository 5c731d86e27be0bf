"""One session in the terminal, with the agent of a workdir.

  python -m launch.play --workdir=DIR --prompt="a quiet harbour at dusk"

Writes a contact sheet a turn and the session itself into DIR/play. Its config
is configs/play.py: --config.FIELD=VALUE changes a field.
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
flags.DEFINE_integer(
  'size', 0, 'Pixels of a picture, 32 to 1024; 0: as the config says, 256.'
)
flags.DEFINE_integer('seed', -1, 'Of the session; negative: from the clock.')

if __name__ == '__main__':
  cli.run(
    'pasta.stages.play:run',
    flag_names=('prompt', 'size', 'seed', 'person'),
    fields_given=True,
  )
