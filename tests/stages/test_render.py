"""The stage render, and worlds with a store."""

import glob
import json
import os
import signal
import sys
import time

import hosts
import numpy as np
import pytest

from configs import collect, common, extract_features
from configs import render as render_config
from pasta import errors
from pasta import workdir as workdir_lib
from pasta.encoders import clip
from pasta.stages import collect as collect_stage
from pasta.stages import extract_features as extract_features_stage
from pasta.stages import render
from pasta.storage import sessions as sessions_lib
from pasta.t2i.sketch import sketch
from pasta.world import rendered
from pasta.world import world as world_lib

PROMPTS = [
  f'{a} {b}' for a in ('a fox', 'ein Bär') for b in ('at night', 'ink')
]


@pytest.fixture(scope='module', autouse=True)
def one_encoder():
  """Loads the encoder once, and compiles it once."""
  encoder = clip.ClipEncoder.load()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(clip.ClipEncoder, 'load', lambda *unused: encoder)
    yield


@pytest.fixture
def asked(monkeypatch):
  """The (prompt, seed) pairs that the model was asked to render."""
  found = []
  generate = sketch.Sketch.generate

  def counted(self, prompts, seeds, images_per_prompt):
    found.extend(zip(prompts, seeds.tolist(), strict=True))
    return generate(self, prompts, seeds, images_per_prompt)

  monkeypatch.setattr(sketch.Sketch, 'generate', counted)
  return found


def write(path, prompts):
  path.write_text('\n'.join(prompts), encoding='utf-8')
  return str(path)


def prompt_config(path, **fields):
  config = render_config.get_config()
  config.prompts = path
  config.images_per_prompt = 2
  config.num_devices = 1
  config.world.t2i.num_workers = 0
  config.update_from_flattened_dict(fields)
  return config


def done(workdir):
  return workdir_lib.read_done(f'{workdir}/rendered', 'render')['info']


def test_a_second_run_renders_nothing(tmp_path, asked):
  long = 'a fox and ' * 1000
  lines = [PROMPTS[0], '', ' \t', f' {PROMPTS[1]} \r', long, PROMPTS[0]]
  path = write(tmp_path / 'p.txt', lines)
  config = prompt_config(path, seeds_per_prompt=2, first_seed=5, num_devices=2)
  render.run(config, str(tmp_path))
  prompts = [PROMPTS[0], PROMPTS[1], long.strip()]
  columns = [(p, s) for p in prompts for s in (5, 6)]
  assert asked == columns
  first = done(tmp_path)
  assert (first['num_columns'], first['num_rendered']) == (6, 12)
  asked.clear()
  render.run(config, str(tmp_path))
  second = done(tmp_path)
  assert not asked
  assert (second['num_rendered'], second['num_images_found']) == (0, 12)
  # Results are what the model and the encoder give.
  found = rendered.Rendered(str(tmp_path))
  assert [(c['prompt'], c['seed']) for c in found.columns] == columns
  world = world_lib.World(config.world)
  image = world.image_features(*zip(*columns), 2)
  text = world.text_features([p for p, _ in columns])
  images = world.t2i.generate(*map(np.array, zip(*columns)), 2)
  for i in range(6):
    np.testing.assert_array_equal(found.images(i), images[i])
    # Over two devices as on one.
    np.testing.assert_array_equal(found.image_features(i), image[i])
    np.testing.assert_array_equal(found.text_features(i), text[i])
  world.close()
  # More prompts, more seeds: only these are rendered.
  asked.clear()
  write(tmp_path / 'p.txt', [PROMPTS[2], *lines])
  config.seeds_per_prompt = 3
  render.run(config, str(tmp_path))
  assert len(asked) == 6 and not set(asked) & set(columns)
  assert len(rendered.Rendered(str(tmp_path))) == 12


