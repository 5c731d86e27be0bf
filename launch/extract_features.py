"""Runs the stage extract_features; see configs/extract_features.py for the command.

python -m launch.extract_features --config=configs/extract_features.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages:extract_features')
