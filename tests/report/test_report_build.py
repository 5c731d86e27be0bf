"""The whole page, from fabricated working directories."""

import html.parser
import json
import os
import re

import pytest
import report_fabricated

from configs import report as report_config
from pasta import errors
from pasta.report import build, figures, palette
from pasta.stages import report as report_stage

_VOID = {'meta', 'img', 'link', 'br', 'use', 'path'}


class _Page(html.parser.HTMLParser):
  """Checks nesting and collects links, images and text."""

  def __init__(self, text):
    super().__init__()
    self.open, self.links, self.images, self.words = [], [], 0, []
    self.feed(text)
    self.close()
    assert not self.open, self.open

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.images += tag == 'img'
    self.links += [
      v for k, v in attrs.items() if k in ('href', 'src', 'xlink:href')
    ]
    if tag not in _VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    if tag not in _VOID:
      assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
      self.open.pop()

  def handle_data(self, data):
    if 'style' not in self.open:
      self.words.append(data)

  @property
  def text(self):
    return re.sub(r'\s+', ' ', ' '.join(self.words))


def _patch(patch, encoder_id=report_fabricated.ENCODER_ID):
  patch.setattr(build.saved, 'load', lambda *_: report_fabricated.user_model())
  patch.setattr(build.saved, 'encoder_id', lambda *_: encoder_id)


@pytest.fixture(autouse=True)
def _user_model(monkeypatch):
  _patch(monkeypatch)


def _config():
  config = report_config.get_config('smoke')
  config.num_strips = 2
  config.strip_size = 32
  return config


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  directory = str(tmp_path_factory.mktemp('report') / 'run')
  report_fabricated.write(directory, num_people=12, num_images=2)
  with pytest.MonkeyPatch.context() as patch:
    _patch(patch)
    path = build.build(directory, _config(), report_fabricated.World())
  with open(path, encoding='utf-8') as f:
    return directory, f.read()


def test_page_parses_and_needs_no_network(finished):
  _, text = finished
  page = _Page(text)
  external = [u for u in page.links if not u.startswith(('data:', '#'))]
  assert external == []
  assert 'http' not in re.sub(r'xmlns(:\w+)?="[^"]*"', '', text)
  assert '@import' not in text and 'url(http' not in text
  anchors = {u[1:] for u in page.links if u.startswith('#')}
  assert anchors <= set(re.findall(r'\bid="([^"]+)"', text))


def test_page_holds_the_numbers(finished):
  directory, text = finished
  page = _Page(text)
  with open(os.path.join(directory, 'evaluation', 'results.json')) as f:
    results = json.load(f)
  for name, policy in results['policies'].items():
    assert f'{policy["return"]["mean"]:.2f}' in page.text, name
    for turn in policy['satisfaction']:
      assert f'{turn["mean"]:.2f}' in page.text, name
  closed = results['gap_closed']['bayes_slate']['pasta']['mean']
  assert f'closes {100 * closed:.0f} % of the gap' in page.text
  assert '12 people' in page.text and '62.0' in page.text
  assert 'slot_scales.style' in page.text


def test_page_shows_pictures_types_and_beliefs(finished):
  _, text = finished
  page = _Page(text)
  # Two people, two policies, five turns of two images; five slates of 4 × 2;
  # four best and four worst of six types and of what they share.
  assert page.images == 2 * 2 * 5 * 2 + 5 * 4 * 2 + 7 * 8
  assert len(re.findall(r'Type \d', page.text)) == 6
  assert 'is spread over 6.0 types' in page.text
  assert 'is missing' not in page.text


def test_plots_are_written_as_png(finished):
  directory, text = finished
  names = (
    'returns',
    'satisfaction',
    'comparison',
    'returning',
    'belief',
    'user_model_curves',
    'value_curves',
  )
  plot_dir = os.path.join(directory, 'report', 'plots')
  assert sorted(os.listdir(plot_dir)) == sorted(f'{n}.png' for n in names)
  for name in names:
    with open(os.path.join(plot_dir, f'{name}.png'), 'rb') as f:
      assert f.read(8) == b'\x89PNG\r\n\x1a\n'
  assert text.count('<svg') == len(names)


def test_plots_follow_the_theme(finished):
  _, text = finished
  svgs = re.findall(r'<svg.*?</svg>', text, re.S)
  for svg in svgs:
    assert 'var(--' in svg
    assert set(re.findall('#[0-9a-f]{6}', svg)) == set()
  assert 'prefers-color-scheme: dark' in text
  assert set(palette.LIGHT) == set(palette.DARK)
  assert len(set(palette.LIGHT.values())) == len(palette.LIGHT)


def test_same_input_gives_the_same_page(finished):
  directory, text = finished
  path = build.build(directory, _config(), report_fabricated.World())
  with open(path, encoding='utf-8') as f:
    assert f.read() == text


