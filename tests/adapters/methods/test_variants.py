"""What LoRA and Textual Inversion can do beyond their plain selves, and that other programs and we agree on it."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters.formats.diffusers_lora import HEADER
from adapters.formats.safetensors_file import RECIPE_KEY
from adapters.methods.lora import LoraSettings
from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import attach_file, build, method, open_file
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.generation.metadata import read_recipe, to_png
from ghibli_studio.generation.model_cache import Loaded
from ghibli_studio.generation.pipeline import draw
from ghibli_studio.models import base_model
from ghibli_studio.training import batches, loop
from tests.adapters.formats.test_safetensors_file import pipeline_of, pipeline_prediction, trained
from tests.adapters.test_base import PLAIN, VARIANTS, predict, text, train_a_little

LORAS = sorted(name for name in VARIANTS if name.startswith("lora"))
NEGATIVE = TextualInversionSettings(num_vectors=3, negative_vectors=2)
FEW = GenerationSettings(num_inference_steps=2, seed=7)


def settings_of(name):
    return LoraSettings(rank=2, lora_alpha=6, lora_dropout=0.5, **VARIANTS[name])


def without_recipe(source, target):
    """The same file as another program would have written it."""
    from safetensors import safe_open

    with safe_open(source, "pt") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != RECIPE_KEY}
    save_file(load_file(source), target, metadata)
    return target


@pytest.mark.parametrize("name", LORAS)
def test_plain_diffusers_loads_every_lora_with_its_scale(tiny, tiny_folder, tmp_path, name):
    settings = settings_of(name)
    expected = trained(tiny, "lora", settings, tmp_path / "adapter.safetensors")
    pipeline = pipeline_of(tiny_folder)
    pipeline.load_lora_weights(tmp_path, weight_name="adapter.safetensors", local_files_only=True)
    pipeline.unet.eval()
    pipeline.text_encoder.eval()
    found = pipeline_prediction(pipeline, tiny, f"{PLAIN[0]}, {settings.trigger}")
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, pipeline_prediction(pipeline_of(tiny_folder), tiny, PLAIN[0]), atol=1e-3)


@pytest.mark.parametrize("name", LORAS)
def test_a_lora_is_understood_without_our_recipe(tiny, tmp_path, name):
    settings = settings_of(name)
    expected = trained(tiny, "lora", settings, tmp_path / "ours.safetensors")
    theirs = without_recipe(tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors")
    adapter, host = attach_file(theirs, tiny.host)
    found = adapter.settings
    for same in ("rank", "lora_alpha", "conv_rank", "text_encoder_rank", "use_dora"):
        assert getattr(found, same) == getattr(settings, same)
    adapter.settings = settings  # for its trigger, which a foreign file does not tell
    assert torch.equal(predict(tiny, host, adapter.caption(PLAIN[0])), expected)
    adapter.detach()


def test_a_dora_of_both_parts_that_diffusers_wrote_is_read(tiny, tiny_folder, tmp_path):
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils import get_peft_model_state_dict

    pipeline, parts = pipeline_of(tiny_folder), {}
    torch.manual_seed(0)
    for part, rank, modules in (("unet", 2, ["to_q", "conv1"]), ("text_encoder", 4, ["q_proj", "fc1"])):
        model = getattr(pipeline, part)
        # random, so that it changes something; peft's own start would be the base model's prediction
        config = LoraConfig(r=rank, lora_alpha=3 * rank, init_lora_weights=False, target_modules=modules, use_dora=True)
        inject_adapter_in_model(config, model, adapter_name="default")
        model.eval()
        parts[f"{part}_lora_layers"] = get_peft_model_state_dict(model)
        parts[f"{part}_lora_adapter_metadata"] = model.peft_config["default"].to_dict()
    expected = pipeline_prediction(pipeline, tiny, PLAIN[0])
    StableDiffusionPipeline.save_lora_weights(tmp_path, **parts)
    adapter, host = attach_file(tmp_path / "pytorch_lora_weights.safetensors", tiny.host)
    assert (adapter.settings.rank, adapter.settings.lora_alpha, adapter.settings.text_encoder_rank) == (2, 6, 4)
    assert adapter.settings.use_dora
    assert torch.allclose(predict(tiny, host, PLAIN[0]), expected, atol=1e-5)
    adapter.detach()


def file_of(tmp_path, header=None, **shapes):
    """A LoRA file of zeros with these matrices: name -> (rank, 4-d or not)."""
    state = {}
    for name, (rank, convolution) in shapes.items():
        more = (1, 1) if convolution else ()
        state[f"{name}.lora_A.weight"] = torch.zeros(rank, 3, *more)
        state[f"{name}.lora_B.weight"] = torch.zeros(3, rank, *more)
    path = tmp_path / "adapter.safetensors"
    save_file(state, path, {HEADER: json.dumps(header)} if header else None)
    return path


def test_a_lora_with_one_rank_for_convolutions_is_read_without_any_header(tmp_path):
    found = open_file(
        file_of(tmp_path, **{"unet.a.to_q": (2, False), "unet.a.proj_in": (2, True), "unet.a.conv1": (5, True)})
    ).settings
    assert (found.rank, found.lora_alpha, found.target_modules) == (2, 2, ("a.proj_in", "a.to_q"))
    assert (found.conv_rank, found.conv_modules, found.text_encoder_rank) == (5, ("a.conv1",), 0)


def test_alpha_is_read_by_the_header_s_own_rules(tmp_path):
    layers = {"unet.a.to_q": (4, False), "unet.a.conv1": (2, True)}
    header = {"unet.lora_alpha": 8, "unet.alpha_pattern": {"conv1": 4}}
    assert open_file(file_of(tmp_path, header, **layers)).settings.lora_alpha == 8
    header = {"unet.lora_alpha": 8, "unet.use_rslora": True}  # 8 / sqrt(4) is 4 times the matrices
    assert open_file(file_of(tmp_path, header, **{"unet.a.to_q": (4, False)})).settings.lora_alpha == 16


@pytest.mark.parametrize(
    ("layers", "header", "read"),
    [
        ({"unet.a.to_q": (2, False), "unet.a.to_k": (4, False)}, None, (4, 4, 0, 0)),
        ({"unet.a.to_q": (2, False), "unet.a.c": (3, True), "unet.a.d": (4, True)}, None, (4, 4, 0, 0)),
        (
            {"unet.a.to_q": (2, False), "text_encoder.b.q_proj": (2, False), "text_encoder.b.v_proj": (3, False)},
            None,
            (2, 2, 0, 3),
        ),
        ({"unet.a.to_q": (2, False), "unet.a.conv1": (4, True)}, {"unet.lora_alpha": 2}, (2, 2, 4, 0)),
    ],
    ids=["matrices", "convolutions", "text encoder", "scales"],
)
def test_a_mixed_file_is_read_with_the_largest_rank_and_one_scale(tmp_path, layers, header, read):
    found = open_file(file_of(tmp_path, header, **layers)).settings
    assert (found.rank, found.lora_alpha, found.conv_rank, found.text_encoder_rank) == read


def test_a_file_for_the_text_encoder_alone_is_refused(tmp_path):
    with pytest.raises(StudioError, match="updates only the text encoder"):
        open_file(file_of(tmp_path, **{"text_encoder.b.q_proj": (2, False)}))


def test_the_defaults_are_the_lora_of_before(tiny):
    """Numbers of old runs stay: the same tensors from the same draws as peft's own attention LoRA."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    adapter = build("lora", LoraSettings())
    adapter.attach(tiny.host, seed=3)
    ours = adapter.state()
    adapter.detach()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tiny.host.unet.add_adapter(
            LoraConfig(
                r=8, lora_alpha=8, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"]
            )
        )
    theirs = {f"unet.{name}": value for name, value in get_peft_model_state_dict(tiny.host.unet).items()}
    tiny.host.unet.unload_lora()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not adapter.changes_text


