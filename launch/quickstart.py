"""Runs the stage quickstart; configs/quickstart.py tells how.

python -m launch.quickstart --config=configs/quickstart.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.quickstart:run')
