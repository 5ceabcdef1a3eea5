"""Weights from keras.applications, torchvision's names, and our own files."""

import keras
import numpy as np
import pytest

from classicnets.networks import create
from classicnets.networks.resnet import resnet
from classicnets.networks.vgg import vgg
from classicnets.verification.anchors import KERAS_OPTIONS
from classicnets.verification.drawing import fill
from classicnets.weights.from_keras import from_keras_applications
from classicnets.weights.from_torch import from_torch_state_dict
from classicnets.weights.loading import freeze, load_weights


def images(side, count=2):
    draw = np.random.default_rng(0)
    return draw.normal(size=(count, side, side, 3)).astype("float32")


def outputs_of(network, inputs):
    """Like `network.predict`, without the seconds of compiling."""
    return keras.ops.convert_to_numpy(network(inputs, training=False))


def assert_same_outputs(ours, expected):
    scale = np.abs(expected).max()
    assert scale > 0.1
    np.testing.assert_allclose(ours, expected, atol=1e-4 * max(scale, 1), rtol=0)


# keras.applications -----------------------------------------------------------------


def test_vgg16_with_its_head_computes_what_keras_applications_does():
    source = keras.applications.VGG16(
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    fill(source)
    network = create("vgg16", (32, 32, 3), 10)
    assert from_keras_applications(network, source) == []
    inputs = images(32)
    outputs = outputs_of(network, inputs)
    assert_same_outputs(outputs, outputs_of(source, inputs))


def test_vgg19_features_compute_what_keras_applications_does():
    source = keras.applications.VGG19(
        weights=None, input_shape=(64, 64, 3), include_top=False
    )
    fill(source)
    network = create("vgg19", (64, 64, 3), None)
    assert from_keras_applications(network, source) == []
    inputs = images(64)
    outputs = outputs_of(network, inputs)
    assert_same_outputs(outputs, outputs_of(source, inputs))


def test_resnet50_computes_what_keras_applications_does():
    source = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None
    )
    fill(source)
    network = create("resnet50", (64, 64, 3), 10, **KERAS_OPTIONS)
    assert from_keras_applications(network, source) == []
    inputs = images(64)
    outputs = outputs_of(network, inputs)
    assert_same_outputs(outputs, outputs_of(source, inputs))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("stride_on", "3x3", r"strides of stage2_block1_conv1 must be \(1, 1\)"),
        ("epsilon", 1e-5, "epsilon of stem_norm must be 1e-05"),
        ("convolution_bias", False, r"has also conv1_conv\.bias"),
    ],
)
def test_options_that_differ_from_the_source_are_refused(
    option, value, message, shapes_only
):
    source = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3))
    options = KERAS_OPTIONS | {option: value}
    network = create("resnet50", (32, 32, 3), 1000, **options)
    with pytest.raises(ValueError, match=message):
        from_keras_applications(network, source)


# torchvision ------------------------------------------------------------------------


def torch_vgg11_bn(torch, classes, hidden):
    """torchvision's VGG-11 with batch norm, for images of 64x64."""
    nn = torch.nn
    features, channels = [], 3
    for width, count in ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)):
        for _ in range(count):
            features.append(nn.Conv2d(channels, width, 3, padding=1))
            features += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        features.append(nn.MaxPool2d(2))
    classifier = [nn.Linear(512 * 2 * 2, hidden), nn.ReLU(), nn.Dropout()]
    classifier += [nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()]
    classifier += [nn.Linear(hidden, classes)]
    model = nn.Sequential()
    model.add_module("features", nn.Sequential(*features))
    model.add_module("flatten", nn.Flatten())
    model.add_module("classifier", nn.Sequential(*classifier))
    return model


