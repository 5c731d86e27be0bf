"""The whole loop through the real launch scripts, at smoke size."""

import dataclasses
import io
import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from configs import (
  collect,
  common,
  evaluate,
  paper,
  quickstart,
  simulate,
  train_user_model,
  train_value,
)
from configs import play as play_config
from pasta import errors
from pasta.agent import saved as saved_values
from pasta.stages import collect as collect_stage
from pasta.stages import evaluate as evaluate_stage
from pasta.stages import play
from pasta.stages import quickstart as quickstart_stage
from pasta.stages import simulate as simulate_stage
from pasta.stages import train_user_model as train_user_model_stage
from pasta.stages import train_value as train_value_stage
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# One device, as a user has: the eight fake ones are for unit tests.
ENVIRONMENT = {
  k: v for k, v in os.environ.items() if k != 'JAX_NUM_CPU_DEVICES'
}
POLICIES = set(evaluate.get_config().policies)


def command(stage: str, workdir: pathlib.Path, *flags: str) -> list[str]:
  return [
    sys.executable,
    '-m',
    f'launch.{stage}',
    f'--config=configs/{stage}.py:smoke',
    f'--workdir={workdir}',
    *flags,
  ]


def launch(args: list[str]) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    args,
    cwd=ROOT,
    env=ENVIRONMENT,
    capture_output=True,
    text=True,
    check=False,
  )


def files(workdir: pathlib.Path) -> dict[str, int]:
  return {
    str(p.relative_to(workdir)): p.stat().st_mtime_ns
    for p in workdir.rglob('*')
    if p.is_file()
  }


def without_times(workdir: pathlib.Path) -> list[sessions_lib.Session]:
  """All sessions with what the clock says taken out."""
  return [
    dataclasses.replace(
      s,
      started_at=0.0,
      turns=tuple(dataclasses.replace(t, answered_at=0.0) for t in s.turns),
    )
    for s in sessions_lib.read_dir(str(workdir))
  ]


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> pathlib.Path:
  directory = tmp_path_factory.mktemp('quickstart')
  done = launch(command('quickstart', directory))
  assert done.returncode == 0, done.stderr[-3000:]
  assert 'report:' in done.stdout
  return directory


def test_every_stage_leaves_its_files(workdir):
  results = json.loads((workdir / 'evaluation/results.json').read_text())
  assert set(results['policies']) == POLICIES
  for row in results['policies'].values():
    assert len(row['satisfaction']) == 5
    assert (
      row['return']['low'] <= row['return']['mean'] <= row['return']['high']
    )
  first, second = results['returning']['pasta']
  assert set(first) == {'return'}
  assert set(second) == {'return', 'fresh', 'gain'}
  gain = second['return']['mean'] - second['fresh']['mean']
  assert second['gain']['mean'] == pytest.approx(gain, abs=1e-5)
  returning = workdir / 'evaluation/returning/pasta'
  known, fresh, before = (
    list(sessions_lib.read_dir(str(returning / name)))
    for name in ('session-2', 'session-2-as-if-new', 'session-1')
  )
  assert [s.belief_after for s in known] == [s.session_id for s in before]
  assert {s.belief_after for s in fresh + before} == {''}
  # The same person with the same prompt, and another one than before.
  for one, other, first in zip(known, fresh, before, strict=True):
    assert one.user_id == other.user_id == first.user_id
    assert one.initial_prompt == other.initial_prompt
    assert one.session_id != first.session_id
  # The same people in the same order, whatever the policy.
  people = {
    name: [
      (s.user_id, s.initial_prompt)
      for s in sessions_lib.read_dir(
        str(workdir / 'evaluation/sessions' / name)
      )
    ]
    for name in POLICIES
  }
  assert len(set(map(str, people.values()))) == 1
  page = (workdir / 'report/index.html').read_text()
  # Pictures are letters at random: they may spell anything.
  words = re.sub(r'data:image/[^"]*', '', page)
  assert 'pasta' in words
  assert 'http' not in words.replace('http://www.w3.org', '')
  for stage in ('user_model', 'value'):
    lines = (workdir / stage / 'metrics.jsonl').read_text().splitlines()
    assert lines and all(json.loads(line) for line in lines)
    assert list((workdir / stage).glob('events.out.tfevents.*'))


def test_evaluated_people_are_not_those_that_data_came_from(workdir):
  def people(path):
    return {s.user_id for s in sessions_lib.read_dir(str(workdir / path))}

  assert not people('sessions') & people('evaluation/sessions/pasta')


