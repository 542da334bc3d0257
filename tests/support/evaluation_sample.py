"""A made-up evaluation as in `result.json`, and made-up training results, from a seed: realistic in form only.

The scores are normally distributed random numbers and are summarized here with textbook formulas, so that no test of
the report depends on the code that computes real ones.
"""

import io
import math
import random

from PIL import Image

from ghibli_studio.workspace.files import write_json
from tests.support.study_project import with_dataset
from tests.support.study_sample import LANDMARKS, png

CLIP = "miniature CLIP"
TASKS = ("txt2img", "img2img")
METRICS = {
    "clip_score": (
        f"CLIP score proxy ({CLIP})",
        "higher",
        TASKS,
        "How well the image matches the prompt: 100 times the cosine of the two.",
    ),
    "style_similarity": (
        f"Style similarity ({CLIP})",
        "higher",
        TASKS,
        "Cosine to the center of the stylized training images.",
    ),
    "style_distance": (
        f"Style distance ({CLIP})",
        "lower",
        TASKS,
        "How far textures and colors are from those of the stylized training images.",
    ),
    "landmark_similarity": (f"Landmark similarity ({CLIP})", "higher", TASKS, "Cosine to the landmark's photo."),
    "lpips": (
        f"LPIPS proxy ({CLIP})",
        "lower",
        TASKS,
        "Perceptual distance to the ground-truth image of the landmark.",
    ),
    "ssim": ("Structure (SSIM)", "higher", ("img2img",), "Structure preserved from the photo."),
    "edge_correlation": ("Edge correlation", "higher", ("img2img",), "Correlation with the photo's edges."),
    "psnr": ("PSNR to the ground truth", "higher", ("img2img",), "Pixels compared with the ground truth."),
    "clip_distance": (
        f"CLIP distance to the ground truth ({CLIP})",
        "lower",
        ("img2img",),
        "Features compared with those of the ground-truth image of the same scene.",
    ),
}
# mean of the base model, effect of LoRA, effect of TI, spread over landmarks
EFFECTS = {
    "clip_score": (27.0, 0.4, 0.3, 1.5),
    "style_similarity": (0.62, 0.14, 0.06, 0.03),
    "style_distance": (1.9, -0.7, -0.3, 0.2),
    "landmark_similarity": (0.71, -0.05, -0.02, 0.04),
    "lpips": (0.72, -0.08, -0.03, 0.03),
    "ssim": (0.48, -0.02, -0.01, 0.05),
    "edge_correlation": (0.41, -0.03, 0.0, 0.06),
    "psnr": (14.2, 1.9, 0.8, 0.9),
    "clip_distance": (0.44, -0.14, -0.06, 0.04),
}
BASE, LORA, TI = "Base model", "LoRA", "Textual Inversion"
NAMES = {"lora": "LoRA", "ti": "TI"}
RUNS = {"lora": "20250101-120000-lora", "ti": "20250101-121500-ti"}
OTHERS = tuple(f"Tower {n}" for n in range(3))


def variant(name, method, adapter_scale=1.0, group="compare", epoch=None):
    run = RUNS.get(method)
    return {
        "name": name,
        "method": method,
        "adapter_scale": adapter_scale,
        "epoch": epoch,
        "run": run,
        "sha256": None if run is None else (method[0] * 64),
        "group": group,
    }


def variants(sweeps=True):
    found = [variant(BASE, "base"), variant(LORA, "lora", epoch=8), variant(TI, "ti", epoch=12)]
    if sweeps:
        found += [
            variant(f"{name} x {strength:g}", method, strength, "adapter_scale")
            for method, name in (("lora", LORA), ("ti", TI))
            for strength in (0.25, 0.5, 0.75, 1.25)
        ]
        found += [
            variant(f"{name} epoch {epoch}", method, 1.0, "epoch", epoch)
            for method, name in (("lora", LORA), ("ti", TI))
            for epoch in (1, 2, 4)
        ]
    return found


def effect_share(one):
    """Return how much of its method's effect a variant shows."""
    if one["method"] == "base":
        return 0.0
    return one["adapter_scale"] if one["group"] != "epoch" else 1 - 0.5 ** (one["epoch"] / 2)


