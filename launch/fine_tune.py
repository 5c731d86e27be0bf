"""Runs the stage fine_tune; configs/fine_tune.py tells how.

python -m launch.fine_tune --config=configs/fine_tune.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.fine_tune:run')
