"""Lists what can be run: `python -m launch`."""

import os
import signal

from launch import config_help

_GROUPS = {
  'Everything at once': ('quickstart',),
  'The loop, in its order': (
    'collect',
    'extract_features',
    'train_user_model',
    'train_surrogate',
    'simulate',
    'train_value',
    'evaluate',
    'report',
    'play',
  ),
  'Data': (
    'inspect_data',
    'prepare_data',
    'fit_preferences',
    'evaluate_preferences',
  ),
  'Further': ('render', 'fine_tune', 'off_policy', 'train_clip', 'clean'),
  'Measuring': (
    'experiments',
    'sweep_types',
    'sweep_populations',
    'recover_types',
    'benchmark',
  ),
}


def main() -> None:
  """Prints each launch script with the first line of its config, or its own."""
  print('python -m launch.STAGE --workdir=DIR [--config=FILE.py:VARIANT]')
  print('python -m launch.STAGE --help lists its variants and its fields.')
  launch = os.path.dirname(os.path.abspath(__file__))
  for group, names in _GROUPS.items():
    print(f'\n{group}:')
    for name in names:
      script = os.path.join(launch, f'{name}.py')
      path = config_help.own_file(script) or script
      print(f'  {name:<20} {config_help.summary(path)}')


if __name__ == '__main__':
  signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in `... | head`
  main()
