"""Runs the stage report; configs/report.py tells how.

python -m launch.report --config=configs/report.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.report:run')