def test_each_switch_adds_its_layers_and_nothing_else(tiny):
    def names(**changes):
        adapter = build("lora", LoraSettings(rank=2, lora_alpha=2, **changes))
        adapter.attach(tiny.host)
        state = adapter.state()
        adapter.detach()
        return state

    plain = set(names())
    convolutions = names(conv_rank=3)
    added = {name for name in convolutions if name not in plain}
    assert added
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in added} == {"conv1", "conv2", "conv"}
    assert all(convolutions[name].shape[0] == 3 for name in added if "lora_A" in name)
    added = {name for name in names(text_encoder_rank=3) if name not in plain}
    assert added
    assert all(name.startswith("text_encoder.text_model.encoder.layers.") for name in added)
    added = {name for name in names(use_dora=True) if name not in plain}
    assert len(added) == len(plain) // 2
    assert all(name.endswith(".lora_magnitude_vector") for name in added)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"conv_rank": 2, "conv_modules": ("conv1", "convolution")},
            r"\['conv1', 'convolution'\] do not fit this UNet "
            r"\(it has no convolution\); the default is conv1, conv2",
        ),
        ({"text_encoder_rank": 2, "text_encoder_modules": ("to_q",)}, r"this text encoder \(it has no to_q\)"),
        ({"target_modules": ("to_q", "o_q")}, r"do not fit this UNet \(it has no o_q\)"),
    ],
)
def test_a_layer_that_is_not_there_is_named_and_the_host_left_alone(tiny, changes, told):
    before = predict(tiny, tiny.host, PLAIN[0])
    with pytest.raises(StudioError, match=told):
        build("lora", LoraSettings(**changes)).attach(tiny.host)
    assert torch.equal(predict(tiny, tiny.host, PLAIN[0]), before)
    assert not any("lora" in name for part in (tiny.host.unet, tiny.host.text_encoder) for name in part.state_dict())


