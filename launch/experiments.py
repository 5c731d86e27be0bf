"""Runs experiments on the embedded world; configs/experiments.py lists them.

python -m launch.experiments --config=configs/experiments.py:NAME --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.experiments:run')
