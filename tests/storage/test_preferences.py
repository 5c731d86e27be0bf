"""Preference data on disk: it comes back, and what is wrong is named."""

import dataclasses

import numpy as np
import pytest

from pasta import errors
from pasta.storage import feature_rows, preferences, session_features
from pasta.storage import reserve as reserving

D = 5


def records(kind='pair', num=6, columns=2, images=1):
  rng = np.random.default_rng(0)
  feedback = {
    'pair': rng.integers(3, size=num) / 2,
    'choice': rng.integers(columns, size=num),
    'ranking': np.stack([rng.permutation(columns) for _ in range(num)]),
    'rating': rng.normal(size=num),
  }[kind]
  return preferences.Records(
    kind=kind,
    feedback=feedback,
    text=rng.integers(4, size=num),
    image=rng.integers(9, size=(num, columns, images)),
    user_id=np.array([f'u{i % 3}' for i in range(num)]),
    weight=np.ones(num, np.float32),
  )


def features(rows, seed=0):
  return np.random.default_rng(seed).normal(size=(rows, D)).astype(np.float16)


def save(path, made, text=None, image=None):
  text = features(4) if text is None else text
  image = features(9, 1) if image is None else image
  preferences.save(str(path), made, text, image, 'e1')


@pytest.mark.parametrize('kind', preferences.KINDS)
def test_round_trip(tmp_path, kind):
  made = records(kind, columns=1 if kind == 'rating' else 2)
  save(tmp_path, made)
  store = preferences.load(str(tmp_path))
  assert store.encoder_id == 'e1' and store.records.kind == kind
  for field in ('feedback', 'text', 'image', 'user_id', 'weight'):
    np.testing.assert_array_equal(
      getattr(store.records, field), getattr(made, field)
    )
  np.testing.assert_array_equal(
    store.image[made.image], features(9, 1)[made.image]
  )
  with pytest.raises(errors.PastaError, match='holds preference data already'):
    save(tmp_path, made)


def test_rows_of_several_shards(tmp_path, monkeypatch):
  monkeypatch.setattr(feature_rows, '_SHARD_ROWS', 4)
  whole = features(11)
  blocks = (whole[i : i + 3] for i in range(0, 11, 3))
  save(tmp_path, records(), image=blocks)
  assert len(list(tmp_path.glob('image-*.npy'))) == 3
  store = preferences.load(str(tmp_path))
  index = np.array([[10, 0], [3, 4], [7, 8]])
  np.testing.assert_array_equal(store.image[index], whole[index])
  assert store.image.shape == (11, D)


@pytest.mark.parametrize(
  'changes,message',
  [
    ({'kind': 'vote'}, "kind is 'vote'"),
    ({'feedback': np.full(6, 1.5)}, r'record 0: label outside \[0, 1\]'),
    ({'feedback': np.array([1, 0, np.nan, 1, 0, 1])}, 'record 2: .*not finite'),
    ({'text': np.array([0, 1, 9, 0, 0, 0])}, 'record 2: text is not a row'),
    ({'image': np.full((6, 2, 1), 30)}, 'record 0: image rows are not 0 to 8'),
    ({'image': np.full((6, 2), 3)}, 'image has shape'),
    ({'weight': np.array([1, 1, 0, 1, 1, 1.0])}, 'record 2: weight'),
    ({'user_id': np.array(['a'])}, 'user_id has shape'),
  ],
)
def test_bad_pairs_are_named(tmp_path, changes, message):
  with pytest.raises(errors.PastaError, match=message):
    save(tmp_path, dataclasses.replace(records(), **changes))
  assert not (tmp_path / 'manifest.json').exists()


@pytest.mark.parametrize(
  'kind,feedback,message',
  [
    ('choice', [0, 1, 2, 0, 0, 0], 'record 2: choice is not 0 to 1'),
    ('choice', [0, 0, 0, 1, 0, 0], 'record 3: the chosen column is not there'),
    ('ranking', [[0, 1]] * 5 + [[0, 0]], 'record 5: ranking names a column tw'),
    ('ranking', [[-1, 0]] + [[0, -1]] * 5, 'record 0: ranking names no column'),
    ('ranking', [[0, -1]] * 3 + [[1, 0]] * 3, 'record 3: .*a missing column'),
  ],
)
def test_bad_choices_and_rankings_are_named(tmp_path, kind, feedback, message):
  made = records(kind)
  image = made.image.copy()
  image[3, 1] = -1
  made = dataclasses.replace(made, feedback=np.array(feedback), image=image)
  with pytest.raises(errors.PastaError, match=message):
    save(tmp_path, made)


def test_damaged_files_are_named(tmp_path):
  bad = features(9, 1)
  bad[7, 2] = np.nan
  with pytest.raises(errors.PastaError, match='image features: row 7'):
    save(tmp_path / 'nan', records(), image=bad)
  with pytest.raises(errors.PastaError, match='no preference data there'):
    preferences.load(str(tmp_path / 'nothing'))
  save(tmp_path, records())
  shard = tmp_path / 'image-00000.npy'
  content = shard.read_bytes()
  shard.write_bytes(content[:-4])
  with pytest.raises(errors.PastaError, match='image-00000.npy.*not complete'):
    preferences.load(str(tmp_path))
  shard.write_bytes(b'')
  with pytest.raises(errors.PastaError, match='image-00000.npy: not a .npy'):
    preferences.load(str(tmp_path))
  shard.unlink()
  with pytest.raises(errors.PastaError, match='no such feature file'):
    preferences.load(str(tmp_path))
  shard.write_bytes(content)
  (tmp_path / 'observations.npz').write_bytes(b'PK')
  with pytest.raises(errors.PastaError, match='observations.npz: not a compl'):
    preferences.load(str(tmp_path))


