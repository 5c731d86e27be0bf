r"""Tables on public preference data; configs/evaluate_preferences.py tells how.

python -m launch.evaluate_preferences --workdir=DIR \
  --config=configs/evaluate_preferences.py:NAME
"""

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.evaluate_preferences:run')
