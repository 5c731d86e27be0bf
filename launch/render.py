"""Runs the stage render; configs/render.py tells how.

python -m launch.render --config=configs/render.py --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.render:run', distributed=True)
