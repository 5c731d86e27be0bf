"""Which people the report shows, and what it shows of them."""

import os
import shutil

import numpy as np
import pytest
import report_fabricated

from pasta import errors
from pasta.report import strips
from pasta.storage import sessions


@pytest.fixture(scope='module')
def session_dir(tmp_path_factory):
  directory = str(tmp_path_factory.mktemp('strips') / 'run')
  report_fabricated.write(directory, num_people=11, num_images=2)
  return os.path.join(directory, 'evaluation', 'sessions')


def test_people_are_quantiles_of_the_lead(session_dir):
  pairs = strips.read_pairs(session_dir, 3)
  ours = list(sessions.read_dir(os.path.join(session_dir, 'pasta')))
  theirs = list(sessions.read_dir(os.path.join(session_dir, 'lmm')))
  leads = sorted(
    strips.total(a) - strips.total(b) for a, b in zip(ours, theirs)
  )
  # Quantiles .9, .5, .1 of eleven people are the ranks 9, 5 and 1.
  np.testing.assert_allclose(
    [p.lead for p in pairs], [leads[9], leads[5], leads[1]]
  )
  np.testing.assert_allclose([p.quantile for p in pairs], [0.9, 0.5, 0.1])
  assert all(p.agent.user_id == p.baseline.user_id for p in pairs)


def test_more_strips_than_people_shows_each_once(session_dir):
  pairs = strips.read_pairs(session_dir, 40)
  assert len({p.index for p in pairs}) == len(pairs) <= 11


def test_missing_policy_gives_no_pairs(session_dir):
  assert strips.read_pairs(session_dir, 3, baseline='greedy') == []
  assert strips.read_pairs(session_dir, 0) == []


def test_other_people_are_an_error(session_dir, tmp_path):
  for policy in ('pasta', 'lmm'):
    shutil.copytree(os.path.join(session_dir, policy), tmp_path / policy)
  path = sessions.shard_path(str(tmp_path / 'lmm'), 0)
  batch = sessions.read_shard(path)
  os.remove(path)
  sessions.write_shard(path, batch[::-1])
  with pytest.raises(errors.PastaError, match='person-00010'):
    strips.read_pairs(str(tmp_path), 2)
  os.remove(path)
  sessions.write_shard(path, batch[:-1])
  with pytest.raises(errors.PastaError, match='10'):
    strips.read_pairs(str(tmp_path), 2)


def test_strip_shows_the_chosen_column(session_dir):
  pairs = strips.read_pairs(session_dir, 2)
  people = strips.render(pairs, report_fabricated.World(), 32)
  turn = pairs[0].agent.turns[2]
  shown = people[0]['agent'][2]
  assert shown['prompt'] == turn.chosen_prompt
  assert shown['satisfaction'] == turn.satisfaction
  assert len(shown['images']) == 2
  assert all(i.startswith('data:image/jpeg;base64,') for i in shown['images'])
  # What was typed is not news; what the chosen candidate added is.
  first = people[0]['agent'][0]
  opening = pairs[0].agent.initial_prompt
  assert opening in ''.join(r['text'] for r in first['words'] if not r['new'])
  joined = ' '.join(r['text'] for r in first['words'])
  assert joined == first['prompt']


def test_slates_keep_the_order_on_screen(session_dir):
  session = strips.read_pairs(session_dir, 1)[0].agent
  slates = strips.render_slates(session, report_fabricated.World(), 48, 32)
  assert len(slates) == len(session.turns)
  for turn, slate in zip(session.turns, slates):
    assert [c['prompt'] for c in slate['columns']] == [
      turn.prompts[i] for i in turn.columns
    ]
    chosen = [c['prompt'] for c in slate['columns'] if c['chosen']]
    assert chosen == [turn.chosen_prompt]
