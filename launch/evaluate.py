"""Runs the stage evaluate; see configs/evaluate.py for the command.

python -m launch.evaluate --config=configs/evaluate.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages:evaluate')