def test_extra_arrays_come_back(tmp_path):
  made = dataclasses.replace(
    records(), extra={'order': np.arange(6), 'uid': np.array(list('abcdef'))}
  )
  save(tmp_path, made)
  found = preferences.load(str(tmp_path)).records.extra
  assert set(found) == {'order', 'uid'}
  np.testing.assert_array_equal(found['uid'], list('abcdef'))
  short = dataclasses.replace(made, extra={'order': np.arange(5)})
  with pytest.raises(errors.PastaError, match='extra array order has 5 rows'):
    save(tmp_path / 'short', short)


def test_ratings_are_centred_within_person_and_group():
  made = dataclasses.replace(
    records('rating', columns=1),
    feedback=np.array([1.0, 2, 3, 5, 8, 9]),  # of u0 u1 u2 u0 u1 u2
  )
  found = preferences.centred(made, np.array(list('aabaab')))
  np.testing.assert_allclose(found.feedback, [-2, -3, -3, 2, 3, 3])
  split = preferences.centred(made, np.array(list('aabbab')))
  np.testing.assert_allclose(split.feedback, [0, -3, -3, 0, 3, 3])
  with pytest.raises(errors.PastaError, match='only where users are known'):
    preferences.centred(
      dataclasses.replace(made, user_id=None), np.array(list('aabbab'))
    )


def parts(tmp_path, made, reserve, share):
  save(tmp_path, made)
  store = preferences.load(str(tmp_path))
  return [
    reserving.part(store, reserve, share, reserved=r) for r in (False, True)
  ]


def test_reserved_people_are_apart_and_the_same_everywhere(tmp_path):
  made = dataclasses.replace(
    records(num=400), user_id=np.array([f'p{i % 80}' for i in range(400)])
  )
  train, test = parts(tmp_path / 'all', made, 'users', 0.25)
  held = set(test.records.user_id)
  assert not held & set(train.records.user_id)
  assert len(train.records) + len(test.records) == 400
  assert 10 <= len(held) <= 30
  few = made.select(np.arange(100, 140))
  _, other = parts(tmp_path / 'few', few, 'users', 0.25)
  assert set(other.records.user_id) == held & set(few.user_id)


def test_reserved_last_answers_come_after_the_others(tmp_path):
  order = np.random.default_rng(0).permutation(60)
  made = dataclasses.replace(records(num=60), extra={'order': order})
  train, test = parts(tmp_path, made, 'last', 0.3)
  for user in ('u0', 'u1', 'u2'):
    early = train.records.extra['order'][train.records.user_id == user]
    late = test.records.extra['order'][test.records.user_id == user]
    assert len(late) == 6 and early.max() < late.min()


def test_reserves_that_cannot_be_are_refused(tmp_path):
  save(tmp_path, records())
  store = preferences.load(str(tmp_path))
  assert reserving.part(store, 'none', 0.1, reserved=True) is store
  for reserve, share, message in (
    ('half', 0.1, "reserve is 'half' with the share 0.1"),
    ('users', 1.0, 'share of at least 0 and below 1'),
    ('users', 0.0, '0: none of the 3 people is drawn; raise reserve_share'),
    ('last', 0.0, 'leaves nothing to evaluate on'),
    ('last', 0.9, 'leaves nothing to train on'),
  ):
    with pytest.raises(errors.PastaError, match=message):
      reserving.part(store, reserve, share, reserved=share != 0.9)
  # When training, too: it would leave nobody to judge.
  with pytest.raises(errors.PastaError, match='none of the 3 people is drawn'):
    reserving.part(store, 'users', 0.0, reserved=False)
  nobody = dataclasses.replace(records(), user_id=None)
  save(tmp_path / 'nobody', nobody)
  with pytest.raises(errors.PastaError, match='has no user ids'):
    reserving.part(
      preferences.load(str(tmp_path / 'nobody')), 'last', 0.1, reserved=True
    )


def test_reserved_people_of_sessions_are_those_of_preferences(tmp_path):
  made = dataclasses.replace(
    records(num=40), user_id=np.array([f'p{i % 20}' for i in range(40)])
  )
  train, left = parts(tmp_path, made, 'users', 0.5)
  names = tuple(np.unique(made.user_id))
  num = len(names)
  found = session_features.SessionFeatures(
    session_id=tuple(f's{i}' for i in range(num)),
    user_id=names,
    initial_text=np.zeros((num, D), np.float16),
    slate_text=np.zeros((num, 2, 3, D), np.float16),
    slate_image=np.zeros((num, 2, 3, 1, D), np.float16),
    slate_category=np.zeros((num, 2, 3), np.int8),
    choice=np.zeros((num, 2), np.int8),
    satisfaction=np.zeros((num, 2), np.float32),
    comparison=np.zeros((num, 2), np.int8),
    encoder_id='e',
    t2i_id='t',
  )
  for part, reserved in ((train, False), (left, True)):
    picked = reserving.sessions(found, 'users', 0.5, reserved)
    assert set(picked.user_id) == set(part.records.user_id)
  assert reserving.sessions(found, 'none', 0.5, reserved=True) is found
  with pytest.raises(errors.PastaError, match="reserve is 'last' with"):
    reserving.sessions(found, 'last', 0.5, reserved=True)
  for reserved in (False, True):
    with pytest.raises(errors.PastaError, match='none of the 20 people is'):
      reserving.sessions(found, 'users', 0.0, reserved)
