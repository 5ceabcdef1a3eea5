"""Loops of 2021 for VAEs and GANs: tf.data, GradientTape, nothing compiled."""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import layers

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


class VAE(keras.Model):
    def __init__(self, encoder: Any, decoder: Any) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mean = layers.Dense(LATENT_SIZE)
        self.log_variance = layers.Dense(LATENT_SIZE)

    def call(self, x: Any) -> Any:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + tf.random.normal(tf.shape(mean)) * tf.exp(log_variance * 0.5)
        return self.decoder(z), mean, log_variance


def dense_vae() -> keras.Model:
    encoder = [layers.Flatten(), layers.Dense(VAE_UNITS, activation="relu")]
    decoder = [
        layers.Dense(VAE_UNITS, activation="relu"),
        layers.Dense(784),
        layers.Reshape((28, 28, 1)),
    ]
    return VAE(keras.Sequential(encoder), keras.Sequential(decoder))


def conv_vae() -> keras.Model:
    first, second = CONV_FILTERS
    relu = {"activation": "relu"}
    encoder = [
        layers.Conv2D(first, 4, 2, padding="same", **relu),
        layers.Conv2D(second, 4, 2, padding="same", **relu),
        layers.Flatten(),
        layers.Dense(CONV_UNITS, **relu),
    ]
    decoder = [
        layers.Dense(CONV_UNITS, **relu),
        layers.Dense(7 * 7 * second, **relu),
        layers.Reshape((7, 7, second)),
        layers.Conv2DTranspose(first, 4, 2, padding="same", **relu),
        layers.Conv2DTranspose(1, 4, 2, padding="same"),
    ]
    return VAE(keras.Sequential(encoder), keras.Sequential(decoder))


def train_vae(images: Any, job: Job, turns: Turns) -> None:
    model = conv_vae() if job.network == "convvae" else dense_vae()
    optimizer = keras.optimizers.Adam(ADAM_RATE)
    model(tf.zeros((1, 28, 28, 1)))

    def reconstruct() -> np.ndarray:
        x = tf.cast(images[: job.batch_size], tf.float32) / 255.0
        log_odds = model.decoder(model.mean(model.encoder(x)))
        return to_pixels(tf.sigmoid(log_odds) * 255.0)

    turns.introduce(parameters=parameters(model), infer=reconstruct)
    x = tf.cast(images, tf.float32) / 255.0
    batches = tf.data.Dataset.from_tensor_slices(x).shuffle(job.batch_size * 5)
    while True:
        for x in batches.batch(job.batch_size, drop_remainder=True):
            with tf.GradientTape() as tape:
                log_odds, mean, log_variance = model(x)
                loss = tf.nn.sigmoid_cross_entropy_with_logits(x, log_odds)
                loss = tf.reduce_sum(loss) / x.shape[0]
                kl = -0.5 * (log_variance + 1 - mean**2 - tf.exp(log_variance))
                loss += tf.reduce_sum(kl) / x.shape[0]
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))
            turns.step_done(loss)


