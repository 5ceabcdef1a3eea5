"""A training loop in idiomatic PyTorch: channels last, autocast, torch.compile."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers import pytorch_generative
from benchmarks.shapes import (
    ADAM_RATE,
    CLASSES,
    CROP_PADDING,
    DROPOUT,
    EMBEDDING,
    LEARNING_RATE,
    MOMENTUM,
    TEXT_CLASSES,
    UNITS,
    VOCABULARY,
    WEIGHT_DECAY,
)
from benchmarks.worker import Job, Turns


def conv_bn(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Subsample(nn.Module):
    """Option A: every second pixel, new channels of zeros."""

    def forward(self, x: Any) -> Any:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))


class ResidualBlock(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, stride: int, projection: bool
    ) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, stride=stride)
        self.second = conv_bn(outputs, outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if stride > 1:
            project = conv_bn(inputs, outputs, size=1, stride=stride)
            self.shortcut = project if projection else Subsample()

    def forward(self, x: Any) -> Any:
        y = self.second(self.relu(self.first(x)))
        return self.relu(y + self.shortcut(x))


def resnet(blocks: int, filters: tuple[int, ...], projection: bool) -> nn.Module:
    inputs = filters[0]
    layers = [conv_bn(3, inputs), nn.ReLU(inplace=True)]
    for stage, outputs in enumerate(filters):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(ResidualBlock(inputs, outputs, stride, projection))
            inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES)]
    return nn.Sequential(*layers)


def vgg19_bn() -> nn.Module:
    layers, inputs = [], 3
    for outputs, convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(convolutions):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    for width in (512, 4096):
        layers += [nn.Linear(width, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(4096, CLASSES))


class LSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.dropout = nn.Dropout(DROPOUT)
        self.lstm = nn.LSTM(
            EMBEDDING, UNITS[0], len(UNITS), batch_first=True, dropout=DROPOUT
        )
        self.logits = nn.Linear(UNITS[-1], TEXT_CLASSES)
        # It has two biases where one is enough; the second stays at 0.
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("bias_hh"):
                nn.init.zeros_(parameter).requires_grad_(False)

    def forward(self, tokens: Any) -> Any:
        outputs, _ = self.lstm(self.dropout(self.embedding(tokens)))
        return self.logits(self.dropout(outputs[:, -1]))


NETWORKS = {
    "resnet18": lambda: resnet(2, (64, 128, 256, 512), projection=True),
    "vgg19_bn": vgg19_bn,
    "resnet20": lambda: resnet(3, (16, 32, 64), projection=False),
    "lstm": LSTM,
    "lstm400": LSTM,
}


def augment(images: Any) -> Any:
    """Pad, crop and flip (batch, 32, 32, 3) uint8 images, each in its own way."""
    batch, side = images.shape[:2]
    images = functional.pad(images, (0, 0, *[CROP_PADDING] * 4))
    start = torch.randint(2 * CROP_PADDING + 1, (2, batch, 1))
    rows, columns = start + torch.arange(side)
    columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    number = torch.arange(batch)[:, None, None]
    return images[number, rows[:, :, None], columns[:, None, :]]


def scaling(images: Any) -> Callable[[Any], Any]:
    """Return what turns raw images into a batch: scaled, channels last."""
    pixels = images.float() / 255.0
    deviation, mean = torch.std_mean(pixels, dim=(0, 1, 2))

    def scale(images: Any) -> Any:
        x = (images.float() / 255.0 - mean) / deviation
        return x.permute(0, 3, 1, 2)  # channels first in name, last in memory

    return scale


def as_they_are(examples: Any) -> Any:
    return examples


def fastest_optimizer(model: Any, on_texts: bool) -> tuple[Any, str]:
    """Return the optimizer in the implementation that takes the least time here, and
    its name: Adam for texts, SGD for images."""
    trained = [p for p in model.parameters() if p.requires_grad]

    def build(implementation: str, resting: bool = False) -> Any:
        how = {implementation: True}
        if on_texts:
            return torch.optim.Adam(trained, lr=0.0 if resting else ADAM_RATE, **how)
        return torch.optim.SGD(
            trained,
            lr=0.0 if resting else LEARNING_RATE,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=WEIGHT_DECAY,
            **how,
        )

    seconds = {}
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    for implementation in ("fused", "foreach"):
        trial = build(implementation, resting=True)  # the weights stay as they are
        trial.step()
        started = time.perf_counter()
        for _ in range(5):
            trial.step()
        seconds[implementation] = time.perf_counter() - started
    best = min(seconds, key=lambda name: seconds[name])
    return build(best), best


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    if job.is_generative:
        pytorch_generative.train(job, turns)
        return
    torch.manual_seed(0)
    device = "cuda" if job.device == "gpu" else "cpu"
    torch.set_default_device(device)
    inputs, labels = (torch.from_numpy(array).to(device) for array in job.examples())
    labels = labels.long()
    scale: Callable[[Any], Any] = as_they_are
    vary: Callable[[Any], Any] = as_they_are
    if not job.on_texts:
        scale, vary = scaling(inputs), augment
    model = NETWORKS[job.network]().to(memory_format=torch.channels_last).train()
    trained = [p.numel() for p in model.parameters() if p.requires_grad]
    forward = torch.compile(model) if job.contender.compiled else model
    autocast = torch.autocast(
        device, torch.bfloat16, enabled=job.contender.precision == "bfloat16"
    )

    @torch.inference_mode()
    def infer() -> np.ndarray:
        model.eval()
        with autocast:
            logits = forward(scale(inputs[: job.batch_size]))
        return logits.float().cpu().numpy()

    turns.introduce(parameters=sum(trained), infer=infer)
    # From here on no other contender computes, or one at most.
    optimizer, implementation = fastest_optimizer(model, job.on_texts)
    turns.note = f"{implementation} optimizer"
    while True:
        for index in torch.randperm(len(inputs)).split(job.batch_size):
            if len(index) < job.batch_size:
                break
            x = scale(vary(inputs[index]))
            with autocast:
                logits = forward(x)
            loss = functional.cross_entropy(logits.float(), labels[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            turns.step_done(loss.detach())
