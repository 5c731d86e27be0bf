"""Runs the stage train_value; configs/train_value.py tells how.

python -m launch.train_value --config=configs/train_value.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.train_value:run')