def test_damage_is_found_and_repaired(tmp_path, asked, caplog):
  path = write(tmp_path / 'p.txt', PROMPTS)
  config = prompt_config(path)
  render.run(config, str(tmp_path))
  before = rendered.Rendered(str(tmp_path))
  before = [(before.images(i), before.image_features(i)) for i in range(4)]
  (images,) = glob.glob(f'{tmp_path}/rendered/store/images/*.pack')
  (features,) = glob.glob(f'{tmp_path}/rendered/store/features/*.jsonl')
  with open(images, 'r+b') as f:
    f.write(b'xxx')
  with open(features, 'r+b') as f:
    f.seek(30)
    f.write(b'\n')
  asked.clear()
  with pytest.raises(errors.PastaError, match='lacks the images of column 0'):
    rendered.Rendered(str(tmp_path)).images(0)
  config.verify = True
  render.run(config, str(tmp_path))
  assert [p for p, _ in asked] == [PROMPTS[0]]
  assert 'lines are damaged and left out' in caplog.text
  found = rendered.Rendered(str(tmp_path))
  for i in range(4):
    np.testing.assert_array_equal(found.images(i), before[i][0])
    np.testing.assert_array_equal(found.image_features(i), before[i][1])
  # Images without their features, and features without images.
  asked.clear()
  for end in ('pack', 'jsonl'):
    for path in glob.glob(f'{tmp_path}/rendered/store/features/*.{end}'):
      os.remove(path)
  render.run(config, str(tmp_path))
  assert not asked and done(tmp_path)['num_damaged'] == 0
  for path in glob.glob(f'{tmp_path}/rendered/store/images/*'):
    os.remove(path)
  config.world.t2i.store_images = False
  render.run(config, str(tmp_path))
  assert not asked
  config.world.t2i.store_images = True
  render.run(config, str(tmp_path))
  assert len(asked) == 4
  np.testing.assert_array_equal(
    rendered.Rendered(str(tmp_path)).images(3), before[3][0]
  )


@pytest.fixture(scope='module')
def collected(tmp_path_factory):
  """A working directory with sessions."""
  directory = str(tmp_path_factory.mktemp('collected'))
  config = collect.get_config('smoke')
  config.num_people, config.sessions_per_person = 1, 2
  config.sizes.num_turns = config.sizes.images_per_prompt = 2
  config.world.t2i.num_workers = 0
  collect_stage.run(config, directory)
  return directory


def extract(collected, directory, **fields):
  os.makedirs(directory)
  os.symlink(f'{collected}/sessions', f'{directory}/sessions')
  config = extract_features.get_config('smoke')
  config.world.t2i.num_workers = 0
  config.update_from_flattened_dict(fields)
  extract_features_stage.run(config, str(directory))
  info = workdir_lib.read_done(f'{directory}/features', 'extract_features')
  (path,) = glob.glob(f'{directory}/features/*.npz')
  return np.load(path), info['info']['num_images_made'], info['fingerprint']


def test_stages_with_a_store_give_the_same(collected, tmp_path, asked):
  plain, num, fingerprint = extract(collected, tmp_path / 'plain')
  fields = {'world.t2i.store': str(tmp_path / 'store')}
  counts = [num]
  for name, more in (('a', {'world.t2i.store_images': False}), ('b', {})):
    found, num, same = extract(collected, tmp_path / name, **fields, **more)
    counts.append(num)
    assert same == fingerprint
    assert found.files == plain.files
    for key in plain.files:
      np.testing.assert_array_equal(found[key], plain[key])
  sessions = list(sessions_lib.read_dir(f'{collected}/sessions'))
  columns = {
    (p, s)
    for session in sessions
    for turn in session.turns
    for p, s in zip(turn.prompts, turn.seeds)
  }
  assert counts == [2 * len(columns), 2 * len(columns), 0]
  # What was shown has features there, and gets images.
  asked.clear()
  config = render_config.get_config('smoke')
  config.num_devices, config.world.t2i.num_workers = 1, 0
  config.world.t2i.store = str(tmp_path / 'store')
  workdir = tmp_path / 'a'
  render.run(config, str(workdir))
  assert set(asked) == columns and len(asked) == len(columns)
  shown = rendered.Rendered(str(workdir))
  assert len(shown) == 2 * 2 * 4
  assert shown.columns[-1]['session_id'] == sessions[-1].session_id
  # All candidates: those that were shown are there.
  asked.clear()
  config.columns = 'candidates'
  render.run(config, str(workdir))
  assert not set(asked) & columns
  everything = rendered.Rendered(str(workdir))
  assert len(everything) == 2 * 2 * 25
  turn = sessions[1].turns[1]
  row = everything.columns[50 + 25 + 7]
  assert row['prompt'] == turn.candidates[7].text
  assert row['seed'] in turn.seeds
  assert (row['turn'], row['candidate']) == (1, 7)
  config.world.t2i.name = 'sketch:ink'
  with pytest.raises(errors.PastaError, match='the config makes sketch:ink'):
    render.run(config, str(workdir))