def torch_resnet(torch, blocks, classes, bottleneck):
    """torchvision's ResNet."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            if bottleneck:
                plan = [(width, 1, 1), (width, 3, stride), (width * 4, 1, 1)]
            else:
                plan = [(width, 3, stride), (width, 3, 1)]
            outputs, channels = plan[-1][0], inputs
            self.count = len(plan)
            for i, (filters, size, step) in enumerate(plan, 1):
                convolution = nn.Conv2d(
                    channels, filters, size, step, size // 2, bias=False
                )
                self.add_module(f"conv{i}", convolution)
                self.add_module(f"bn{i}", nn.BatchNorm2d(filters))
                channels = filters
            self.downsample = None
            if stride > 1 or inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                    nn.BatchNorm2d(outputs),
                )

        def forward(self, x):
            shortcut = self.downsample(x) if self.downsample else x
            for i in range(1, self.count + 1):
                x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
                x = torch.relu(x if i < self.count else x + shortcut)
            return x

    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(3, 64, 7, 2, 3, bias=False))
    model.add_module("bn1", nn.BatchNorm2d(64))
    model.add_module("relu", nn.ReLU())
    model.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    channels = 64
    for stage, count in enumerate(blocks):
        layer = []
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            layer.append(Block(channels, 64 * 2**stage, stride))
            channels = 64 * 2**stage * (4 if bottleneck else 1)
        model.add_module(f"layer{stage + 1}", nn.Sequential(*layer))
    model.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flatten", nn.Flatten())
    model.add_module("fc", nn.Linear(channels, classes))
    return model


def randomized_torch(torch, model):
    draw = np.random.default_rng(0)
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        shape = tuple(tensor.shape)
        if len(shape) > 1:
            value = draw.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name.endswith("running_var") or name.endswith("weight"):
            value = draw.uniform(0.5, 1.5, shape)
        else:
            value = draw.normal(0, 0.1, shape)
        state[name] = torch.tensor(value, dtype=torch.float32)
    model.load_state_dict(state)
    return model.eval()


def torch_outputs(torch, model, inputs):
    with torch.no_grad(), torch.device("cpu"):
        return model(torch.tensor(inputs.transpose(0, 3, 1, 2))).numpy()


@pytest.mark.parametrize(
    ("depth", "blocks", "bottleneck"),
    [(18, (2, 2, 2, 2), False), (50, (3, 4, 6, 3), True)],
)
def test_resnets_compute_what_torchvisions_do(depth, blocks, bottleneck):
    torch = pytest.importorskip("torch")
    model = randomized_torch(torch, torch_resnet(torch, blocks, 10, bottleneck))
    network = resnet((64, 64, 3), 10, depth=depth)
    assert from_torch_state_dict(network, model.state_dict()) == []
    inputs = images(64)
    outputs = outputs_of(network, inputs)
    assert_same_outputs(outputs, torch_outputs(torch, model, inputs))


def test_vgg_from_a_pth_file_flattens_in_torchvisions_order(tmp_path):
    torch = pytest.importorskip("torch")
    model = randomized_torch(torch, torch_vgg11_bn(torch, 10, hidden=48))
    torch.save(model.state_dict(), tmp_path / "vgg.pth")
    network = vgg(
        (64, 64, 3), 10, depth=11, batch_norm=True, hidden_units=(48, 48)
    )  # features of 2x2 tell the two orders apart
    assert load_weights(network, tmp_path / "vgg.pth") == []
    inputs = images(64)
    outputs = outputs_of(network, inputs)
    assert_same_outputs(outputs, torch_outputs(torch, model, inputs))


def plain_vgg11_state(network):
    """The state dict of a VGG-11 with a linear head on 1x1 features."""
    places = {"block1_conv1": 0, "block2_conv1": 3, "block3_conv1": 6}
    places |= {"block3_conv2": 8, "block4_conv1": 11, "block4_conv2": 13}
    places |= {"block5_conv1": 16, "block5_conv2": 18}
    state = {}
    for layer, index in places.items():
        kernel, bias = network.get_layer(layer).get_weights()
        state[f"features.{index}.weight"] = kernel.transpose(3, 2, 0, 1).copy()
        state[f"features.{index}.bias"] = bias
    kernel, bias = network.get_layer("logits").get_weights()
    return state | {"classifier.0.weight": kernel.T.copy(), "classifier.0.bias": bias}


@pytest.fixture(scope="module")
def small_vgg():
    keras.utils.set_random_seed(0)
    network = vgg((32, 32, 3), 10, depth=11, hidden_units=())
    fill(network)
    return network


def test_safetensors_are_read_and_a_prefix_of_data_parallel_dropped(
    small_vgg, tmp_path
):
    from safetensors.numpy import save_file

    state = plain_vgg11_state(small_vgg)
    path = tmp_path / "vgg.safetensors"
    save_file({f"module.{name}": value for name, value in state.items()}, path)
    network = vgg((32, 32, 3), 10, depth=11, hidden_units=())
    assert load_weights(network, path) == []
    for ours, expected in zip(
        network.get_weights(), small_vgg.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, expected)


def test_another_number_of_classes_keeps_the_fresh_head(small_vgg):
    network = vgg((32, 32, 3), 3, depth=11, hidden_units=())
    head = network.get_layer("logits").get_weights()
    state = plain_vgg11_state(small_vgg)
    assert from_torch_state_dict(network, state) == ["logits"]
    assert all(map(np.array_equal, head, network.get_layer("logits").get_weights()))
    np.testing.assert_array_equal(network.get_weights()[0], small_vgg.get_weights()[0])


def test_a_head_is_taken_up_to_its_first_layer_that_does_not_fit(small_vgg):
    network = vgg((32, 32, 3), 10, depth=11, hidden_units=(16,))
    fresh = from_torch_state_dict(network, plain_vgg11_state(small_vgg))
    assert fresh == ["hidden1", "logits"]


def test_features_alone_leave_the_files_head_behind(small_vgg):
    network = vgg((64, 64, 3), None, depth=11)
    state = plain_vgg11_state(small_vgg)
    assert from_torch_state_dict(network, state) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.3.weight": None}, r"lacks features\.3\.weight"),
        ({"features.4.weight": np.ones(3)}, r"has also features\.4\.weight"),
        ({"features.0.bias": np.ones(3)}, r"block1_conv1 must have the shapes"),
        ({"features.0.bias": "text"}, "tensors or arrays, got str"),
    ],
)
def test_a_state_dict_that_does_not_match_changes_nothing(small_vgg, change, message):
    state = plain_vgg11_state(small_vgg) | change
    state = {name: value for name, value in state.items() if value is not None}
    network = vgg((32, 32, 3), 10, depth=11, hidden_units=())
    before = network.get_weights()
    with pytest.raises(ValueError, match=message):
        from_torch_state_dict(network, state)
    assert all(map(np.array_equal, before, network.get_weights()))


# Our own files ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    network = create("resnet20", (16, 16, 3), 10)
    fill(network)
    return network


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
@pytest.mark.parametrize(("classes", "fresh"), [(10, []), (3, ["logits"])])
def test_our_own_files_are_read(trained, tmp_path, file, classes, fresh):
    save = trained.save if file == "model.keras" else trained.save_weights
    save(tmp_path / file)
    network = create("resnet20", (16, 16, 3), classes)
    assert load_weights(network, tmp_path / file) == fresh
    ours, expected = network.get_weights(), trained.get_weights()
    kept = len(ours) - 2 * len(fresh)
    assert all(map(np.array_equal, ours[:kept], expected[:kept]))


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_files_of_an_lstm_are_read(tmp_path, file):
    options = {"units": (4, 3), "vocabulary_size": 9, "bidirectional": True}
    saved, network = (create("lstm", (7,), 3, **options) for _ in range(2))
    save = saved.save if file == "model.keras" else saved.save_weights
    save(tmp_path / file)
    assert load_weights(network, tmp_path / file) == []
    assert all(map(np.array_equal, network.get_weights(), saved.get_weights()))


def test_a_network_that_torchvision_lacks_is_refused():
    with pytest.raises(ValueError, match="torchvision has no lstm"):
        from_torch_state_dict(create("lstm", (7, 2), 3), {})


def test_a_model_that_scales_its_own_pixels_is_read(trained, tmp_path):
    pixels = keras.Input((16, 16, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Normalization(mean=[0.5] * 3, variance=[0.1] * 3)(x)
    keras.Model(pixels, trained(x)).save(tmp_path / "model.keras")
    network = create("resnet20", (16, 16, 3), 10)
    assert load_weights(network, tmp_path / "model.keras") == []
    assert all(map(np.array_equal, network.get_weights(), trained.get_weights()))


def test_a_deeper_network_is_not_filled_from_a_shallow_one(trained, tmp_path):
    trained.save_weights(tmp_path / "model.weights.h5")
    network = create("resnet32", (16, 16, 3), 10)
    with pytest.raises(ValueError, match="must have every weight of resnet32"):
        load_weights(network, tmp_path / "model.weights.h5")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.keras", "weights must be an existing file"),
        ("weights.txt", r"a \.keras, \.weights\.h5, \.safetensors or \.pth file"),
        ("bad.keras", "cannot be opened: it is not a whole .keras file"),
        ("bad.weights.h5", "must be weights saved by Keras 3"),
        ("bad.safetensors", "must be safetensors"),
        ("bad.pth", "must be a state dict"),
    ],
)
def test_a_wrong_file_is_refused(file, message, trained, tmp_path):
    if file.endswith(".pth"):
        pytest.importorskip("torch")
    if not file.startswith("missing"):
        (tmp_path / file).write_bytes(b"no weights")
    with pytest.raises(ValueError, match=message):
        load_weights(trained, tmp_path / file)


def test_a_pth_file_that_holds_code_is_not_run(trained, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"fc.weight": print}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="a state dict and nothing else"):
        load_weights(trained, tmp_path / "model.pth")


# Freezing ---------------------------------------------------------------------------


def test_freezing_leaves_the_logits_to_train():
    network = create("resnet20", (16, 16, 3), 10)
    freeze(network)
    logits = network.get_layer("logits")
    assert [id(v) for v in network.trainable_variables] == [
        id(v) for v in logits.trainable_variables
    ]
    freeze(network, trained=("stem_conv", "logits"))
    assert len(network.trainable_variables) == 3


def test_freezing_all_but_a_layer_that_is_not_there_is_refused():
    network = create("resnet20", (16, 16, 3), None)
    with pytest.raises(ValueError, match="trained must name layers of resnet20"):
        freeze(network)
