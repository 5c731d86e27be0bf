"""Runs the stage evaluate; configs/evaluate.py tells how.

python -m launch.evaluate --config=configs/evaluate.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.evaluate:run')
