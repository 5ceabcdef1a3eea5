"""The engine on JAX, whose functions are pure: variables go in and come out."""

import functools

import jax
import keras
import numpy as np
from jax import numpy as jnp


def value_and_gradients(loss_function, variables, state):
    """Differentiate a loss; see the engine on TensorFlow."""

    def pure_loss(values):
        current = [(v, v.value) for v in state]
        return _run_pure(loss_function, [*current, *zip(variables, values)], state)

    def split(values):
        (loss, extras), after = pure_loss(values)
        return loss, (extras, after)

    differentiate = jax.value_and_grad(split, has_aux=True)
    (loss, (extras, after)), gradients = differentiate([v.value for v in variables])
    _assign(state, after)
    return (loss, extras), gradients


def apply_gradients(optimizer, gradients, variables):
    """Take one step of a built Keras optimizer on `variables`."""
    # Under a trace, the plain `apply` of LossScaleOptimizer leaks out of its branches.
    values, slots = optimizer.stateless_apply(
        [v.value for v in optimizer.variables],
        gradients,
        [v.value for v in variables],
    )
    _assign(variables, values)
    _assign(optimizer.variables, slots)


def compile_steps(step, state, logs):
    """Compile a loop over steps; see the engine on TensorFlow."""

    @functools.partial(jax.jit, donate_argnums=0)
    def loop(values, arrays, batches, steps):
        def body(i, carried):
            values, totals = carried
            batch = {key: rows[i] for key, rows in batches.items()}
            result, values = _run_pure(
                lambda: step(arrays, batch), zip(state, values), state
            )
            totals = {k: totals[k] + result[k].astype("float32") for k in logs}
            return values, totals

        totals = {key: jnp.zeros((), "float32") for key in logs}
        return jax.lax.fori_loop(0, steps, body, (values, totals))

    def run(arrays, batches, steps):
        values, totals = loop([v.value for v in state], arrays, batches, steps)
        _assign(state, values)
        return {key: float(value) for key, value in totals.items()}

    return run


def compile_function(function, state):
    """Compile function(arrays, batch), which writes no variable; returns NumPy."""

    @jax.jit
    def pure(values, arrays, batch):
        with keras.StatelessScope(list(zip(state, values))):
            return function(arrays, batch)

    return lambda arrays, batch: np.asarray(
        pure([v.value for v in state], arrays, batch)
    )


def to_device(array):
    """Copy a NumPy array to the device."""
    return jnp.asarray(array)


def device() -> str:
    """Name the device that computes."""
    first = jax.devices()[0]
    return "CPU" if first.platform == "cpu" else first.device_kind


def make_deterministic() -> None:
    """XLA on the CPU is deterministic; a GPU needs XLA_FLAGS before the start."""


def fast_kernel(layer, shape):
    """Return None: XLA fuses the plain layers itself."""
    return None


def _run_pure(function, values, state):
    """Return function() and the values it leaves in `state`."""
    with keras.StatelessScope(list(values)) as scope:
        result = function()
    missing = scope.state_mapping.keys() - {id(v) for v in state}
    if missing:
        raise ValueError(
            f"the step writes {len(missing)} variables that are missing from its "
            "state: they would not change."
        )
    return result, [scope.get_current_value(v) for v in state]


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)
