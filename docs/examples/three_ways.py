"""One small residual network, built in the three ways that Keras has.

tests/test_three_ways.py proves that from the same weights they give the same outputs,
and that a step of training leaves them the same weights.
"""

import keras
from keras import layers, ops

from classicnets import engine


# begin functional
def functional(input_shape, classes):
    """Layers called on symbolic tensors; the model is the graph between two of them."""
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv1")(images)
    x = layers.BatchNormalization(name="norm1")(x)
    shortcut = x = layers.ReLU(name="relu1")(x)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv2")(x)
    x = layers.BatchNormalization(name="norm2")(x)
    x = layers.ReLU(name="relu2")(layers.Add(name="add")([x, shortcut]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(images, logits, name="functional")


# end functional


# begin subclass
@keras.saving.register_keras_serializable("classicnets_examples")
class Subclass(keras.Model):
    """Layers made in __init__ and called in call, which is plain Python."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.conv1 = layers.Conv2D(8, 3, padding="same", use_bias=False)
        self.norm1 = layers.BatchNormalization()
        self.conv2 = layers.Conv2D(8, 3, padding="same", use_bias=False)
        self.norm2 = layers.BatchNormalization()
        self.logits = layers.Dense(classes)

    def call(self, images, training=False):
        x = self.conv1(images)
        shortcut = x = ops.relu(self.norm1(x, training=training))
        x = self.norm2(self.conv2(x), training=training)
        x = ops.relu(x + shortcut)
        return self.logits(ops.mean(x, axis=(1, 2)))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


# end subclass


# begin own step
def own_step(network, optimizer, images, labels):
    """One step of training, written out: forward, loss, gradients, update."""

    def loss_function():
        logits = network(images, training=True)  # or batch norm learns nothing
        losses = keras.losses.sparse_categorical_crossentropy(
            labels, logits, from_logits=True
        )
        return ops.mean(losses), ()

    variables = network.trainable_variables
    optimizer.build(variables)
    (loss, _), gradients = engine.value_and_gradients(
        loss_function, variables, network.variables
    )
    engine.apply_gradients(optimizer, gradients, variables)
    return loss


# end own step
