"""Shared fixtures: a tiny Stable Diffusion with random weights, and projects with a small dataset for it.

No test uses the network. Expensive fixtures are created once per session and copied.
"""

import json
import os
import shutil

import pytest

from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.workspace.project import Workspace

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors this small are slower on several threads
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TINY_PIXELS = 64
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session", autouse=True)
def exact_numbers():
    """Use float32 in this process on every machine, for exactly reproducible results; jobs choose themselves."""
    from ghibli_studio.runtime import device

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "cpu_supports_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A diffusers folder: 64 px, latents of 4 x 8 x 8, the miniature's tokenizer, random weights of a fixed seed."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("tiny") / "model"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=32,
            attention_head_dim=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
        vae = AutoencoderKL(
            sample_size=TINY_PIXELS,
            block_out_channels=(16, 16, 32, 32),
            layers_per_block=1,
            norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
        )
        tokens = json.loads((WEIGHTS / "base/text_encoder/config.json").read_text())
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                projection_dim=32,
                max_position_embeddings=77,
                **{name: tokens[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")},
            )
        )
    for name, part in (("unet", unet), ("vae", vae), ("text_encoder", text_encoder)):
        part.save_pretrained(folder / name)
    for name in ("tokenizer", "scheduler"):
        shutil.copytree(WEIGHTS / "base" / name, folder / name)
    shutil.copy(WEIGHTS / "base/model_index.json", folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    """The tiny model, loaded; a test that attaches an adapter detaches it again."""
    from ghibli_studio.models import base_model

    return base_model.load(str(tiny_folder))


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def sample_workspace(tiny_folder, tmp_path_factory):
    """A workspace with one project, `sample`: eight painted landmarks for the tiny model. Read-only."""
    from ghibli_studio.data.sample_dataset import create_sample

    workspace = Workspace(tmp_path_factory.mktemp("sample") / "workspace")
    list(create_sample(workspace.project("sample", new=True), str(tiny_folder), count=8))
    return workspace


@pytest.fixture
def project(sample_workspace, workspace):
    """The test's own copy of the small dataset."""
    shutil.copytree(sample_workspace.root, workspace.root)
    return workspace.project("sample")


@pytest.fixture
def with_photos(workspace, tiny_folder):
    """A project with a collection of three photos and nothing else."""
    from tests.support.photo_project import add_photos

    return add_photos(workspace.project("p", new=True), str(tiny_folder))


@pytest.fixture(scope="session")
def generated_project(sample_workspace, tmp_path_factory):
    """A project with a LoRA of two epochs and an image set: two prompts by it and by the base model. Read-only."""
    from ghibli_studio.config.generation import GenerationSettings
    from ghibli_studio.config.training import preset
    from ghibli_studio.data import dataset
    from ghibli_studio.generation import image_set, model_choice
    from ghibli_studio.training import runs

    root = tmp_path_factory.mktemp("images") / "workspace"
    shutil.copytree(sample_workspace.root, root)
    project = Workspace(root).project("sample")
    config = preset("quick", "lora", base_model=dataset.load(project).base_model, num_train_epochs=2, rank=2)
    list(runs.execute(project.new_run(config)))
    requests = image_set.requests_for_prompts(["Petra, Jordan, a temple", "Big Ben, London, a tower"])
    few = GenerationSettings(num_inference_steps=1, seed=7)
    list(image_set.generate_set(project, requests, model_choice.adapter_files(project, ["base", "lora"]), few))
    return project


@pytest.fixture
def generated_copy(generated_project, workspace):
    """The test's own copy of that project."""
    shutil.copytree(generated_project.workspace.root, workspace.root)
    return workspace.project("sample")


@pytest.fixture(scope="session")
def trained_once(sample_workspace, tmp_path_factory):
    """A workspace with a finished run of each method, of two epochs. Read-only."""
    from adapters.registry import methods
    from ghibli_studio.config.training import preset
    from ghibli_studio.data import dataset as datasets
    from ghibli_studio.training.runs import execute

    root = tmp_path_factory.mktemp("trained") / "workspace"
    shutil.copytree(sample_workspace.root, root)
    project = Workspace(root).project("sample")
    base = datasets.load(project).base_model
    for name in methods():
        small = {"rank": 2} if name == "lora" else {"num_vectors": 2}
        list(execute(project.new_run(preset("quick", name, base_model=base, num_train_epochs=2, **small))))
    return root


@pytest.fixture
def trained(trained_once, workspace):
    """The test's own copy of its project."""
    shutil.copytree(trained_once, workspace.root)
    return workspace.project("sample")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; closed after each module, since other tests cannot run an event loop beside it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()