def test_empty_workdir_says_what_is_missing(tmp_path):
  path = build.build(str(tmp_path), _config(), report_fabricated.World())
  with open(path, encoding='utf-8') as f:
    page = _Page(f.read())
  for missing in (
    'results.json',
    'sessions/',
    'user_model/',
    'beliefs.npz',
    'value/metrics.jsonl',
    'timing.json',
  ):
    assert missing in page.text
  assert page.images == 0
  assert os.listdir(tmp_path / 'report' / 'plots') == []


def test_stale_plots_go_with_their_numbers(tmp_path):
  plot_dir = tmp_path / 'report' / 'plots'
  plot_dir.mkdir(parents=True)
  (plot_dir / 'returns.png').write_bytes(b'old')
  build.build(str(tmp_path), _config(), report_fabricated.World())
  assert os.listdir(plot_dir) == []


def test_damaged_inputs_are_named(tmp_path):
  world = report_fabricated.World()
  with pytest.raises(errors.PastaError, match='nowhere'):
    build.build(str(tmp_path / 'nowhere'), _config(), world)
  (tmp_path / 'evaluation').mkdir()
  results = tmp_path / 'evaluation' / 'results.json'
  results.write_text('{"num_people": 3')
  with pytest.raises(errors.PastaError, match='results.json'):
    build.build(str(tmp_path), _config(), world)
  results.write_text('{"num_people": 3}')
  with pytest.raises(errors.PastaError, match='policies'):
    build.build(str(tmp_path), _config(), world)
  results.unlink()
  (tmp_path / 'evaluation' / 'beliefs.npz').write_bytes(b'PK')
  with pytest.raises(errors.PastaError, match='beliefs.npz'):
    build.build(str(tmp_path), _config(), world)


def test_labels_are_spread_in_order():
  spread = figures.spread([0.5, 0.51, 0.2, 0.505], 0.1)
  assert (abs(spread - [0.5, 0.51, 0.2, 0.505]) < 0.25).all()
  assert spread[2] < spread[0] < spread[3] < spread[1]
  ordered = sorted(spread)
  assert min(b - a for a, b in zip(ordered, ordered[1:])) >= 0.1 - 1e-6


def test_prompts_are_escaped(tmp_path, monkeypatch):
  monkeypatch.setattr(
    report_fabricated, '_OPENINGS', ('<script>alert(1)</script> & "fog"',)
  )
  report_fabricated.write(str(tmp_path / 'run'), num_people=2, num_images=1)
  path = build.build(
    str(tmp_path / 'run'), _config(), report_fabricated.World()
  )
  with open(path, encoding='utf-8') as f:
    text = f.read()
  assert '<script>' not in text and '&lt;script&gt;' in text


def test_cut_off_training_shows_curves_and_no_types(tmp_path):
  directory = str(tmp_path / 'run')
  report_fabricated.write(directory, num_people=2, num_images=1)
  os.remove(os.path.join(directory, 'user_model/train_user_model.done.json'))
  path = build.build(directory, _config(), report_fabricated.World())
  with open(path, encoding='utf-8') as f:
    page = _Page(f.read())
  assert 'No user model yet in run/user_model/' in page.text
  assert 'choice log likelihood' in page.text


_TABLES = {
  'pairs': {
    'data': 'preferences/pairs/test',
    'protocol': 'pairs',
    'num_observations': 40,
    'num_people': 5,
    'rows': {
      'one type': {
        'two_way': {'mean': 0.625, 'low': 0.5, 'high': 0.75, 'num': 40}
      }
    },
    'quoted': [],
  }
}


def test_preference_tables_alone_are_a_page(tmp_path, monkeypatch):
  directory = tmp_path / 'run'
  (directory / 'preference_tables').mkdir(parents=True)
  (directory / 'user_model').mkdir()
  (directory / 'user_model' / 'train_user_model.done.json').write_text('{}')
  path = directory / 'preference_tables' / 'results.json'
  path.write_text(json.dumps(_TABLES))
  _patch(monkeypatch, 'some other clip')
  page = build.build(str(directory), _config(), report_fabricated.World())
  with open(page, encoding='utf-8') as f:
    text = _Page(f.read()).text
  assert 'What people prefer, predicted' in text
  assert '40 answers of 5 people' in text and '[50, 75]' in text
  assert 'run/evaluation/results.json is missing' in text
  assert 'the user model reads features of some other clip' in text
  assert 'hidden population' not in text
  path.write_text('{"pairs": {"rows": {}}}')
  with pytest.raises(errors.PastaError, match='results.json: not preference'):
    build.build(str(directory), _config(), report_fabricated.World())


def test_a_report_needs_something_to_stand_on(tmp_path):
  with pytest.raises(errors.PastaError, match='none of evaluation/, prefer'):
    report_stage.run(_config(), str(tmp_path))
  (tmp_path / 'user_model').mkdir()
  with pytest.raises(errors.PastaError, match='train_user_model has not fin'):
    report_stage.run(_config(), str(tmp_path))
  assert not (tmp_path / 'report').exists()