def test_a_rank_without_layers_is_refused():
    with pytest.raises(StudioError, match="conv_rank is 2 and conv_modules is empty"):
        LoraSettings.checked({"conv_rank": 2, "conv_modules": ()})


def test_at_another_strength_the_state_is_still_the_trained_one(tiny):
    adapter = build("lora", settings_of("lora-everything"))
    host = adapter.attach(tiny.host)
    train_a_little(tiny, host, adapter)
    state = adapter.state()
    adapter.set_scale(0.5)
    adapter.set_scale(-1.0)
    assert all(torch.equal(value, state[name]) for name, value in adapter.state().items())
    prediction = predict(tiny, host, PLAIN[0])
    adapter.load_state(state)
    assert torch.equal(predict(tiny, host, PLAIN[0]), prediction)
    adapter.detach()


@pytest.mark.parametrize("name", ["lora-everything", "ti-negative"])
def test_the_loop_trains_a_variant_and_equal_seeds_give_equal_losses(tiny, name):
    """Whatever is switched on, it is the same loop, and every parameter that the loss reaches moves."""
    short = name.partition("-")[0]
    config = preset(
        "default", short, num_train_epochs=1, train_batch_size=2, unconditional_dropout=0.5, **VARIANTS[name]
    )
    losses = []
    for _ in range(2):
        adapter = build(short, config.adapter)
        base = base_model.BaseModel(**{**vars(tiny), "host": adapter.attach(tiny.host, seed=2)})
        before = adapter.state()
        latents = torch.randn((4, *tiny.description.latent_shape), generator=torch.Generator().manual_seed(0))
        examples = batches.Examples(
            latents, [adapter.caption(caption) for caption in PLAIN * 2], promptless=adapter.unconditional()
        )
        events = list(loop.train(base, adapter, examples, examples, config))
        losses.append([event.loss for event in events if isinstance(event, loop.Step)])
        after = adapter.state()
        moved = {name for name in after if not torch.equal(after[name], before[name])}
        adapter.detach()
    assert len(losses[0]) == 2
    assert losses[0] == losses[1]
    assert moved == set(after)  # the first step moves the up matrices, which begin at zero; the second the rest


def test_every_variant_runs_on_a_half_precision_base(tiny_folder):
    base = base_model.load(str(tiny_folder), mixed_precision="bf16")
    adapter = build("lora", settings_of("lora-everything"))
    host = adapter.attach(base.host)
    assert all(parameter.dtype == torch.float32 for parameter in adapter.parameters())
    latents = torch.randn((1, *base.description.latent_shape)).to(base.dtype)
    with torch.autocast("cpu", torch.bfloat16):
        out = host.unet(latents, torch.tensor(500), text(base, host, PLAIN[:1]), return_dict=False)[0]
    out.float().pow(2).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in adapter.parameters() if p.grad is not None)
    assert sum(p.grad is not None for p in adapter.parameters()) == len(adapter.parameters())
    adapter.detach()


