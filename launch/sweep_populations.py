r"""Runs the experiment sweep_populations; its config tells how.

python -m launch.sweep_populations --config=configs/sweep_populations.py \
  --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.sweep_populations:run')
