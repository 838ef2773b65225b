"""Stage 1: it learns, the learning rate falls as the paper says, and nothing that stops it costs a finished step."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import maskgen
from maskgen.errors import MaskgenError, UsageError
from mfr_train import hardware
from mfr_train.data import batches, decoders
from mfr_train.networks import resnet
from mfr_train.training import checkpoint, classify, curve
from mfr_train.training.distributed import Group
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings, filled

Tiny = Callable[..., TrainSettings]


def run(settings: TrainSettings) -> list[dict[str, str]]:
    """Trains stage 1 and returns the rows of the curve."""
    folder = train(settings_of(settings))
    return curve.read(folder / "curve.csv")


def settings_of(settings: TrainSettings) -> TrainSettings:
    return settings if settings.stage else TrainSettings(**{**vars(settings), "stage": "classify"})


def weights(run: Path, name: str = "classify-last") -> dict[str, torch.Tensor]:
    state = json.loads((run / "checkpoints" / f"{name}.json").read_bytes())
    return load_file(run / "checkpoints" / state["file"])


def test_loss_falls_and_accuracy_rises(tiny: Tiny) -> None:
    rows = run(tiny(batch=16, lr=0.02, iterations=40, validate_every=20, log_every=20))
    loss = [float(row["loss"]) for row in rows]
    accuracy = [float(row["val_accuracy"]) for row in rows]
    assert [row["iteration"] for row in rows] == ["20", "40"]
    assert loss[-1] < loss[0] / 2
    assert accuracy[-1] > accuracy[0]
    assert max(accuracy) >= 0.5  # chance is 1/7


@pytest.mark.parametrize(
    ("accuracies", "rates", "min_lr"),
    [
        # A fall is one from the validation before, not from the best; equal is no fall.
        ([0.5, 0.6, 0.55, 0.55, 0.5, 0.7], [0.1, 0.1, 0.1, 0.01, 0.01, 0.001], 1e-5),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], [0.1, 0.1, 0.01, 0.005, 0.005, 0.005], 0.005),
    ],
)
def test_the_learning_rate_is_a_tenth_after_each_fall_of_accuracy(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, accuracies: list[float], rates: list[float], min_lr: float
) -> None:
    script, used = iter(accuracies), []
    monkeypatch.setattr(classify, "validate", lambda *_: next(script))
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: used.append(self.param_groups[0]["lr"]) or step(self))
    settings = tiny(lr=0.1, min_lr=min_lr, validate_every=1)
    rows = run(settings)
    assert used == pytest.approx(rates, rel=1e-9)
    assert [float(row["lr"]) for row in rows] == pytest.approx(rates, rel=1e-6)
    best = json.loads((settings.out / "checkpoints/classify-best.json").read_bytes())
    assert best["iteration"] == 1 + accuracies.index(max(accuracies))


def test_a_batch_in_pieces_is_the_whole_batch_where_batchnorm_is_not_in_the_way(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BatchNorm that trains normalises each piece by itself; with fixed statistics only float32's sums differ.

    Pieces of 3, 3 and 2 also show that each counts by its length. One step: float32 resolves 6e-8 and a gradient sums
    some thousand terms, so 1e-3 of a tensor's largest change is noise, and a wrong factor (8/9 at least) is not.
    """
    monkeypatch.setattr(nn.BatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False))
    found, losses = [], []
    for micro in (8, 3):
        rows = run(tiny(out=tmp_path / f"{micro}", micro_batch=micro, iterations=1, lr=0.1))
        losses.append([float(row["loss"]) for row in rows])
        found.append(weights(tmp_path / f"{micro}"))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    torch.manual_seed(0)
    start = resnet.Network("resnet18", 7).state_dict()
    for name, tensor in start.items():
        moved, other = (each[f"model.{name}"] - tensor for each in found)
        if tensor.is_floating_point() and "running" not in name:
            assert moved.abs().max() > 0
            assert (moved - other).abs().max() <= 1e-3 * moved.abs().max(), name


