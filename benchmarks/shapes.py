"""The networks of the rows, their shapes and how they learn: alike for all."""

CLASSIFIERS = ("resnet18", "vgg19_bn", "resnet20")  # of images
TEXT_NETWORKS = ("lstm", "lstm400")
# What the others learn from, where it is not photos of 32x32x3.
DIGITS, FACES = ("vae", "convvae", "dcgan"), ("wgan_gp",)
# Images.
CLASSES = 100
LEARNING_RATE = 0.01
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4  # times the weight, in the gradient
CROP_PADDING = 4  # pixels on each side
# Texts: the shape of the script of 2021.
TEXT_CLASSES = 2
VOCABULARY = 20_000
TOKENS = 100
LONG_TOKENS = 400  # of lstm400
EMBEDDING = 100
UNITS = (64, 64)
DROPOUT = 0.5
ADAM_RATE = 1e-3
# A VAE and a WGAN-GP: the shapes of the script of 2021, with layer norm in the critic.
# A convolutional VAE and a DCGAN: those of the recipes on MNIST.
VAE_UNITS = 128
LATENT_SIZE = 20
CONV_FILTERS = (32, 64)
CONV_UNITS = 256
NOISE_SIZE = 100
CRITIC_STEPS = 5  # a step is that many of the critic and one of the generator
PENALTY = 10.0
GAN_RATE = 2e-4
DCGAN_FILTERS = 32
DCGAN_BETA = 0.5