class Generator(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.project = layers.Dense(3 * 3 * 512)
        self.up1 = layers.Conv2DTranspose(256, 3, 3, use_bias=False)
        self.norm1 = layers.BatchNormalization()
        self.up2 = layers.Conv2DTranspose(128, 5, 2, use_bias=False)
        self.norm2 = layers.BatchNormalization()
        self.up3 = layers.Conv2DTranspose(3, 4, 3)

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = tf.nn.leaky_relu(tf.reshape(self.project(x), [-1, 3, 3, 512]))
        x = tf.nn.leaky_relu(self.norm1(self.up1(x), training=training))
        x = tf.nn.leaky_relu(self.norm2(self.up2(x), training=training))
        return tf.tanh(self.up3(x))


class Critic(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = layers.Conv2D(64, 5, 3)
        self.conv2 = layers.Conv2D(128, 5, 3)
        self.norm2 = layers.GroupNormalization(1)
        self.conv3 = layers.Conv2D(256, 5, 3)
        self.norm3 = layers.GroupNormalization(1)
        self.score = layers.Dense(1)

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = tf.nn.leaky_relu(self.conv1(x))
        x = tf.nn.leaky_relu(self.norm2(self.conv2(x)))
        x = tf.nn.leaky_relu(self.norm3(self.conv3(x)))
        return self.score(tf.reshape(x, [x.shape[0], -1]))


def gradient_penalty(critic: Any, real: Any, fake: Any) -> Any:
    mix = tf.random.uniform([real.shape[0], 1, 1, 1])
    between = mix * real + (1 - mix) * fake
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = critic(between, training=True)
    gradients = tf.reshape(tape.gradient(scores, between), [real.shape[0], -1])
    return tf.reduce_mean((tf.norm(gradients, axis=1) - 1) ** 2)


def dcgan_generator() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((NOISE_SIZE,)),
            layers.Dense(7 * 7 * 2 * DCGAN_FILTERS, use_bias=False),
            layers.Reshape((7, 7, 2 * DCGAN_FILTERS)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(DCGAN_FILTERS, 4, 2, "same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(1, 4, 2, "same", activation="tanh"),
        ]
    )


def dcgan_discriminator() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(DCGAN_FILTERS, 4, 2, "same"),
            layers.LeakyReLU(0.2),
            layers.Conv2D(2 * DCGAN_FILTERS, 4, 2, "same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


def train_gan(images: Any, job: Job, turns: Turns) -> None:
    penalized = job.network == "wgan_gp"
    if penalized:
        generator, critic, rates = Generator(), Critic(), (0.0, 0.9)
    else:
        generator, critic = dcgan_generator(), dcgan_discriminator()
        rates = (DCGAN_BETA, 0.999)
    shape = [job.batch_size, NOISE_SIZE]
    generator(tf.zeros((1, NOISE_SIZE)))
    critic(tf.zeros((1, *images.shape[1:])))

    def sample() -> np.ndarray:
        made = generator(tf.random.normal(shape), training=False)
        return to_pixels(made * 127.5 + 127.5)

    count = parameters(generator) + parameters(critic)
    turns.introduce(parameters=count, infer=sample)
    for_generator, for_critic = (
        keras.optimizers.Adam(GAN_RATE, *rates) for _ in range(2)
    )
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    batches = tf.data.Dataset.from_tensor_slices(images).shuffle(1000)
    batches = batches.map(lambda x: tf.cast(x, tf.float32) / 127.5 - 1.0, -1)
    batches = batches.batch(job.batch_size, drop_remainder=True).repeat().prefetch(-1)
    batches = iter(batches)
    while True:
        for _ in range(CRITIC_STEPS if penalized else 1):
            noise, real = tf.random.normal(shape), next(batches)
            with tf.GradientTape() as tape:
                fake = generator(noise, training=True)
                of_fake = critic(fake, training=True)
                of_real = critic(real, training=True)
                if penalized:
                    loss = tf.reduce_mean(of_fake) - tf.reduce_mean(of_real)
                    loss += PENALTY * gradient_penalty(critic, real, fake)
                else:
                    loss = entropy(tf.ones_like(of_real), of_real)
                    loss += entropy(tf.zeros_like(of_fake), of_fake)
            gradients = tape.gradient(loss, critic.trainable_variables)
            for_critic.apply_gradients(zip(gradients, critic.trainable_variables))
        with tf.GradientTape() as tape:
            fake = generator(tf.random.normal(shape), training=True)
            scores = critic(fake, training=True)
            if penalized:
                loss = -tf.reduce_mean(scores)
            else:
                loss = entropy(tf.ones_like(scores), scores)
        gradients = tape.gradient(loss, generator.trainable_variables)
        for_generator.apply_gradients(zip(gradients, generator.trainable_variables))
        turns.step_done(loss)


def to_pixels(images: Any) -> Any:
    return np.uint8(tf.round(images))


def parameters(model: Any) -> int:
    return int(sum(tf.size(v) for v in model.trainable_variables))


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    tf.random.set_seed(0)
    images, _ = job.examples()
    loop = train_vae if job.network in ("vae", "convvae") else train_gan
    loop(images, job, turns)