def score(key, one, noise):
    base, lora, ti, spread = EFFECTS[key]
    effect = {"base": 0, "lora": lora, "ti": ti}[one["method"]]
    return base + effect * effect_share(one) + spread * noise


def mean_and_interval(values):
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    return mean, [mean - 2.2 * error, mean + 2.2 * error]


def comparison(task, metric, a, b, differences):
    """p is doubled in place of Holm's correction, which is enough for the sentences."""
    mean, interval = mean_and_interval(differences)
    compared = {
        "task": task,
        "metric": metric,
        "a": a,
        "b": b,
        "difference": mean,
        "interval": interval,
        "landmarks": len(differences),
        "favors": None,
    }
    if len(differences) < 6:
        least = 2 ** (1 - len(differences))
        verdict = f"inconclusive: {len(differences)} landmarks; the smallest p possible is {least:.3g}"
        return {**compared, "p": 0.5, "p_holm": 1.0, "effect_size": 0.3, "verdict": verdict}
    spread = (interval[1] - interval[0]) / 4.4 * math.sqrt(len(differences))
    p = math.erfc(abs(mean) / (spread / math.sqrt(len(differences))) / math.sqrt(2))
    compared |= {"p": p, "p_holm": min(1.0, 2 * p), "effect_size": mean / spread}
    if compared["p_holm"] >= 0.05:
        return {**compared, "verdict": "no evidence of a difference"}
    better = a if (mean > 0) == (METRICS[metric][1] == "higher") else b
    return {**compared, "favors": better, "verdict": f"{better} better"}


def result(landmarks=LANDMARKS + OTHERS, seeds=2, tasks=TASKS, sweeps=True, random_seed=0, proxy=True):
    """Return a complete `result.json`; an image is `images/<variant>-<task>-<landmark>-<seed>.png`, all by number."""
    generator, all_variants = random.Random(random_seed), variants(sweeps)
    rows = []
    for task in tasks:
        keys = [key for key, (_, _, of, _) in METRICS.items() if task in of]
        for place, landmark in enumerate(landmarks):
            shared = {key: generator.gauss(0, 1) for key in keys}
            for seed in range(seeds):
                for one in all_variants:
                    scores = {key: score(key, one, shared[key] + generator.gauss(0, 0.4)) for key in keys}
                    file = f"images/{all_variants.index(one):02d}-{task}-{place:03d}-{seed}.png"
                    rows.append(
                        {
                            "task": task,
                            "landmark": landmark,
                            "seed": seed,
                            "variant": one["name"],
                            "file": file,
                            "scores": scores,
                        }
                    )
    means, comparisons = [], []
    for task in tasks:
        for key in (key for key, (_, _, of, _) in METRICS.items() if task in of):
            per = {
                one["name"]: [
                    sum(
                        row["scores"][key]
                        for row in rows
                        if (row["task"], row["variant"], row["landmark"]) == (task, one["name"], name)
                    )
                    / seeds
                    for name in landmarks
                ]
                for one in all_variants
            }
            for name, values in per.items():
                mean, interval = mean_and_interval(values)
                means.append(
                    {
                        "task": task,
                        "metric": key,
                        "variant": name,
                        "mean": mean,
                        "interval": interval,
                        "landmarks": len(landmarks),
                        "images": len(landmarks) * seeds,
                    }
                )
            for a, b in ((LORA, TI), (LORA, BASE), (TI, BASE)):
                comparisons.append(comparison(task, key, a, b, [x - y for x, y in zip(per[a], per[b])]))
    labels = {
        key: {"label": label, "better": better, "tasks": list(of), "description": description}
        for key, (label, better, of, description) in METRICS.items()
    }
    warnings = [
        f"Fewer than 50 images per variant ({len(landmarks) * seeds}): the Frechet distance is biased upward "
        "and is shown for completeness."
    ]
    return {
        "settings": {
            "tasks": list(tasks),
            "landmarks": list(landmarks),
            "seeds": seeds,
            "seed": 7,
            "num_inference_steps": 25,
            "guidance_scale": 5.0,
            "strength": 0.6,
            "clip_model": "auto",
            "device": "auto",
            "attention": "sdpa",
        },
        "networks": {"clip": {"name": CLIP, "proxy": proxy, "digest": "c" * 64}, "inception": None, "lpips": None},
        "variants": all_variants,
        "subjects": [
            {"landmark": name, "prompt": f"{name}, generated", "item": f"{place:04d}"}
            for place, name in enumerate(landmarks, 1)
        ],
        "metrics": labels,
        "rows": rows,
        "means": means,
        "comparisons": comparisons,
        "sets": sets(tasks, len(landmarks) * seeds),
        "set_comparisons": set_comparisons(tasks),
        "warnings": warnings,
        "versions": {"python": "3.11.9", "torch": "2.9.0"},
        "machine": {"device": "cpu", "dtype": "torch.float32", "threads": 2},
        "dataset": {"digest": "d" * 64, "images": 92},
        "seconds": 912.5,
        "created": "2025-01-02T03:04:05+00:00",
    }