def test_pictures_of_another_size_are_stored_too(tmp_path, asked):
  config = common.world()
  config.t2i.num_workers = 0
  config.t2i.store = str(tmp_path)
  images = []
  for _ in range(2):
    world = world_lib.World(config)
    images.append(world.t2i_at(48).generate(PROMPTS, np.arange(4), 2))
    world.close()
  assert len(asked) == 4
  np.testing.assert_array_equal(*images)
  assert images[0].shape[2] == 48


def command(workdir, path, *more):
  return [
    *(sys.executable, '-m', 'launch.render', f'--workdir={workdir}'),
    *('--config=configs/render.py', f'--config.prompts={path}'),
    *('--config.world.t2i.num_workers=0', '--config.seeds_per_prompt=6'),
    *('--config.images_per_prompt=2', '--config.chunk_columns=2', *more),
  ]


def stored(workdir, kind='images'):
  """All lines of the manifests."""
  found = []
  for path in glob.glob(f'{workdir}/rendered/store/{kind}/*.jsonl'):
    with open(path, encoding='utf-8') as f:
      found += f.read().split('\n')[:-1]
  return [json.loads(line) for line in found]


def test_killed_and_shared_runs_leave_what_a_whole_one_does(tmp_path):
  path = write(tmp_path / 'p.txt', [f'tree {i}' for i in range(8)])
  whole, cut = tmp_path / 'whole', tmp_path / 'cut'
  config = prompt_config(path, seeds_per_prompt=6)
  render.run(config, str(whole))
  num = len(stored(whole))
  assert num == 8 * 6
  run = hosts.start(command(cut, path))
  while len(stored(cut)) < num // 4:
    assert run.poll() is None
    time.sleep(0.005)
  run.send_signal(signal.SIGKILL)
  run.communicate()
  before = len(stored(cut))
  assert before < num
  with pytest.raises(errors.PastaError, match='has not finished there'):
    rendered.Rendered(str(cut))
  # Two processes share what is left.
  hosts.run_two(lambda flag: command(cut, path, flag))
  files = glob.glob(f'{cut}/rendered/store/images/*.jsonl')
  assert len(files) == 3  # of the one that was killed, and of both of these
  assert len(stored(cut)) == len({line['key'] for line in stored(cut)}) == num
  assert done(cut)['num_images_found'] == 2 * before
  assert done(cut)['num_rendered'] == 2 * (num - before)
  a, b = rendered.Rendered(str(whole)), rendered.Rendered(str(cut))
  assert a.columns == b.columns and len(a) == num
  for i in range(num):
    np.testing.assert_array_equal(a.images(i), b.images(i))
    np.testing.assert_array_equal(a.image_features(i), b.image_features(i))
    np.testing.assert_array_equal(a.text_features(i), b.text_features(i))


def test_wrong_inputs_are_named(tmp_path, collected):
  def refused(match, **fields):
    with pytest.raises(errors.PastaError, match=match):
      render.run(prompt_config(**fields), str(tmp_path / 'w'))

  path = write(tmp_path / 'p.txt', ['a'])
  (tmp_path / 'bad').write_bytes(b'a\nb\xff\n')
  refused('expected exactly one of them', path='')
  refused('expected exactly one of them', path=path, sessions='x')
  refused('nowhere: cannot be read: No such', path=f'{tmp_path}/nowhere')
  refused('cannot be read: Is a directory', path=str(tmp_path))
  refused('empty: holds no prompt', path=write(tmp_path / 'empty', [' ', '']))
  refused('bad: line 2 is not UTF-8', path=f'{tmp_path}/bad')
  refused("'seeds_per_prompt' is 0", path=path, seeds_per_prompt=0)
  refused("'first_seed' is -1", path=path, first_seed=-1)
  refused('w/x: no such session directory', path='', sessions='x')
  refused('columns', path='', sessions=f'{collected}/sessions', columns='all')
  refused('p.txt: cannot be made', path=path, **{'world.t2i.store': f'{path}'})
  refused(
    'is no store: it has no store.json',
    path=path,
    **{'world.t2i.store': str(tmp_path)},
  )
  refused(
    "'t2i.name' is 'x'; expected one of sketch",
    path=path,
    **{'world.t2i.name': 'x'},
  )
  (tmp_path / 'sessions').mkdir()
  refused('holds no session', path='', sessions=f'{tmp_path}/sessions')
  config = prompt_config(path, features=False)
  render.run(config, str(tmp_path / 'w'))
  found = rendered.Rendered(str(tmp_path / 'w'))
  assert found.images(0).shape == (2, 64, 64, 3) and not found.encoder_id
  with pytest.raises(errors.PastaError, match='lacks the image features of'):
    found.image_features(0)
