"""Runs the stage simulate; configs/simulate.py tells how.

python -m launch.simulate --config=configs/simulate.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.simulate:run')