def test_batchnorm_that_trains_normalises_each_piece_and_its_statistics_are_their_mean(
    tiny: Tiny, tmp_path: Path
) -> None:
    """What --micro-batch does change, worked out with plain torch for one step from the same start."""
    settings = tiny(micro_batch=4, iterations=1, validate_every=1)
    run(settings)
    torch.manual_seed(0)
    network = resnet.Network("resnet18", 7)
    feed = batches.Feed(settings.data, 8, 32, maskgen.VARIANTS, 0.5, 0, settings.buffer)
    images, labels = next(batches.batches(feed))
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    statistics = []
    for piece in (slice(0, 4), slice(4, 8)):
        for name, tensor in network.named_buffers():
            if "running" in name:
                tensor.copy_(start[name])
        (nn.functional.cross_entropy(network(images[piece]), labels[piece]) / 2).backward()
        statistics.append({name: tensor.clone() for name, tensor in network.named_buffers() if "running" in name})
    found = weights(settings.out)
    for name in statistics[0]:
        wanted = (statistics[0][name] + statistics[1][name]) / 2
        torch.testing.assert_close(found[f"model.{name}"], wanted, rtol=1e-5, atol=1e-6)
    for name, parameter in network.named_parameters():
        wanted = parameter - 0.01 * (parameter.grad + 5e-4 * parameter)
        torch.testing.assert_close(found[f"model.{name}"], wanted.detach(), rtol=1e-5, atol=1e-6)


