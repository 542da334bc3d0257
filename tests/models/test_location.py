"""Locating a base model, and one error message for each way to fail."""

import json
import shutil
import time

import pytest

from adapters.settings import StudioError
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.models.location import Location, locate, read_config, weights_digest

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def refusal(model_id):
    with pytest.raises(StudioError) as caught:
        locate(str(model_id))
    return str(caught.value)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty Hub cache, so that no downloads of this machine are found."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_the_miniature():
    assert locate("miniature") == Location("miniature", WEIGHTS / "base")


def test_a_folder(tiny_folder, monkeypatch):
    assert locate(str(tiny_folder)) == Location(str(tiny_folder), tiny_folder)
    monkeypatch.setenv("HOME", str(tiny_folder.parent))
    assert locate("~/model") == Location("~/model", tiny_folder)


def test_a_folder_that_is_not_a_model(tmp_path):
    assert refusal(tmp_path) == (
        f"base_model {str(tmp_path)!r} has no model_index.json; give a folder in diffusers layout "
        "(unet/, vae/, text_encoder/, tokenizer/, scheduler/)"
    )


@pytest.mark.parametrize("name", ["model.ckpt", "model.CKPT", "model.pt", "model.pth", "diffusion_pytorch_model.bin"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_pickle_is_refused_unread(tmp_path, name, exists):
    path = tmp_path / name
    if exists:
        path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert refusal(path) == f"base_model {str(path)!r} is a pickle, which can run code; use a .safetensors checkpoint"


def test_a_missing_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    assert refusal(path) == f"base_model {str(path)!r} does not exist; give the path of a .safetensors checkpoint"


@pytest.mark.parametrize("beside", ["v1.5", "."])
def test_a_checkpoint_takes_the_configuration_beside_it(tmp_path, beside):
    path = tmp_path / "v1.5.safetensors"
    path.write_bytes(b"")
    (tmp_path / beside).mkdir(exist_ok=True)
    (tmp_path / beside / "model_index.json").write_text("{}")
    assert locate(str(path)) == Location(str(path), tmp_path / beside, path)


def test_a_checkpoint_without_a_configuration(tmp_path, cache):
    path = tmp_path / "v1.5.safetensors"
    path.write_bytes(b"")
    assert refusal(path) == (
        f"checkpoint v1.5.safetensors has weights only, and the configuration of {SD15} is not on this machine; "
        f"put a diffusers folder without weights at {tmp_path / 'v1.5'}"
    )


@pytest.mark.parametrize(
    "model_id",
    [
        "nonsense",
        "",
        "a/b/c",
        "./nowhere",
        "../nowhere",
        "~nobody-of-that-name/x",
        "jörg/modell",
        "/nowhere/model",
        "https://huggingface.co/a/b",
        "-a/b",
        "a b/c",
    ],
)
def test_an_invalid_model_id(model_id, cache):
    assert refusal(model_id) == (
        f"base_model {model_id!r} is neither 'miniature', a folder, a .safetensors file nor a Hub id such as {SD15}; "
        "check the spelling of the path"
    )


@pytest.mark.parametrize(
    ("model_id", "reason"),
    [
        (SD15, "this machine is offline and has no local copy"),
        ("a--b/c", "a repository cannot have that name"),
        ("a/b..c", "a repository cannot have that name"),
        ("a/" + "b" * 100, "a repository cannot have that name"),
    ],
)
def test_an_unavailable_hub_id_is_reported_at_once(cache, model_id, reason):
    started = time.monotonic()
    assert refusal(model_id) == (
        f"base_model {model_id!r} is not available: {reason}; download it once while online, give a local folder, or "
        "use 'miniature', which is always available"
    )
    assert time.monotonic() - started < 5


def test_the_answer_of_the_hub_is_reported(cache, monkeypatch):
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    def refuse(*_, **__):
        raise RepositoryNotFoundError(
            "Not Found", response=httpx.Response(401, request=httpx.Request("GET", "http://h"))
        )

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert refusal("a/b").startswith("base_model 'a/b' is not available: the Hub answered 401; download it once")


def test_a_full_disk_during_a_download_is_not_reported_as_offline(cache, monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert refusal("a/b").startswith("base_model 'a/b' is not available: No space left on device; download it once")


def test_a_downloaded_hub_id_is_found_offline(cache, tiny_folder):
    commit = "0" * 40
    repository = cache / "models--somebody--tiny"
    shutil.copytree(tiny_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert locate("somebody/tiny") == Location("somebody/tiny", repository / "snapshots" / commit)


def test_only_needed_files_are_downloaded(monkeypatch, tmp_path):
    """No pickles, no half-precision copies, no large checkpoints."""
    from fnmatch import fnmatch

    import huggingface_hub

    asked = {}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **options: asked.update(options) or tmp_path)
    locate("a/b")
    files = [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "scheduler/scheduler_config.json",
        "text_encoder/model.safetensors",
        "vae/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "v1-5-pruned.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "safety_checker/model.safetensors",
        "v1-5-pruned.ckpt",
    ]
    downloaded = [
        file
        for file in files
        if any(fnmatch(file, pattern) for pattern in asked["allow_patterns"])
        and not any(fnmatch(file, pattern) for pattern in asked["ignore_patterns"])
    ]
    assert downloaded == files[:8]


def test_configuration_is_read(tiny_folder):
    assert read_config(locate(str(tiny_folder)), "unet")["block_out_channels"] == [32, 64]
    assert read_config(locate(str(tiny_folder)), ".", "model_index.json")["_class_name"] == "StableDiffusionPipeline"


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", "3", "\ud800"])
@pytest.mark.parametrize(("part", "file"), [("unet", "config.json"), (".", "model_index.json")])
def test_configuration_that_is_missing_or_damaged(tmp_path, text, part, file):
    folder = tmp_path / "m"
    (folder / part).mkdir(parents=True)
    if text is not None:
        (folder / part / file).write_text(text, errors="surrogatepass")
    with pytest.raises(StudioError) as caught:
        read_config(Location("m", folder), part, file)
    shown = "model_index.json" if part == "." else "unet/config.json"
    assert str(caught.value) == f"base_model 'm' has no {shown}, or it is damaged; copy or download the model again"


def test_the_digest_covers_names_and_bytes_of_the_weights(tiny_folder, tmp_path):
    digest = weights_digest(Location("a", tiny_folder))
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    assert weights_digest(Location("b", copy)) == digest
    (copy / "unet/config.json").write_text(json.dumps({}))
    (copy / "README.md").write_text("another")
    assert weights_digest(Location("b", copy)) == digest
    assert len(digest) == 64


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"])
def test_the_digest_changes_with_a_byte(tiny_folder, tmp_path, part):
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    before = weights_digest(Location("a", copy))
    file = copy / f"{part}.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    changed = weights_digest(Location("a", copy))
    assert changed != before
    data[-1] ^= 1
    file.write_bytes(data)
    assert weights_digest(Location("a", copy)) == before
    file.rename(file.with_name("other.safetensors"))
    assert weights_digest(Location("a", copy)) not in (before, changed)


def test_the_digest_of_a_checkpoint_covers_only_that_file(tiny_folder, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"one")
    one = weights_digest(Location("a", tiny_folder, path))
    assert one == weights_digest(Location("a", tmp_path, path)) != weights_digest(Location("a", tiny_folder))
    path.write_bytes(b"another")
    assert weights_digest(Location("a", tiny_folder, path)) != one