def test_the_negative_word_begins_as_the_empty_prompt(tiny):
    adapter = build("ti", NEGATIVE)
    host = adapter.attach(tiny.host, seed=0)
    assert adapter.unconditional() == "<ghiblivis-negative> <ghiblivis-negative>_1"
    assert adapter.unconditional("blurred") == "<ghiblivis-negative> <ghiblivis-negative>_1, blurred"
    empty = text(tiny, tiny.host, [""])
    assert torch.equal(text(tiny, host, [adapter.unconditional()]), empty)
    train_a_little(tiny, host, adapter)
    assert not torch.allclose(text(tiny, host, [adapter.unconditional()]), empty, atol=1e-3)
    adapter.set_scale(0)
    assert torch.equal(text(tiny, host, [adapter.unconditional()]), empty)
    adapter.detach()


def test_without_a_negative_word_nothing_is_put_into_the_negative_prompt(tiny):
    for name in ("lora", "ti"):
        adapter = build(name, method(name).SETTINGS())
        assert adapter.unconditional() == ""
        assert adapter.unconditional(" as it is ") == " as it is "


def test_each_word_learns_from_its_own_captions_alone(tiny):
    adapter = build("ti", NEGATIVE)
    host = adapter.attach(tiny.host)
    count = NEGATIVE.num_vectors
    for caption, own, other in (
        (adapter.caption("Petra"), slice(count), slice(count, None)),
        (adapter.unconditional(), slice(count, None), slice(count)),
    ):
        (vectors,) = adapter.parameters()
        vectors.grad = None
        states = text(tiny, host, [caption])
        states.pow(2).mean().backward()
        assert vectors.grad[own].abs().sum(1).min() > 0
        assert not vectors.grad[other].any()
    adapter.detach()


def test_diffusers_takes_both_words_and_draws_our_unconditional(tiny, tiny_folder, tmp_path):
    path = tmp_path / "adapter.safetensors"
    trained(tiny, "ti", NEGATIVE, path)
    adapter, host = attach_file(without_recipe(path, tmp_path / "theirs.safetensors"), tiny.host)
    assert (adapter.settings.num_vectors, adapter.settings.negative_vectors) == (3, 2)
    expected = predict(tiny, host, adapter.unconditional())
    adapter.detach()
    pipeline = pipeline_of(tiny_folder)
    for word, vectors in load_file(path).items():
        pipeline.load_textual_inversion({word: vectors})
    found = pipeline_prediction(pipeline, tiny, "<ghiblivis-negative>")
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_drawing_steers_away_from_the_learned_negative_word(tiny, tmp_path):
    adapter = build("ti", NEGATIVE)
    host = adapter.attach(tiny.host)
    loaded = Loaded(base_model.BaseModel(**{**vars(tiny), "host": host}), "ti", adapter, {})
    untrained = list(draw(loaded, "Petra", FEW))[-1]
    with torch.no_grad():
        (vectors,) = adapter.parameters()
        # not the same number everywhere, which the first layer norm would take out again
        vectors[NEGATIVE.num_vectors :] += torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    steered = list(draw(loaded, "Petra", FEW.changed(negative_prompt="fog")))[-1]
    alone = list(draw(loaded, "Petra", FEW))[-1]
    adapter.detach()
    assert len({drawing.image.tobytes() for drawing in (untrained, steered, alone)}) == 3
    path = tmp_path / "drawn.png"
    path.write_bytes(to_png(steered.image, steered.recipe))
    assert read_recipe(path)["negative_caption"] == "<ghiblivis-negative> <ghiblivis-negative>_1, fog"


def test_two_words_that_do_not_belong_together_are_no_file_of_ours(tmp_path):
    path = tmp_path / "learned_embeds.safetensors"
    save_file({"<monet>": torch.zeros(2, 32), "<renoir>": torch.zeros(2, 32)}, path)
    with pytest.raises(StudioError, match="of no layout known here"):
        open_file(path)
    save_file({"monet": torch.zeros(2, 32), "monet-negative": torch.zeros(1, 32)}, path)
    found = open_file(path)
    assert (found.settings.placeholder_token, found.settings.negative_vectors) == ("monet", 1)
