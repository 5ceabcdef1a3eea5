"""A VAE and a WGAN-GP in idiomatic PyTorch: channels last, autocast, torch.compile."""

import itertools

import torch
from torch import nn
from torch.nn import functional

from benchmarks.worker import (
    ADAM_RATE,
    CRITIC_STEPS,
    GAN_RATE,
    LATENT_SIZE,
    NOISE_SIZE,
    PENALTY,
    VAE_UNITS,
    Job,
    Turns,
)


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(784, VAE_UNITS)
        self.mean = nn.Linear(VAE_UNITS, LATENT_SIZE)
        self.log_variance = nn.Linear(VAE_UNITS, LATENT_SIZE)
        self.hidden = nn.Linear(LATENT_SIZE, VAE_UNITS)
        self.pixels = nn.Linear(VAE_UNITS, 784)

    def forward(self, x):
        h = functional.relu(self.encoder(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        log_odds = self.pixels(functional.relu(self.hidden(z)))
        return log_odds, mean, log_variance


class Reshape(nn.Module):
    def forward(self, x):
        return x.view(-1, 512, 3, 3).contiguous(memory_format=torch.channels_last)


def wgan_generator():
    return nn.Sequential(
        nn.Linear(NOISE_SIZE, 512 * 3 * 3),
        Reshape(),
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


def wgan_critic():
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


def train_vae(images, job, turns, autocast):
    model = VAE()
    turns.introduce(parameters=parameters(model))
    forward = torch.compile(model) if job.contender.compiled else model
    optimizer = torch.optim.Adam(model.parameters(), ADAM_RATE, fused=True)
    for index in epochs(len(images), job.batch_size):
        x = images[index].view(-1, 784).float() / 255.0
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


def train_wgan_gp(images, job, turns, autocast):
    generator, critic = (
        build().to(memory_format=torch.channels_last)
        for build in (wgan_generator, wgan_critic)
    )
    turns.introduce(parameters=parameters(generator) + parameters(critic))
    compiled = job.contender.compiled
    generate = torch.compile(generator) if compiled else generator
    # What torch.compile makes cannot be differentiated twice: the penalty's pass is
    # eager, the two others are not.
    score = torch.compile(critic) if compiled else critic
    for_generator, for_critic = (
        torch.optim.Adam(part.parameters(), GAN_RATE, betas=(0.0, 0.9), fused=True)
        for part in (generator, critic)
    )
    batches = epochs(len(images), job.batch_size)
    while True:
        for _ in range(CRITIC_STEPS):
            real = images[next(batches)].permute(0, 3, 1, 2).float() / 127.5 - 1.0
            with autocast():
                with torch.no_grad():
                    fake = generate(torch.randn(len(real), NOISE_SIZE)).float()
                distance = score(real).float().mean() - score(fake).float().mean()
                mix = torch.rand(len(real), 1, 1, 1)
                between = (mix * real + (1 - mix) * fake).requires_grad_()
                total = critic(between).float().sum()
            (gradients,) = torch.autograd.grad(total, between, create_graph=True)
            norms = gradients.flatten(1).norm(dim=1)
            loss = PENALTY * ((norms - 1) ** 2).mean() - distance
            for_critic.zero_grad(set_to_none=True)
            loss.backward()
            for_critic.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        with autocast():
            loss = -score(generate(torch.randn(job.batch_size, NOISE_SIZE)))
        loss = loss.float().mean()
        for_generator.zero_grad(set_to_none=True)
        loss.backward()
        for_generator.step()
        for parameter in critic.parameters():
            parameter.requires_grad_(True)
        turns.step_done(loss.detach())


def epochs(examples, batch_size):
    """Yield the rows of a batch, without end."""
    for _ in itertools.count():
        for index in torch.randperm(examples).split(batch_size):
            if len(index) == batch_size:
                yield index


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    torch.manual_seed(0)
    images = torch.from_numpy(job.examples()[0])
    turns.note = "fused optimizer"

    def autocast():
        enabled = job.contender.precision == "bfloat16"
        return torch.autocast("cpu", torch.bfloat16, enabled=enabled)

    loops = {"vae": train_vae, "wgan_gp": train_wgan_gp}
    loops[job.network](images, job, turns, autocast)