def sets(tasks, images):
    found = []
    for task in tasks:
        for name, fd, kid, spread in ((BASE, 61.2, 0.118, 0.31), (LORA, 38.4, 0.051, 0.27), (TI, 52.9, 0.092, 0.30)):
            common = {"task": task, "variant": name, "images": images}
            found += [
                {
                    **common,
                    "metric": "fid",
                    "label": f"FD ({CLIP}), a proxy for FID",
                    "value": fd,
                    "interval": None,
                    "warning": f"{images} images; below 50 this is biased upward",
                },
                {
                    **common,
                    "metric": "kid",
                    "label": f"KD ({CLIP}), a proxy for KID",
                    "value": kid,
                    "interval": [kid - 0.02, kid + 0.02],
                    "warning": None,
                },
                {
                    **common,
                    "metric": "diversity",
                    "label": f"Diversity ({CLIP})",
                    "value": spread,
                    "interval": [spread - 0.03, spread + 0.03],
                    "warning": None,
                },
            ]
    return found


def set_comparisons(tasks):
    return [
        {
            "task": task,
            "metric": "kid",
            "a": a,
            "b": b,
            "difference": d,
            "interval": [d - 0.025, d + 0.025],
            "favors": a,
        }
        for task in tasks
        for a, b, d in ((LORA, TI, -0.041), (LORA, BASE, -0.067), (TI, BASE, -0.026))
    ]


def painted(name, style):
    """Return an image of noise in place of a generated one."""
    return png(f"{name} {style}")


def evaluated(workspace, name="sample", paint=painted, landmarks=LANDMARKS + OTHERS, **values):
    """Return (project, folder of its evaluation) with a dataset, the images of the evaluation, and its result."""
    project = with_dataset(workspace.project(name, new=True), landmarks=landmarks, others=("Bridge 0", "Bridge 1"))
    folder = project.folder / "evaluations" / "20250102-030405"
    (folder / "images").mkdir(parents=True)
    evaluation = result(landmarks, **values)
    for row in evaluation["rows"]:
        method = next(one["method"] for one in evaluation["variants"] if one["name"] == row["variant"])
        data = paint(row["landmark"], f"{method} {row['task']}")
        with Image.open(io.BytesIO(data)) as image:
            image.save(folder / row["file"])
    write_json(folder / "evaluation.json", {key: evaluation[key] for key in ("settings", "variants", "subjects")})
    write_json(folder / "result.json", evaluation)
    return project, folder


def sample_training_cost(seeds=2, target=0.0512, methods=("lora", "ti"), machines=({"device": "cpu", "threads": 2},)):
    """Return the cost of runs as `training_cost.describe` does: TI's steps are faster, but it needs more of them."""
    nature = {"lora": (0.31, 14.2, 120, 797_184, 3_210_400), "ti": (0.27, 12.1, 260, 768, 4_336)}
    runs = []
    for method in methods:
        step, epoch, to, parameters, size = nature[method]
        for seed in range(seeds):
            runs.append(
                {
                    "run": f"20250101-12{seed}000-{method}",
                    "name": NAMES[method],
                    "method": method,
                    "seed": seed,
                    "epochs": 10,
                    "steps": 230,
                    "seconds_per_step": step + seed / 100,
                    "seconds_per_epoch": epoch,
                    "images_per_second": 4 / step,
                    "seconds_to_target": to * step + 5 * seed,
                    "steps_to_target": to + 8.0 * seed,
                    "epochs_to_target": to / 23,
                    "seconds": 10 * epoch + seed,
                    "peak_memory_bytes": 812_000_000,
                    "trainable_parameters": parameters,
                    "adapter_bytes": size,
                    "energy_wh": None,
                    "energy_source": None,
                    "machine": machines[len(runs) % len(machines)],
                    "versions": {"torch": "2.9.0"},
                }
            )
    return {
        "target": target,
        "target_description": "the best loss that every run reaches",
        "runs": runs,
        "methods": [],
        "warnings": ["Energy is not known for every run: not every device reports it."],
    }


