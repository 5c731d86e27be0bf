from pasta.stages import train_user_model


def test_the_result_has_one_type_and_chance_beside_it():
  metrics = {'num_held_out_users': 50, 'choice_log_likelihood': -0.827392}
  metrics |= {
    'choice_log_likelihood_low': -0.8751,
    'choice_log_likelihood_high': -0.78,
    'baseline_choice_log_likelihood': -1.3264,
    'mismatched_log_likelihood': -2.1,
    'mismatched_log_likelihood_low': -2.2,
    'uniform_log_likelihood': -1.38629,
    'pair_mine_accuracy': 0.642,
    'pair_mine_accuracy_low': 0.6,
    'pair_mine_accuracy_high': 0.7,
    'uniform_accuracy': 0.25,
  }
  assert train_user_model.lines(metrics) == [
    'User model, on 50 held-out people (nats an observation):',
    '  choice log likelihood: -0.8274 [-0.8751, -0.78], one type -1.326, '
    'chance -1.386',
    '  pair mine accuracy: 64.2 % [60.0 %, 70.0 %]',
  ]
