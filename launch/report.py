"""Runs the stage report; see configs/report.py for the command.

python -m launch.report --config=configs/report.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages:report')
