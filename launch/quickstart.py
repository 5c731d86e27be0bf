"""Runs the stage quickstart; see configs/quickstart.py for the command.

python -m launch.quickstart --config=configs/quickstart.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages:quickstart')
