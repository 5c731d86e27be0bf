r"""Runs the stage extract_features; configs/extract_features.py tells how.

python -m launch.extract_features --config=configs/extract_features.py \
  --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('data.extract_features:run', distributed=True)