def test_logged_propensities_are_probabilities(workdir):
  logged = [
    t.log_propensity
    for s in sessions_lib.read_dir(str(workdir / 'sessions'))
    for t in s.turns
  ]
  assert max(logged) < 0.0  # the data come from a stochastic policy
  assert np.exp(logged).min() > 0.0


def test_second_run_skips_everything(workdir):
  before = files(workdir)
  again = launch(command('quickstart', workdir))
  assert again.returncode == 0, again.stderr[-3000:]
  assert files(workdir) == before
  assert again.stderr.count('done already') == 7


def test_each_stage_alone_knows_that_it_is_done(workdir, caplog):
  before = files(workdir)
  with caplog.at_level(logging.INFO, 'absl'):
    train_value_stage.run(train_value.get_config('smoke'), str(workdir))
  assert 'train_value: done already' in caplog.text
  assert files(workdir) == before


def test_the_paper_has_its_sizes_and_shares_parts():
  config = paper.get_config()
  assert config.train_user_model.num_types == 16
  assert config.collect.num_people * config.collect.sessions_per_person >= 7000
  assert set(config.simulate.behaviour) == {'greedy', 'random'}
  assert config.train_value.base == 'none'
  config.world.t2i.name = 'sdxl'
  assert config.simulate.world.t2i.name == 'sdxl'
  gemma = paper.get_config('gemma,release,small')
  assert (gemma.train_value.backbone, gemma.train_value.credit) == (
    'gemma',
    'mean',
  )
  assert (
    gemma.simulate.num_sessions == quickstart.get_config().simulate.num_sessions
  )
  with pytest.raises(ValueError, match=r"'smal'.*did you mean 'small'"):
    paper.get_config('smal')


def test_a_skipped_stage_has_to_be_one(tmp_path):
  config = paper.get_config('smoke,release')
  config.skip = (*config.skip, 'colect')
  with pytest.raises(errors.PastaError, match=r"'skip'.*'colect'.*'collect'"):
    quickstart_stage.run(config, str(tmp_path))
  assert not files(tmp_path)


def test_the_papers_values_learn_from_the_same_stages(workdir, tmp_path):
  config = paper.get_config('smoke')
  for name in ('features', 'simulated', 'user_model'):
    (tmp_path / name).symlink_to(workdir / name)
  train_value_stage.run(config.train_value, str(tmp_path))
  settings = saved_values.load(str(tmp_path / 'value')).settings
  assert (settings.base, settings.credit) == ('none', 'mean')


def test_workdir_of_another_config_is_refused(workdir):
  before = files(workdir)
  config = collect.get_config('smoke')
  config.num_people = 25
  with pytest.raises(errors.PastaError) as e:
    collect_stage.run(config, str(workdir))
  (line,) = str(e.value).splitlines()
  assert "'num_people' is 24" in line and '25 here' in line
  assert files(workdir) == before


def test_stage_without_its_input_names_it(tmp_path):
  with pytest.raises(errors.PastaError) as e:
    train_user_model_stage.run(
      train_user_model.get_config('smoke'), str(tmp_path)
    )
  (line,) = str(e.value).splitlines()
  assert 'extract_features' in line


def test_a_killed_collect_goes_on_to_the_same_sessions(workdir, tmp_path):
  config = collect.get_config('smoke')
  config.batch_size = 2
  process = subprocess.Popen(
    command('collect', tmp_path, '--config.batch_size=2'),
    cwd=ROOT,
    env=ENVIRONMENT,
    stderr=subprocess.DEVNULL,
  )
  shards = tmp_path / 'sessions'
  deadline = time.time() + 300
  while len(list(shards.glob('*.jsonl'))) < 3 and time.time() < deadline:
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert not list(shards.glob('collect.done.json'))
  collect_stage.run(config, str(tmp_path))
  # Batches of another size, cut off in the middle: the same sessions, but for
  # the stochastic policy's draws, which belong to a batch.
  resumed, whole = without_times(shards), without_times(workdir / 'sessions')
  assert [s.initial_prompt for s in resumed] == [
    s.initial_prompt for s in whole
  ]
  collect_stage.run(config, str(tmp_path / 'fresh'))
  assert resumed == without_times(tmp_path / 'fresh' / 'sessions')


