"""VAEs and GANs in idiomatic PyTorch: channels last, autocast, torch.compile."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.shapes import (
    ADAM_RATE,
    CONV_FILTERS,
    CONV_UNITS,
    CRITIC_STEPS,
    DCGAN_BETA,
    DCGAN_FILTERS,
    GAN_RATE,
    LATENT_SIZE,
    NOISE_SIZE,
    PENALTY,
    VAE_UNITS,
)
from benchmarks.worker import Job, Turns


class VAE(nn.Module):
    def __init__(self, encoder: Any, units: int, decoder: Any) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mean = nn.Linear(units, LATENT_SIZE)
        self.log_variance = nn.Linear(units, LATENT_SIZE)

    def forward(self, x: Any) -> Any:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return self.decoder(z), mean, log_variance

    def reconstruct(self, x: Any) -> Any:
        return torch.sigmoid(self.decoder(self.mean(self.encoder(x))).float())


class Reshape(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Any) -> Any:
        x = x.view(-1, *self.shape)
        return x.contiguous(memory_format=torch.channels_last)


def dense_vae() -> nn.Module:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, VAE_UNITS), nn.ReLU())
    decoder = nn.Sequential(
        nn.Linear(LATENT_SIZE, VAE_UNITS),
        nn.ReLU(),
        nn.Linear(VAE_UNITS, 784),
        nn.Unflatten(1, (1, 28, 28)),
    )
    return VAE(encoder, VAE_UNITS, decoder)


def conv_vae() -> nn.Module:
    first, second = CONV_FILTERS
    encoder = nn.Sequential(
        nn.Conv2d(1, first, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(first, second, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * 7 * 7, CONV_UNITS),
        nn.ReLU(),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT_SIZE, CONV_UNITS),
        nn.ReLU(),
        nn.Linear(CONV_UNITS, second * 7 * 7),
        nn.ReLU(),
        Reshape(second, 7, 7),
        nn.ConvTranspose2d(second, first, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(first, 1, 4, 2, 1),
    )
    return VAE(encoder, CONV_UNITS, decoder)


def dcgan_generator() -> nn.Module:
    return nn.Sequential(
        nn.Linear(NOISE_SIZE, 2 * DCGAN_FILTERS * 7 * 7, bias=False),
        Reshape(2 * DCGAN_FILTERS, 7, 7),
        nn.BatchNorm2d(2 * DCGAN_FILTERS),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * DCGAN_FILTERS, DCGAN_FILTERS, 4, 2, 1, bias=False),
        nn.BatchNorm2d(DCGAN_FILTERS),
        nn.ReLU(),
        nn.ConvTranspose2d(DCGAN_FILTERS, 1, 4, 2, 1),
        nn.Tanh(),
    )


def dcgan_discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, DCGAN_FILTERS, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(DCGAN_FILTERS, 2 * DCGAN_FILTERS, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * DCGAN_FILTERS),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * DCGAN_FILTERS * 7 * 7, 1),
    )


def wgan_generator() -> nn.Module:
    return nn.Sequential(
        nn.Linear(NOISE_SIZE, 512 * 3 * 3),
        Reshape(512, 3, 3),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(512, 256, 3, 3, bias=False),
        nn.BatchNorm2d(256),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(256, 128, 5, 2, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(128, 3, 4, 3),
        nn.Tanh(),
    )


def wgan_critic() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 64, 5, 3),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 5, 3),
        nn.GroupNorm(1, 128),
        nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 5, 3),
        nn.GroupNorm(1, 256),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(256, 1),
    )


def train_vae(images: Any, job: Job, turns: Turns, autocast: Callable[[], Any]) -> None:
    build = conv_vae if job.network == "convvae" else dense_vae
    model = build().to(memory_format=torch.channels_last)
    compiled = job.contender.compiled
    again = torch.compile(model.reconstruct) if compiled else model.reconstruct

    @torch.inference_mode()
    def reconstruct() -> np.ndarray:
        with autocast():
            return to_pixels(again(scaled(images[: job.batch_size])) * 255.0)

    turns.introduce(parameters=parameters(model), infer=reconstruct)
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), ADAM_RATE, fused=True)
    for index in epochs(len(images), job.batch_size):
        x = scaled(images[index])
        with autocast():
            log_odds, mean, log_variance = forward(x)
        mean, log_variance = mean.float(), log_variance.float()
        loss = functional.binary_cross_entropy_with_logits(
            log_odds.float(), x, reduction="sum"
        )
        loss -= 0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())
        loss = loss / len(x)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        turns.step_done(loss.detach())


def scaled(images: Any) -> Any:
    return images.permute(0, 3, 1, 2).float() / 255.0


def train_gan(images: Any, job: Job, turns: Turns, autocast: Callable[[], Any]) -> None:
    penalized = job.network == "wgan_gp"
    builds = (wgan_generator, wgan_critic)
    if not penalized:
        builds = (dcgan_generator, dcgan_discriminator)
    generator, critic = (
        build().to(memory_format=torch.channels_last) for build in builds
    )
    compiled = job.contender.compiled
    generate = torch.compile(generator) if compiled else generator
    # What torch.compile makes cannot be differentiated twice: the penalty's pass is
    # eager, the two others are not.
    score = torch.compile(critic) if compiled else critic

    @torch.inference_mode()
    def sample() -> np.ndarray:
        generator.eval()
        with autocast():
            made = generate(torch.randn(job.batch_size, NOISE_SIZE)).float()
        return to_pixels(made * 127.5 + 127.5)

    count = parameters(generator) + parameters(critic)
    turns.introduce(parameters=count, infer=sample)
    rates = (0.0, 0.9) if penalized else (DCGAN_BETA, 0.999)
    for_generator, for_critic = (
        torch.optim.Adam(part.parameters(), GAN_RATE, betas=rates, fused=True)
        for part in (generator, critic)
    )
    batches = epochs(len(images), job.batch_size)
    while True:
        for _ in range(CRITIC_STEPS if penalized else 1):
            real = images[next(batches)].permute(0, 3, 1, 2).float() / 127.5 - 1.0
            with autocast():
                with torch.no_grad():
                    fake = generate(torch.randn(len(real), NOISE_SIZE)).float()
                of_real, of_fake = score(real).float(), score(fake).float()
            if penalized:
                loss = of_fake.mean() - of_real.mean()
                with autocast():
                    loss += PENALTY * gradient_penalty(critic, real, fake)
            else:
                loss = entropy(of_real, 1.0) + entropy(of_fake, 0.0)
            for_critic.zero_grad(set_to_none=True)
            loss.backward()
            for_critic.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        with autocast():
            scores = score(generate(torch.randn(job.batch_size, NOISE_SIZE))).float()
        loss = -scores.mean() if penalized else entropy(scores, 1.0)
        for_generator.zero_grad(set_to_none=True)
        loss.backward()
        for_generator.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(True)
        turns.step_done(loss.detach())


def gradient_penalty(critic: Any, real: Any, fake: Any) -> Any:
    mix = torch.rand(len(real), 1, 1, 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    total = critic(between).float().sum()
    (gradients,) = torch.autograd.grad(total, between, create_graph=True)
    return ((gradients.flatten(1).norm(dim=1) - 1) ** 2).mean()


def entropy(scores: Any, label: float) -> Any:
    labels = torch.full_like(scores, label)
    return functional.binary_cross_entropy_with_logits(scores, labels)


def to_pixels(images: Any) -> np.ndarray:
    return images.round().byte().permute(0, 2, 3, 1).cpu().numpy()


def epochs(examples: int, batch_size: int) -> Iterator[Any]:
    """Yield the rows of a batch, without end."""
    for _ in itertools.count():
        for index in torch.randperm(examples).split(batch_size):
            if len(index) == batch_size:
                yield index


def parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    torch.manual_seed(0)
    device = "cuda" if job.device == "gpu" else "cpu"
    torch.set_default_device(device)
    images = torch.from_numpy(job.examples()[0]).to(device)
    turns.note = "fused optimizer"

    def autocast() -> Any:
        enabled = job.contender.precision == "bfloat16"
        return torch.autocast(device, torch.bfloat16, enabled=enabled)

    loop = train_vae if job.network in ("vae", "convvae") else train_gan
    loop(images, job, turns, autocast)