def test_validation_sees_every_validation_photograph_once_and_masked(
    tiny: Tiny, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, str]] = []
    image = maskgen.Row.image
    monkeypatch.setattr(
        maskgen.Row, "image", lambda row, name: seen.append((row.split, row.key, name)) or image(row, name)
    )
    run(tiny(iterations=1))
    shown = [(key, name) for split, key, name in seen if split == "val"]
    assert [key for key, _ in shown] == [row.key for row in maskgen.open(demo).rows("val", images=())]
    assert "unmasked" not in {name for _, name in shown}
    assert {split for split, _, _ in seen} == {"train", "val"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def finished(tiny: Tiny, whole: Path, run_state: Callable) -> dict[str, object]:
    """The state of a run of `tiny()` that nothing interrupted."""
    if not whole.exists():
        run(tiny(out=whole))
    return run_state(whole)


def test_killed_at_any_step_it_goes_on_as_if_nothing_had_been(
    tiny: Tiny, start: Callable, finished: dict[str, object], run_state: Callable
) -> None:
    settings = settings_of(tiny())
    process = start(
        settings,
        """
step = torch.optim.SGD.step
steps = []
def stops(self):
    steps.append(step(self))
    if len(steps) == 6:  # two rows of the curve are newer than the last checkpoint, of step 4
        print("here", flush=True)
        signal.pause()
torch.optim.SGD.step = stops
train(settings)
""",
    )
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    rows = curve.read(settings.out / "curve.csv")
    assert rows[-1]["iteration"] == "5"
    temporary = settings.out / "checkpoints/.maskgen-0123456789abcdef.classify-last-00000006.safetensors.tmp"
    temporary.write_bytes(b"what a process killed while it saves leaves behind")
    train(settings)
    assert run_state(settings.out) == finished
    assert not temporary.exists()


def test_stopped_between_best_and_last_it_goes_on_from_last(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, finished: dict[str, object], run_state: Callable
) -> None:
    save, said = checkpoint.save, []

    def stops(folder: Path, name: str, tensors: dict[str, torch.Tensor], state: dict[str, object]) -> None:
        said.append((name, state["iteration"]))
        if said[-1] == ("classify-last", 4):
            raise KeyboardInterrupt
        save(folder, name, tensors, state)

    monkeypatch.setattr(checkpoint, "save", stops)
    # Validation rises at step 4: it is the best, and saved as such before it is the last.
    script = iter([0.1, 0.2])
    monkeypatch.setattr(classify, "validate", lambda *_: next(script))
    with pytest.raises(KeyboardInterrupt):
        run(tiny())
    assert said == [("classify-best", 2), ("classify-last", 2), ("classify-best", 4), ("classify-last", 4)]
    monkeypatch.undo()
    state = json.loads((tiny().out / "checkpoints/classify-last.json").read_bytes())
    assert state["iteration"] == 2
    rows = run(tiny())
    assert [row["iteration"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    losses = [row["loss"] for row in rows]
    assert losses == [line.split(",")[2] for line in str(finished["curve"]).split()[1:]]
    found, wanted = run_state(tiny().out), finished
    last = {name for name in wanted if "classify-last" in name}
    assert last
    assert all(found[name] == wanted[name] for name in last)


def test_last_and_best_are_kept_and_say_what_they_are_of(tiny: Tiny, demo: Path) -> None:
    settings = tiny()
    rows = run(settings)
    accuracies = {int(row["iteration"]): float(row["val_accuracy"]) for row in rows if row["val_accuracy"]}
    folder = settings.out / "checkpoints"
    last, best = (json.loads((folder / f"classify-{name}.json").read_bytes()) for name in ("last", "best"))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["classify-last.json", "classify-best.json", last["file"], best["file"]]
    )
    assert last["iteration"] == 6
    assert best["best"] == pytest.approx(max(accuracies.values()), abs=1e-6)
    assert best["iteration"] == min(step for step, value in accuracies.items() if value == max(accuracies.values()))
    for state in (last, best):
        assert state["dataset"] == maskgen.open(demo).content
        assert state["classes"] == 7
        assert state["settings"]["lr"] == 0.01
        assert state["settings"]["variants"] == list(maskgen.VARIANTS)
    trunk = load_file(settings.out / "backbone.safetensors")
    kept = weights(settings.out, "classify-best")
    assert all(torch.equal(tensor, kept[f"model.trunk.{name}"]) for name, tensor in trunk.items())
    assert not any("classifier" in name for name in trunk)


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("classes", 5, "has classes 5 where this run has 7"),
        ("dataset", "0" * 64, 'has dataset "0{15}..." where this run has'),
        ("settings", {"lr": 0.5}, "has backbone null where this run has"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tiny: Tiny, fact: str, value: object, said: str) -> None:
    settings = tiny(iterations=2)
    run(settings)
    path = settings.out / "checkpoints/classify-last.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), fact: value}))
    with pytest.raises(UsageError, match=said) as error:
        run(tiny(iterations=4))
    assert str(path) in str(error.value)


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint_kept(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, finished: dict[str, object], run_state: Callable
) -> None:
    settings = tiny()
    real, calls = nn.functional.cross_entropy, []

    def bad(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return real(*arguments) * (float("nan") if len(calls) == 5 else 1)

    monkeypatch.setattr("mfr_train.training.classifiers.functional.cross_entropy", bad)
    said = r"the loss of stage 1 is nan by step 5; the last good checkpoint is kept in .*checkpoints, so lower --lr"
    with pytest.raises(MaskgenError, match=said):
        run(settings)
    state = json.loads((settings.out / "checkpoints/classify-last.json").read_bytes())
    assert state["iteration"] == 4
    assert all(tensor.isfinite().all() for tensor in weights(settings.out).values())
    monkeypatch.undo()
    run(settings)
    assert run_state(settings.out) == finished


def test_a_training_that_really_diverges_is_told(tiny: Tiny) -> None:
    with pytest.raises(MaskgenError, match=r"diverged: .*; nothing was saved, so lower --lr and start again"):
        run(tiny(lr=1e25))


def test_a_full_disk_while_saving_is_one_sentence_and_the_same_call_goes_on(
    tiny: Tiny, start: Callable, finished: dict[str, object], run_state: Callable
) -> None:
    settings = settings_of(tiny())
    process = start(
        settings,
        """
import resource
save = checkpoint.save
def full(folder, name, tensors, state):
    if state["iteration"] == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    save(folder, name, tensors, state)
checkpoint.save = full
try:
    train(settings)
except MaskgenError as error:
    print(error)
""",
    )
    said = process.communicate()[0]
    assert "checkpoints/classify-" in said
    assert "(File too large); make room and run the same command again: it resumes from its last checkpoint." in said
    assert said.count("\n") == 1
    assert json.loads((settings.out / "checkpoints/classify-last.json").read_bytes())["iteration"] == 2
    assert not list(settings.out.rglob("*.tmp"))
    train(settings)
    assert run_state(settings.out) == finished


def test_too_little_memory_names_a_micro_batch_that_the_same_run_then_takes(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = resnet.Network.forward

    def small(self: resnet.Network, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, images)

    monkeypatch.setattr(resnet.Network, "forward", small)
    for micro, advised in ((None, 4), (4, 2)):
        with pytest.raises(
            MaskgenError, match=f"too little memory for {2 * advised} .* at once; give --micro-batch {advised} and"
        ):
            run(tiny(micro_batch=micro))
    assert len(run(tiny(micro_batch=2))) == 6


def test_too_little_memory_of_a_machine_without_gpu(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet.Network, "forward", lambda self, images: torch.empty(2**50))
    with pytest.raises(MaskgenError, match="too little memory for 1 photographs at once; give a smaller --input-size"):
        run(tiny(micro_batch=1, input_size=48))


def test_a_piece_of_one_photograph_is_told_before_anything_is_computed(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="BatchNorm cannot normalise at --input-size 32; give --micro-batch 2, or"):
        train(tiny(micro_batch=1))
    assert not tiny().out.exists()


def test_workers_that_find_no_work_are_told(
    tiny: Tiny, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def in_this_process(decoder: decoders.Decoder, workers: int) -> Iterator[Any]:
        started.append(workers)
        return decoders.decoded(decoder, 0)

    monkeypatch.setattr(batches, "decoded", in_this_process)
    run(tiny(batch=6, micro_batch=3, iterations=1, workers=3))
    assert caplog.messages == [
        "--workers 3: 2 of them will decode training batches, since their number must divide 2, the largest power of "
        "two in --batch, up to 64, for each process that trains."
    ]
    caplog.clear()
    run(tiny(batch=6, micro_batch=3, iterations=2, workers=2))
    assert caplog.messages == []
    assert started == [2, 2]


def test_other_errors_are_not_taken_for_want_of_memory(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet.Network, "forward", lambda self, images: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        run(tiny())


def test_fewer_steps_than_were_done_are_refused(tiny: Tiny) -> None:
    run(tiny(iterations=4))
    with pytest.raises(UsageError, match="has done 4 steps and --iterations asks for 2; give more, or another --out"):
        run(tiny(iterations=2))


def test_one_identity_and_no_validation_photographs_are_one_sentence(
    tiny: Tiny, demo_tree: Path, make: Callable[..., Path], write_tree: Callable[..., Path], tmp_path: Path
) -> None:
    files = {name: (demo_tree / name).read_bytes() for name in ("collins/0001_01.jpg", "collins/0002_01.jpg")}
    one = make(write_tree(tmp_path / "one", files), tmp_path / "smfd1", test_identities=0)
    with pytest.raises(UsageError, match="has 1 training identity; stage 1 needs two: build more"):
        run(tiny(data=str(one)))
    files = {f"{name}/0001_01.jpg": (demo_tree / name / "0001_01.jpg").read_bytes() for name in ("collins", "hopper")}
    singles = make(write_tree(tmp_path / "two", files), tmp_path / "smfd2", test_identities=0)
    assert maskgen.open(singles).count("val") == 0
    with pytest.raises(UsageError, match="has no validation photographs; build it from more of each identity"):
        run(tiny(data=str(singles), out=tmp_path / "other"))


def test_workers_of_a_process_are_its_share_of_the_cores(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 12)
    full = filled(tiny(workers=None))
    assert classify.workers_of(full, Group()) == 1
    gpu = TrainSettings(**{**vars(full), "device": "cuda"})
    assert classify.workers_of(gpu, Group()) == 8
    assert classify.workers_of(gpu, Group(5, 8, 4)) == 3
    assert classify.workers_of(filled(tiny(workers=3)), Group()) == 3


def test_a_checkpoint_that_cannot_be_read_is_told(tiny: Tiny) -> None:
    settings = tiny(iterations=2)
    run(settings)
    next(settings.out.glob("checkpoints/classify-last-*.safetensors")).write_bytes(b"")
    with pytest.raises(MaskgenError, match=r"classify-last\.json is damaged; remove .* and train again"):
        run(tiny(iterations=4))
    (settings.out / "checkpoints/classify-last.json").write_text("[]")
    with pytest.raises(MaskgenError, match="damaged"):
        run(tiny(iterations=4))
    assert checkpoint.load(settings.out / "checkpoints", "embed-last", {}) is None