@pytest.fixture
def play_here(workdir, monkeypatch):
  """Plays in this process: answers and prompt to the last session."""

  def run(answers: str, prompt: str, person='', seed=3) -> sessions_lib.Session:
    monkeypatch.setattr('sys.stdin', io.StringIO(answers))
    play.run(
      play_config.get_config(),
      str(workdir),
      prompt,
      size=64,
      seed=seed,
      person=person,
    )
    return list(sessions_lib.read_dir(str(workdir / 'play/sessions')))[-1]

  return run


def test_a_person_plays_a_session(workdir, play_here, capsys):
  first = '2\n7\nqwerty, asdf\n'
  later = '1\n\nb\n\n'
  session = play_here('9\n' + first + later * 4, 'a quiet harbour at dusk')
  said = capsys.readouterr().out
  assert "'9' is none of 1, 2, 3, 4" in said
  assert 'Session saved' in said and 'likes' in said
  assert session.source == 'human' and len(session.turns) == 5
  first = session.turns[0]
  assert first.choice == first.columns[1]  # screen column 2
  assert first.satisfaction == 0.7 and first.critique == 'qwerty, asdf'
  assert "'qwerty, asdf' has no word that the candidate generator knows" in said
  assert session.turns[1].comparison == 1
  assert session.turns[1].satisfaction is None
  pictures = list((workdir / 'play').glob('pictures-*/turn-*.png'))
  assert len(pictures) == 5


def test_a_person_comes_back(workdir, play_here, capsys):
  answers = '1\n9\n\n' + '1\n9\nb\n\n' * 4
  new = play_here(answers, 'a fox', person='ada')
  said = capsys.readouterr().out
  assert 'I do not know ada yet.' in said and new.belief_after == ''
  again = play_here(answers, 'an owl', person='ada', seed=4)
  said = capsys.readouterr().out
  assert 'I know ada from 1 session(s) before.' in said
  assert again.belief_after == new.session_id
  assert new.user_id == again.user_id == 'ada'
  # The session begins with what the last one ended with.
  path = workdir / 'play' / 'people' / 'ada.json'
  content = json.loads(path.read_text())
  assert content['session_ids'] == [new.session_id, again.session_id]
  path.write_text(json.dumps(content | {'user_model': 'another'}))
  with pytest.raises(errors.PastaError, match='of the user model another'):
    play_here(answers, 'an owl', person='ada')
  with pytest.raises(errors.PastaError, match='no name of a person'):
    play_here(answers, 'an owl', person='../ada')


@pytest.mark.parametrize('prompt', ['an old robot', 'a fox and ' * 1000])
def test_a_person_stops_early(play_here, prompt):
  session = play_here('1\n\n\nq\n', prompt)
  assert session.initial_prompt == prompt
  assert len(session.turns) == 1


@pytest.mark.parametrize(
  'prompt,message', [(' ', '--prompt is empty'), ('a fox', 'nothing was saved')]
)
def test_play_without_a_prompt_or_an_answer(play_here, prompt, message):
  with pytest.raises(errors.PastaError, match=message):
    play_here('', prompt)


