"""Runs the experiment sweep_types; configs/sweep_types.py tells how.

python -m launch.sweep_types --config=configs/sweep_types.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.sweep_types:run')
