"""Runs the stage train_user_model; see configs/train_user_model.py for the command.

python -m launch.train_user_model --config=configs/train_user_model.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages:train_user_model')
