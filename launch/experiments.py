"""Experiments on the embedded world. See configs/experiments.py."""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.experiments:run')
