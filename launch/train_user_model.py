r"""Runs the stage train_user_model; configs/train_user_model.py tells how.

python -m launch.train_user_model --config=configs/train_user_model.py \
  --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.train_user_model:run')
