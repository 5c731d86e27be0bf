import sys

import pytest

from pasta import progress


class _Clock:
  """A clock that moves when it is told to."""

  now = 100.0

  def __call__(self):
    return self.now


def test_a_file_gets_a_line_every_ten_seconds_and_one_at_the_end(
  capsys, monkeypatch
):
  clock = _Clock()
  bar = progress.progress(total=250, unit='images', desc='render')
  monkeypatch.setattr(bar, '_time', clock)
  bar.start_t = bar.last_print_t = clock.now
  for _ in range(25):
    clock.now += 1.0
    bar.update(10)
  bar.close()
  text = capsys.readouterr().err
  lines = text.splitlines()
  assert len(lines) == 3  # after 10, 20 and 25 seconds
  assert [line.startswith('render: ') for line in lines] == [True] * 3
  assert '100/250' in lines[0] and '250/250' in lines[-1]
  assert '10.00 images/s' in lines[-1]
  assert '\r' not in text


def test_lines_become_rarer_the_longer_it_takes(capsys, monkeypatch):
  clock = _Clock()
  bar = progress.progress(total=3600, unit='images', desc='render')
  monkeypatch.setattr(bar, '_time', clock)
  bar.start_t = bar.last_print_t = clock.now
  for _ in range(3600):
    clock.now += 1.0
    bar.update(1)
  bar.close()
  # 10 in the first 100 seconds, then each 10 % later: ln 36 / ln 1.1 = 38.
  assert 40 <= len(capsys.readouterr().err.splitlines()) <= 52


@pytest.mark.parametrize('is_terminal', [False, True])
def test_what_ends_early_ends_at_100_percent(capsys, monkeypatch, is_terminal):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: is_terminal, raising=False)
  with progress.progress(total=2000, unit='iteration', desc='fit') as bar:
    bar.update(17)
    progress.end_early(bar, 'converged')
  last = capsys.readouterr().err.strip().split('\r')[-1]
  assert '17/17' in last and 'converged' in last
  assert '100' in last and '2000' not in last
  with progress.progress(total=2, unit='iteration') as bar:
    bar.update(2)
    progress.end_early(bar, 'converged')
  assert 'converged' not in capsys.readouterr().err


def test_a_bar_within_another_writes_lines_as_well(capsys):
  for _ in progress.progress(range(1), desc='outer'):
    with progress.progress(total=5, desc='inner') as bar:
      bar.update(1)
      progress.end_early(bar, 'converged')
  lines = capsys.readouterr().err.splitlines()
  assert [line.split(':')[0] for line in lines] == ['inner', 'outer']


def test_iterates_and_says_nothing_twice(capsys):
  assert list(progress.progress(range(3), unit='steps')) == [0, 1, 2]
  text = capsys.readouterr().err
  assert text.count('3/3') == 1
  assert len(text.splitlines()) == 1


def test_an_empty_iterable_and_an_unknown_total(capsys):
  assert list(progress.progress([])) == []
  assert list(progress.progress(iter([1, 2]), unit='users')) == [1, 2]
  assert '2 users' in capsys.readouterr().err


def test_the_bar_ends_when_the_loop_fails(capsys):
  with (
    pytest.raises(ValueError, match='stop'),
    progress.progress(total=4, unit='steps') as bar,
  ):
    bar.update(1)
    raise ValueError('stop')
  assert '1/4' in capsys.readouterr().err


def test_a_terminal_gets_the_moving_bar(capsys, monkeypatch):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
  assert list(progress.progress(range(3), unit='steps')) == [0, 1, 2]
  assert capsys.readouterr().err.startswith('\r')