def test_no_terminal_s_alphabet_costs_a_session(workdir):
  where = str(workdir / 'play/sessions')
  before = len(list(sessions_lib.read_dir(where)))
  done = subprocess.run(
    [*command('play', workdir)[:3], f'--workdir={workdir}', '--prompt=a lake'],
    cwd=ROOT,
    input=b'1\n5\ncaf\xe9\nq\n',
    env={**os.environ, 'PYTHONIOENCODING': 'ascii'},
    capture_output=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  *_, session = sessions_lib.read_dir(where)
  assert len(list(sessions_lib.read_dir(where))) == before + 1
  assert session.turns[0].critique == 'caf\N{REPLACEMENT CHARACTER}'


def test_to_stop_at_once_is_no_error(workdir, monkeypatch, capsys):
  before = files(workdir)
  monkeypatch.setattr('sys.stdin', io.StringIO('q\n'))
  play.run(play_config.get_config(), str(workdir), 'caf\udce9', 64, 11)
  assert 'nothing was saved' in capsys.readouterr().out
  after = {n: c for n, c in files(workdir).items() if 'pictures-' not in n}
  assert after == {n: c for n, c in before.items() if 'pictures-' not in n}


class _Killed(io.StringIO):
  """Answers that end as a process does that is killed."""

  def readline(self, *unused_args):
    line = super().readline()
    if not line:
      raise RuntimeError('killed')
    return line


def test_a_user_model_alone_plays_and_each_turn_is_saved(
  workdir, tmp_path, monkeypatch, capsys
):
  os.symlink(workdir / 'user_model', tmp_path / 'user_model')
  config = play_config.get_config()
  answers = '1\n\n\n' + '1\n\n\n\n' * 2
  monkeypatch.setattr('sys.stdin', _Killed(answers))
  with pytest.raises(RuntimeError, match='killed'):
    play.run(config, str(tmp_path), 'a fox', size=32)
  assert 'policy greedy_slate, by the user model' in capsys.readouterr().out
  (session,) = sessions_lib.read_dir(str(tmp_path / 'play/sessions'))
  assert len(session.turns) == 3 and session.policy_id.startswith(
    'greedy_slate'
  )
  config.policy.name = 'pasta'
  with pytest.raises(errors.PastaError, match='train_value has not finished'):
    play.run(config, str(tmp_path), 'a fox')


def test_play_has_the_recorded_world_but_for_what_flags_set(
  workdir, tmp_path, monkeypatch
):
  for name in ('user_model', 'value'):
    os.symlink(workdir / name, tmp_path / name)
  recorded = json.loads((workdir / 'sessions/config.json').read_text())
  recorded['world']['t2i'] |= {'name': 'sketch:ink', 'num_workers': 7}
  recorded['sizes'] = {'num_turns': 2, 'num_columns': 3, 'images_per_prompt': 1}
  (tmp_path / 'sessions').mkdir()
  path = tmp_path / 'sessions/config.json'
  path.write_text(json.dumps(recorded))
  config = play_config.get_config()
  config.policy.name = 'lmm'
  config.world.t2i.size = 40

  def played(*given):
    monkeypatch.setattr('sys.stdin', io.StringIO('1\n\n\n' * 9))
    play.run(config, str(tmp_path), 'a fox', 32, fields_given=given)
    return list(sessions_lib.read_dir(str(tmp_path / 'play/sessions')))[-1]

  session = played()
  assert session.t2i_id == 'sketch:ink@64/v1'
  assert len(session.turns[0].slate) == 3 and session.images_per_prompt == 1
  assert played('world.t2i.size').t2i_id == 'sketch:ink@40/v1'
  assert played('world.t2i.name').t2i_id == 'sketch@64/v1'
  # Arguments go with the class that they were recorded with.
  recorded['world']['t2i']['arguments'] = '{"a": 1}'
  path.write_text(json.dumps(recorded))
  for given, expected in (((), '{"a": 1}'), (('world.t2i.name',), '')):
    found = play._as_recorded(config, str(tmp_path), given)
    assert found.world.t2i.arguments == expected
  config.as_recorded = False
  assert played().t2i_id == 'sketch@40/v1'
  config.as_recorded = True
  recorded['world']['t2i']['size'] = 'x'
  path.write_text(json.dumps(recorded))
  with pytest.raises(errors.PastaError, match="'world.t2i.size' cannot be us"):
    played()


def test_the_last_agent_can_make_the_data(workdir, tmp_path):
  for name in ('sessions', 'user_model', 'value'):
    os.symlink(workdir / name, tmp_path / name)
  config = simulate.get_config('smoke')
  config.world.t2i.num_workers = 0
  config.num_sessions = config.batch_size = 4
  config.value_from = 'value'
  config.behaviour = {'pasta': common.policy('pasta')}
  simulate_stage.run(config, str(tmp_path))
  sessions = list(sessions_lib.read_dir(str(tmp_path / 'simulated')))
  assert [s.policy_id for s in sessions] == 4 * ['pasta:slate']
  config.value_from = 'sessions'
  with pytest.raises(errors.PastaError, match='train_value has not finished'):
    simulate_stage.run(config, str(tmp_path))


def test_people_of_the_user_model_judge_any_model(workdir, tmp_path, caplog):
  for name in ('sessions', 'user_model', 'value', 'features'):
    os.symlink(workdir / name, tmp_path / name)
  (tmp_path / 'mine.txt').write_text('a lighthouse\n\na fox, watercolour\n')
  config = evaluate.get_config('smoke')
  config.name, config.people = 'judged', 'user_model'
  config.prompts = str(tmp_path / 'mine.txt')
  config.num_people = config.batch_size = config.returning.num_people = 4
  config.world.t2i.name = 'sketch:ink'
  config.world.t2i.num_workers = 0
  for name in [*config.policies]:
    if name not in ('pasta', 'lmm', 'oracle'):
      del config.policies[name]
  with caplog.at_level(logging.WARNING, 'absl'):
    evaluate_stage.run(config, str(tmp_path))
  assert 'left out' in caplog.text and 'oracle' in caplog.text
  where = tmp_path / 'evaluation-judged'
  results = json.loads((where / 'results.json').read_text())
  assert set(results['policies']) == {'pasta', 'lmm'}
  assert results['people'] == 'user_model' and not results['population']
  assert 'beliefs' not in results and len(results['returning']['pasta']) == 2
  assert results['paired']['pasta-lmm']['final_image_win_share']['mean'] >= 0
  played = {
    name: list(sessions_lib.read_dir(str(where / name)))
    for name in (
      'sessions/lmm',
      'returning/pasta/session-1',
      'returning/pasta/session-2',
    )
  }
  first, *back = played.values()
  assert {s.initial_prompt for s in first} <= {
    'a lighthouse',
    'a fox, watercolour',
  }
  assert {s.source for s in first} == {'simulated'}
  assert [s.user_id for s in back[0]] == [s.user_id for s in back[1]]
  # The prompts are what was judged with: others are another run.
  (tmp_path / 'mine.txt').write_text('a lake\n')
  with pytest.raises(errors.PastaError, match='run on other inputs'):
    evaluate_stage.run(config, str(tmp_path))


@pytest.mark.parametrize(
  ('stage', 'config', 'field'),
  [
    (collect_stage, collect, 'num_people'),
    (collect_stage, collect, 'sessions_per_person'),
    (collect_stage, collect, 'batch_size'),
    (simulate_stage, simulate, 'num_sessions'),
    (simulate_stage, simulate, 'batch_size'),
    (evaluate_stage, evaluate, 'num_people'),
    (evaluate_stage, evaluate, 'batch_size'),
  ],
)
@pytest.mark.parametrize('value', [0, -3])
def test_a_size_that_makes_nothing_is_named(
  stage, config, field, value, tmp_path
):
  settings = config.get_config('smoke')
  settings[field] = value
  with pytest.raises(errors.PastaError, match=f"'{field}' is {value}, expect"):
    stage.run(settings, str(tmp_path))
  assert not files(tmp_path)


def test_people_type_prompts_of_one_s_own(tmp_path):
  (tmp_path / 'mine.txt').write_text('a fox at night\na harbour\n')
  config = collect.get_config('smoke')
  config.num_people, config.prompts = 8, str(tmp_path / 'mine.txt')
  collect_stage.run(config, str(tmp_path))
  records = list(sessions_lib.read_dir(str(tmp_path / 'sessions')))
  assert {s.initial_prompt for s in records} == {'a fox at night', 'a harbour'}
  for content, message in (
    (b'\n \n', 'holds no prompt'),
    (b'a fox\n' + b'x' * 10_000, 'the prompt .xxx.* has 10000 characters'),
    (b'a fox\n\xff', 'line 2 is not UTF-8'),
  ):
    (tmp_path / 'mine.txt').write_bytes(content)
    with pytest.raises(errors.PastaError, match=f'mine.txt: {message}'):
      collect_stage.run(config, str(tmp_path / 'other'))
  assert not (tmp_path / 'other').exists()


def test_more_simulated_sessions_are_added_to_those_there(workdir, tmp_path):
  config = simulate.get_config('smoke')
  config.world.t2i.num_workers = 0
  config.batch_size = 4
  # Draws, with keys by batch, and two policies in turn.
  config.behaviour.random = common.policy('random')
  found = {}
  for run, sizes in (('grown', (6, 11)), ('fresh', (11,))):
    root = tmp_path / run
    root.mkdir()
    for name in ('sessions', 'user_model'):
      os.symlink(workdir / name, root / name)
    for num in sizes:
      config.num_sessions = num
      simulate_stage.run(config, str(root))
      records = list(sessions_lib.read_dir(str(root / 'simulated')))
      found[run, len(records)] = records
  small, grown, fresh = (
    found[x] for x in (('grown', 6), ('grown', 11), ('fresh', 11))
  )
  assert grown[:6] == small  # times included

  def timeless(session):
    turns = tuple(
      dataclasses.replace(t, answered_at=0.0) for t in session.turns
    )
    return dataclasses.replace(session, started_at=0.0, turns=turns)

  assert [timeless(s) for s in grown] == [timeless(s) for s in fresh]
  a, b = (
    features_lib.load_dir(str(tmp_path / run / 'simulated'))
    for run in ('grown', 'fresh')
  )
  assert a.session_id == b.session_id
  np.testing.assert_array_equal(a.slate_image, b.slate_image)
  np.testing.assert_array_equal(a.choice, b.choice)
