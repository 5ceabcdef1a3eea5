"""Loops of 2021 for a VAE and a WGAN-GP: tf.data, GradientTape, nothing compiled."""

import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import layers

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


class VAE(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = layers.Dense(VAE_UNITS, activation="relu")
        self.mean = layers.Dense(LATENT_SIZE)
        self.log_variance = layers.Dense(LATENT_SIZE)
        self.decoder = keras.Sequential(
            [layers.Dense(VAE_UNITS, activation="relu"), layers.Dense(784)]
        )

    def call(self, x):
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + tf.random.normal(tf.shape(mean)) * tf.exp(log_variance * 0.5)
        return self.decoder(z), mean, log_variance


def train_vae(images, job, turns):
    model, optimizer = VAE(), keras.optimizers.Adam(ADAM_RATE)
    model(tf.zeros((1, 784)))
    turns.introduce(parameters=parameters(model))
    x = tf.cast(images, tf.float32) / 255.0
    batches = tf.data.Dataset.from_tensor_slices(x).shuffle(job.batch_size * 5)
    while True:
        for x in batches.batch(job.batch_size, drop_remainder=True):
            x = tf.reshape(x, [-1, 784])
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
    def __init__(self):
        super().__init__()
        self.project = layers.Dense(3 * 3 * 512)
        self.up1 = layers.Conv2DTranspose(256, 3, 3, use_bias=False)
        self.norm1 = layers.BatchNormalization()
        self.up2 = layers.Conv2DTranspose(128, 5, 2, use_bias=False)
        self.norm2 = layers.BatchNormalization()
        self.up3 = layers.Conv2DTranspose(3, 4, 3)

    def call(self, x, training=None):
        x = tf.nn.leaky_relu(tf.reshape(self.project(x), [-1, 3, 3, 512]))
        x = tf.nn.leaky_relu(self.norm1(self.up1(x), training=training))
        x = tf.nn.leaky_relu(self.norm2(self.up2(x), training=training))
        return tf.tanh(self.up3(x))


class Critic(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv1 = layers.Conv2D(64, 5, 3)
        self.conv2 = layers.Conv2D(128, 5, 3)
        self.norm2 = layers.GroupNormalization(1)
        self.conv3 = layers.Conv2D(256, 5, 3)
        self.norm3 = layers.GroupNormalization(1)
        self.score = layers.Dense(1)

    def call(self, x, training=None):
        x = tf.nn.leaky_relu(self.conv1(x))
        x = tf.nn.leaky_relu(self.norm2(self.conv2(x)))
        x = tf.nn.leaky_relu(self.norm3(self.conv3(x)))
        return self.score(tf.reshape(x, [x.shape[0], -1]))


def gradient_penalty(critic, real, fake):
    mix = tf.random.uniform([real.shape[0], 1, 1, 1])
    between = mix * real + (1 - mix) * fake
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = critic(between, training=True)
    gradients = tf.reshape(tape.gradient(scores, between), [real.shape[0], -1])
    return tf.reduce_mean((tf.norm(gradients, axis=1) - 1) ** 2)


def train_wgan_gp(images, job, turns):
    generator, critic = Generator(), Critic()
    generator(tf.zeros((1, NOISE_SIZE)))
    critic(tf.zeros((1, 64, 64, 3)))
    turns.introduce(parameters=parameters(generator) + parameters(critic))
    for_generator, for_critic = (
        keras.optimizers.Adam(GAN_RATE, beta_1=0.0, beta_2=0.9) for _ in range(2)
    )
    batches = tf.data.Dataset.from_tensor_slices(images).shuffle(1000)
    batches = batches.map(lambda x: tf.cast(x, tf.float32) / 127.5 - 1.0, -1)
    batches = batches.batch(job.batch_size, drop_remainder=True).repeat().prefetch(-1)
    batches = iter(batches)
    shape = [job.batch_size, NOISE_SIZE]
    while True:
        for _ in range(CRITIC_STEPS):
            noise, real = tf.random.normal(shape), next(batches)
            with tf.GradientTape() as tape:
                fake = generator(noise, training=True)
                loss = tf.reduce_mean(critic(fake, training=True))
                loss -= tf.reduce_mean(critic(real, training=True))
                loss += PENALTY * gradient_penalty(critic, real, fake)
            gradients = tape.gradient(loss, critic.trainable_variables)
            for_critic.apply_gradients(zip(gradients, critic.trainable_variables))
        with tf.GradientTape() as tape:
            fake = generator(tf.random.normal(shape), training=True)
            loss = -tf.reduce_mean(critic(fake, training=True))
        gradients = tape.gradient(loss, generator.trainable_variables)
        for_generator.apply_gradients(zip(gradients, generator.trainable_variables))
        turns.step_done(loss)


def parameters(model):
    return int(sum(tf.size(v) for v in model.trainable_variables))


def train(job: Job, turns: Turns) -> None:
    """Train until `turns` ends it."""
    tf.random.set_seed(0)
    images, _ = job.examples()
    {"vae": train_vae, "wgan_gp": train_wgan_gp}[job.network](images, job, turns)
