"""Trains the small CLIP; see configs/train_clip.py for details.

python -m launch.train_clip --config=configs/train_clip.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.train_clip:run')
