"""The header of exported files: its keys and hashes."""

import hashlib
import json
import struct

from safetensors.torch import load_file, save

from tests.support.adapter_files import export_trained, header_of, lora_settings


def test_the_header_keys_and_hashes(tiny, tmp_path):
    _, folder, _ = export_trained(tiny, tmp_path, "lora", lora_settings("lora-conv"), parents=("a", "b"))
    path = folder / "my-style.safetensors"
    keys = header_of(path)["__metadata__"]
    assert all(isinstance(value, str) for value in keys.values())
    expected = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "2",
        "ss_network_alpha": "3",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_output_name": "my-style",
        "ss_resolution": "(64, 64)",
        "ss_num_train_images": "8",
        "ss_num_epochs": "10",
        "ss_epoch": "3",
        "ss_steps": "30",
        "ss_learning_rate": "0.002",
        "ss_seed": "5",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "my-style",
        "modelspec.date": "2026-01-02T03:04:05",
        "modelspec.resolution": "64x64",
        "modelspec.trigger_phrase": "my words",
        "modelspec.merged_from": "a, b",
        "ss_total_batch_size": "4",
    }
    assert {key: keys.get(key) for key in expected} == expected
    assert json.loads(keys["ss_tag_frequency"]) == {"train": {"Big Ben": 3, "sunset": 2}}
    assert json.loads(keys["ss_network_args"]) == {"conv_dim": "1", "conv_alpha": "1.5"}
    # the hashes, from the description: the file as saved with the ss_ keys alone
    training = {key: value for key, value in keys.items() if key.startswith("ss_")}
    alone = save(load_file(path), training)
    body = alone[8 + struct.unpack("<Q", alone[:8])[0] :]
    assert keys["sshs_model_hash"] == hashlib.sha256(body).hexdigest()
    assert keys["sshs_legacy_hash"] == hashlib.sha256(alone[0x100000:0x110000]).hexdigest()[:8]
    assert keys["modelspec.hash_sha256"] == "0x" + keys["sshs_model_hash"]
    assert path.read_bytes().endswith(body)
    assert json.loads((folder / "my-style.json").read_text())["activation text"] == "my words"
