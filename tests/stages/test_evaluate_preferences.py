"""Tables judge nobody whom the user model was trained on."""

import logging

import pytest

from configs import evaluate_preferences, train_user_model
from pasta import errors, workdir
from pasta.stages import evaluate_preferences as stage


@pytest.mark.parametrize(
  'trained, judged, expected',
  [
    (('none', 0.1), ('users', 0.3), r"""'users' \(share 0.3\), but the user
model was trained on that data set with 'none': people to be judged were in
training; train with --config.sources.preferences.reserve=users
--config.sources.preferences.reserve_share=0.3$"""),
    (('users', 0.1), ('users', 0.3), r"with 'users' \(share 0.1\): people"),
    (('last', 0.1), ('users', 0.1), r"with 'last' \(share 0.1\): people"),
    (('users', 0.2), ('none', 0.1), r"""is 'none', but the user .*; judge with
--config.tables.pick_a_filter.reserve=users
--config.tables.pick_a_filter.reserve_share=0.2$"""),
    (('users', 0.3), ('users', 0.3), 'train: '),
    (('users', 0.3), ('users', 0.1), 'train: '),
    (('none', 0.1), ('none', 0.3), 'train: '),
  ],
)  # fmt: skip
def test_reserves_are_compared(tmp_path, trained, judged, expected, caplog):
  training = train_user_model.get_config('preferences')
  source = training.sources.preferences
  source.path = 'preferences/pick_a_filter/../pick_a_filter/train'
  source.reserve, source.reserve_share = trained
  directory = str(tmp_path / 'user_model')
  with workdir.open_stage('train_user_model', directory, training):
    pass
  config = evaluate_preferences.get_config('pick_a_filter')
  table = config.tables.pick_a_filter
  table.reserve, table.reserve_share = judged
  # Where nothing is wrong with them the data set, which is not there, is next.
  with caplog.at_level(logging.WARNING):
    with pytest.raises(errors.PastaError, match=expected.replace('\n', ' ')):
      stage.run(config, str(tmp_path))
  is_told = 'pick_a_filter judges people whom' in caplog.text
  assert is_told == (trained[0] == judged[0] == 'none')
  assert not (tmp_path / 'preference_tables').exists()


def test_a_split_of_its_own_needs_no_reserve(tmp_path):
  training = train_user_model.get_config('preferences')
  training.sources.preferences.path = 'preferences/hpd_v2/train'
  directory = str(tmp_path / 'user_model')
  with workdir.open_stage('train_user_model', directory, training):
    pass
  config = evaluate_preferences.get_config('hpd_v2')
  with pytest.raises(errors.PastaError, match='hpd_v2/test: '):
    stage.run(config, str(tmp_path))
