"""Runs the stage off_policy; configs/off_policy.py tells how.

python -m launch.off_policy --config=configs/off_policy.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.off_policy:run')
