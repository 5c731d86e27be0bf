r"""Runs the stage train_surrogate; configs/train_surrogate.py tells how.

python -m launch.train_surrogate --config=configs/train_surrogate.py \
  --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.train_surrogate:run')
