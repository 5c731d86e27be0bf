"""Parts that several stages' configs share."""

import difflib

import ml_collections


class UnknownVariant(ValueError):
  """A variant that a config does not have; `known` holds those that it has."""

  def __init__(self, arg: str, known: tuple[str, ...]):
    self.known = known
    near = difflib.get_close_matches(arg, known, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    super().__init__(f'unknown variant {arg!r}, expected one of {known}{hint}')


def check_variant(
  arg: str, known: tuple[str, ...], is_needed: bool = False
) -> None:
  """Raises UnknownVariant for a variant that a config does not have.

  Args:
    arg: the variant; '' where none is given.
    known: those that there are.
    is_needed: whether there is no config without one.
  """
  if arg in known or not arg and not is_needed:
    return
  raise UnknownVariant(arg, known)


def parse_variants(arg: str, known: tuple[str, ...]) -> tuple[str, ...]:
  """The variants in an argument that may join several by commas.

  Raises UnknownVariant for one that a config does not have.
  """
  names = tuple(arg.split(',')) if arg else ()
  for name in names:
    check_variant(name, known, is_needed=True)
  return names


def world() -> ml_collections.ConfigDict:
  """Images, encoder and candidates."""
  config = ml_collections.ConfigDict()
  config.t2i = ml_collections.ConfigDict()
  # 'sketch', 'sketch:ink', 'sdxl', 'flux', or a class of your own as
  # 'module:Class', with its keyword arguments as a JSON object.
  config.t2i.name = 'sketch'
  config.t2i.arguments = ''  # e.g. '{"steps": 4}'
  config.t2i.size = 64  # pixels, height and width; SDXL and Flux: 1024
  config.t2i.num_workers = -1  # render processes; -1: one a core, 0: none
  # Directory that keeps images and features for all runs; '' = none.
  config.t2i.store = ''
  config.t2i.store_images = True  # in it; False: features alone
  config.t2i.sdxl = sdxl()
  config.t2i.flux = flux()
  config.encoder = 'sketch-clip'  # shipped; or a directory or hub id (CLIP)
  config.candidates = ml_collections.ConfigDict()
  # 'grammar', 'grammar:terse' (worded otherwise), or a language model: 'chat'
  # (at an endpoint) or 'gemma' (local), or 'module:Class', as above.
  config.candidates.name = 'grammar'
  config.candidates.arguments = ''
  config.candidates.num_candidates = 25  # L_C
  config.candidates.max_words = 36  # keeps prompts under CLIP's 77 tokens
  # Never overwrite what the chosen prompt names; grammars alone.
  config.candidates.append_only = False
  config.candidates.chat = chat()
  config.candidates.gemma = gemma()
  config.cache_texts = 400_000  # cached prompts' features
  config.cache_columns = 200_000  # cached columns' (M images') features
  return config


def chat() -> ml_collections.ConfigDict:
  """A language model at an endpoint; see pasta/candidates/chat/generator.py."""
  config = ml_collections.ConfigDict()
  config.base_url = 'http://localhost:8000/v1'  # before /chat/completions
  config.model = ''  # as the endpoint knows it
  config.key_env = ''  # NAME of the environment variable with the key; '': none
  config.temperature = 0.9
  # Longest answer, thoughts included; 25 prompts take about 1,500.
  config.max_tokens = 4096
  # What the answer is held to: 'json_schema', 'json_object' or 'none'; an
  # endpoint that lacks one gets the next.
  config.response_format = 'json_schema'
  config.send_images = False  # show those chosen last to a multimodal model
  config.instructions = ''  # directory with your own texts; '': those shipped
  config.timeout_seconds = 60.0  # of one request; what has come by then is used
  config.turn_seconds = 120.0  # of a session's turn, all requests included
  config.max_retries = 4
  config.backoff_seconds = 0.5  # before the first retry; doubles, with jitter
  config.max_concurrency = 16  # requests at once
  config.max_answer_bytes = 4_000_000  # where answers are cut
  # Go on with grammar's candidates where not one of a batch is usable.
  config.allow_unusable = False
  # Answers on disk: 'off', 'read_write', or 'replay' (recorded answers alone).
  config.cache = 'read_write'
  config.cache_dir = ''  # '': in $PASTA_CACHE or ~/.cache/pasta
  return config


def sdxl() -> ml_collections.ConfigDict:
  """SDXL as text-to-image model, for t2i.name = 'sdxl'."""
  config = ml_collections.ConfigDict()
  # Directory or hub id of a pipeline in diffusers' layout.
  config.path = 'stabilityai/stable-diffusion-xl-base-1.0'
  # Safetensors file with other weights of the UNet, e.g. SDXL-Lightning's.
  config.unet = ''
  config.dtype = 'auto'  # bfloat16, but float32 on CPUs; or either
  config.steps = 20  # uses of the UNet; few-step variants: as they say
  config.scheduler = 'euler'  # or 'ddim', 'dpm++'
  config.spacing = 'leading'  # or 'linspace', 'trailing' (few-step variants)
  config.guidance = 5.0  # up to 1: none, twice as fast (few-step variants)
  config.negative_prompt = ''  # what not to draw; needs guidance
  config.batch_size = 4  # images at once on each device
  config.vae_chunk = 1  # of these, images decoded at once
  config.num_devices = 0  # of a host; 0 = all
  return config


def flux() -> ml_collections.ConfigDict:
  """Flux as text-to-image model, for t2i.name = 'flux'; needs PyTorch."""
  config = ml_collections.ConfigDict()
  # Directory or hub id of a FluxPipeline in diffusers' layout.
  config.path = 'black-forest-labs/FLUX.1-schnell'
  config.steps = 4  # uses of the transformer; FLUX.1-dev: 28
  config.guidance = 3.5  # of FLUX.1-dev; schnell takes none
  config.max_tokens = 256  # of a prompt, seen by T5; FLUX.1-dev: up to 512
  config.dtype = 'auto'  # bfloat16, but float32 on CPUs; or either
  config.device = 'auto'  # CUDA where there is; or 'cpu', 'cuda:1', ...
  config.batch_size = 4  # images at once
  config.offload = False  # keep only the network in use on the GPU
  return config


def gemma() -> ml_collections.ConfigDict:
  """A local Flax Gemma that writes; see pasta/candidates/gemma/generator.py."""
  config = ml_collections.ConfigDict()
  config.model = ''  # directory or hub id of a Gemma 1: 'google/gemma-2b-it'
  config.chat_template = True  # False: the model was not tuned to instructions
  config.instructions = ''  # directory with your own texts; '': those shipped
  config.temperature = 0.9  # 0: always the likeliest token
  config.top_k = 64  # draw among so many likeliest tokens
  config.top_p = 0.95  # and among those that hold this share of their mass
  # Longest answer, of C / 5 prompts; one takes about 50.
  config.max_new_tokens = 320
  # Lengths that requests are padded to, one compilation each; the last is the
  # longest: beyond it the oldest turns are forgotten.
  config.prompt_tokens = (256, 512, 1024)
  config.batch_texts = 40  # requests at once, 5 a session
  config.dtype = 'bfloat16'  # of parameters and computation; or 'float32'
  # Go on with grammar's candidates where not one of a batch is usable.
  config.allow_unusable = False
  return config


def sizes() -> ml_collections.ConfigDict:
  """Sizes of a session (paper, section 5)."""
  config = ml_collections.ConfigDict()
  config.num_turns = 5  # H
  config.num_columns = 4  # L
  config.images_per_prompt = 4  # M
  return config


def policy(
  name: str, temperature: float = 0.0, spread_weight: float = 0.0
) -> ml_collections.ConfigDict:
  """A slate policy."""
  config = ml_collections.ConfigDict()
  # See pasta.agent.policies and pasta.population.{ceilings,foresight}.
  config.name = name
  config.temperature = temperature  # 0: deterministic; 0.5 noisy, 3 random
  config.selector = 'mean'  # how a slate is valued: 'mean' or 'choice'
  config.spread_weight = spread_weight  # of 'optimistic': of the spread
  # k of the hand rules 'bayes_sparing' and 'greedy_slate_sparing', in utility.
  config.sparing_weight = 0.2
  config.use_categories = True  # show at most one candidate of a category
  config.num_rollouts = 64  # of 'lookahead', from each slate it considers
  # 'on': the posterior; 'prior': never moved; 'oracle': the true type's.
  # pasta's is the one that it was trained with.
  config.belief = 'on'
  # What the posterior hears: of 'choice', 'satisfaction', 'comparison'; (): as
  # train_user_model.belief says.
  config.feedback = ()
  config.num_candidates = 0  # C of its pools, none rendered; 0: the world's
  config.member = -1  # of pasta's ensemble; -1: all
  config.pessimism = 0.0  # deviations over the ensemble to take off
  # Deviations of the return to take off for candidates unlike all that the
  # training slates showed.
  config.support_weight = 0.0
  return config


def value_decay() -> ml_collections.ConfigDict:
  """Weight decay of values, by base: see pasta/agent/weight_decay.py."""
  config = ml_collections.ConfigDict()
  for base, at_thousand, floor in (
    ('myopic', 300.0, 91.0),
    ('none', 18.0, 1.0),
  ):
    rule = config[base] = ml_collections.ConfigDict()
    # At 1,000 training sessions; it falls as one over their number, like a
    # prior that data outweigh.
    rule.at_thousand = at_thousand
    rule.floor = floor  # least, however many sessions there are
  return config


def population() -> ml_collections.ConfigDict:
  """The hidden population. Scales are in units of utility."""
  config = ml_collections.ConfigDict()
  config.seed = 2  # of the true types (1 was tuned on); a stage draws people
  config.num_types = 24  # true types (not the model's K)
  config.type_concentration = 1.0  # Dirichlet of the types' shares
  config.common_scale = 0.27  # sd of the weights that everybody shares
  config.type_scale = 1.0  # sd of a type's own weights
  config.type_power = 1.2  # 1: normal weights; above: few, strong ones
  config.person_scale = 0.1  # sd of a person's deviation from the type
  config.importance_spread = 0.8  # log sd of how much a type minds each slot
  config.intent_scale = 0.6  # utility of a value that is in mind, if drawn
  config.intent_share = 0.1  # chance that an unnamed slot is in mind
  config.named_share = 0.15  # chance that the initial prompt names a slot
  config.slot_scales = ml_collections.ConfigDict()  # multiplies tastes, by slot
  config.slot_scales.subject = 0.2
  config.slot_scales.setting = 0.2
  config.slot_scales.style = 1.2
  config.slot_scales.palette = 1.2
  config.slot_scales.light = 0.5
  config.slot_scales.composition = 0.8
  config.slot_scales.weather = 0.8
  config.slot_scales.accent = 0.4
  config.choice_noise = 0.2  # scale of the Gumbel noise on a column's utility
  config.careless_share = 0.0  # of choices, made uniformly at random
  # Utility that the screen's first column has to a choice beside its own,
  # falling linearly to 0 in the last.
  config.position_bias = 0.0
  config.satisfaction_slope = 0.5  # logits per unit of utility
  config.satisfaction_center = 1.5  # above a first slate's typical best image
  config.satisfaction_noise = 0.08  # sd of the reported satisfaction
  config.generosity_spread = 0.3  # sd over people of a shift, in logits
  config.drift_scale = 0.0  # sd of a turn's step in every taste: people change
  # h: half of the people lose 2 h of utility for a style or a palette that all
  # images of the column they chose last show; 0: nobody tires.
  config.habituation = 0.0
  config.comparison_threshold = 0.4  # 'same' below this difference
  config.comparison_noise = 0.4  # sd
  return config
