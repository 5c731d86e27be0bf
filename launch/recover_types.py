"""Runs the experiment recover_types; configs/recover_types.py tells how.

python -m launch.recover_types --config=configs/recover_types.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.recover_types:run')
