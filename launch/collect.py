"""Runs the stage collect; configs/collect.py tells how.

python -m launch.collect --config=configs/collect.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.collect:run')