NO_RISE = {
    "verdict": "no evidence of overfitting",
    "epoch": None,
    "rise": 0.0001,
    "interval": [-0.0003, 0.0005],
    "p": 0.61,
    "by_seed": [0.0001, 0.0001],
}
RISE = {
    "verdict": "overfits from epoch 8",
    "epoch": 8,
    "rise": 0.0026,
    "interval": [0.0011, 0.0041],
    "p": 0.002,
    "by_seed": [0.0026],
}
TOO_FEW = {
    "verdict": "inconclusive: 4 validation landmarks, but the minimum is 6",
    "epoch": None,
    "rise": None,
    "interval": None,
    "p": None,
    "by_seed": None,
}


def dynamics_entry(method, losses, half, band, depth, best, overfitting):
    """Return one entry of `training_dynamics.describe`."""
    steps = [50, 150, 250, 400, 550, 700, 850, 950]
    change = [-depth * (step / 950) ** 2 for step in steps]
    base = [0.01 + step / 10000 for step in steps]
    return {
        "name": NAMES[method],
        "method": method,
        "runs": [f"20250101-120000-{method}"],
        "seeds": [0],
        "images": 23,
        "landmarks": 23,
        "epochs": list(range(len(losses))),
        "loss": losses,
        "low": [loss - half for loss in losses] if half else None,
        "high": [loss + half for loss in losses] if half else None,
        "band": band,
        "base_loss": 0.0718,
        "per_timestep": {"timesteps": steps, "base": base, "best": base, "last": base, "change": change},
        "best": best,
        "overfitting": overfitting,
    }


def sample_training_dynamics():
    """Return entries of `training_dynamics.describe`: LoRA's loss falls and stays; TI's rises again after epoch 8."""
    falls = [0.0720, 0.0601, 0.0548, 0.0522, 0.0511, 0.0504, 0.0500, 0.0498, 0.0497, 0.0497, 0.0498]
    rises = [0.0720, 0.0660, 0.0615, 0.0580, 0.0556, 0.0538, 0.0524, 0.0513, 0.0507, 0.0519, 0.0534]
    return [
        dynamics_entry(
            "lora",
            falls,
            0.0012,
            "range of 2 seeds",
            24,
            {"epoch": 8, "interval": [6, 10], "share": 0.4, "by_seed": [8, 9]},
            NO_RISE,
        ),
        dynamics_entry(
            "ti",
            rises,
            0.0009,
            "95 % interval over 23 landmarks, one seed",
            16,
            {"epoch": 8, "interval": [7, 8], "share": 0.9, "by_seed": [8]},
            RISE,
        ),
    ]


def sample_study_result(participants=24):
    """Return the result of a closed study as `blind_study.closed_study_result` does, of rule-based participants."""
    from dataclasses import asdict

    from study.analysis.findings import BLINDING_TITLE, TITLES, findings
    from study.analysis.preregistered import analyze
    from tests.support.study_answers import attention_check, participant_rows, study_definition

    rows = []
    for number in range(participants):
        letters = "lltll" if number % 6 else "ttltt"
        rows += participant_rows(f"p{number:02d}", letters, buy="lltl-", landmark="lbntl", style=letters)
        rows += [attention_check(f"p{number:02d}", 99, right=True)]
    values = {"simulated": False, **analyze(study_definition(), rows)}
    described = [
        {**asdict(finding), "title": TITLES.get(finding.question, BLINDING_TITLE)} for finding in findings(values)
    ]
    return {"values": values, "notes": [], "findings": described}
