"""The engine on JAX, whose functions are pure: variables go in and come out."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from classicnets.engine.kernels import (
    back_through_gates,
    is_plain_lstm,
    is_plain_transposed_convolution,
    lstm_weights,
    through_gates,
    transposed_convolution,
)


def value_and_gradients(
    loss_function: Callable, variables: list, state: Sequence
) -> Any:
    """Differentiate a loss; see the engine on TensorFlow."""

    def pure_loss(values: Any) -> Any:
        current = [(v, v.value) for v in state]
        return _run_pure(loss_function, [*current, *zip(variables, values)], state)

    def split(values: Any) -> Any:
        (loss, extras), after = pure_loss(values)
        return loss, (extras, after)

    differentiate = jax.value_and_grad(split, has_aux=True)
    (loss, (extras, after)), gradients = differentiate([v.value for v in variables])
    _assign(state, after)
    return (loss, extras), gradients


def apply_gradients(optimizer: Any, gradients: Any, variables: list[Any]) -> None:
    """Take one step of a built Keras optimizer on `variables`."""
    # Under a trace, the plain `apply` of LossScaleOptimizer leaks out of its branches.
    values, slots = optimizer.stateless_apply(
        [v.value for v in optimizer.variables],
        gradients,
        [v.value for v in variables],
    )
    _assign(variables, values)
    _assign(optimizer.variables, slots)


def add_decay(gradient: Any, variable: Any, decay: float) -> Any:
    """Return gradient + decay * variable."""
    return gradient + decay * keras.ops.cast(variable, gradient.dtype)


def fast_step(optimizer: str) -> None:
    """Return None: XLA joins an optimizer's operations."""


def input_gradients(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Return d sum(function(inputs)) / d inputs; see the engine on TensorFlow."""
    return jax.grad(lambda x: function(x).sum())(inputs)


def repeat(
    step: Callable, batches: dict, steps: int, state: Sequence, logs: Sequence
) -> dict:
    """Run several steps inside a compiled one; see the engine on TensorFlow."""

    def body(carried: Any, batch: Any) -> Any:
        values, totals = carried
        result, values = _run_pure(lambda: step(batch), zip(state, values), state)
        totals = {k: totals[k] + result[k].astype("float32") for k in logs}
        return (values, totals), None

    totals = {key: jnp.zeros((), "float32") for key in logs}
    start = ([v.value for v in state], totals)
    (values, totals), _ = jax.lax.scan(body, start, batches, unroll=_on_cpu())
    _assign(state, values)
    return {key: total / steps for key, total in totals.items()}


def compile_steps(
    step: Callable, state: Sequence, logs: Sequence
) -> Callable[..., dict]:
    """Compile a loop over steps; see the engine on TensorFlow.

    On a CPU the step alone is compiled and the loop is Python's: inside a compiled loop
    XLA's convolutions take 30 times as long there (jax-ml/jax issue 12868).
    """

    def body(i: Any, carried: Any, arrays: Any, batches: Any) -> Any:
        values, sound, totals = carried
        batch = {key: rows[i] for key, rows in batches.items()}
        result, values = _run_pure(
            lambda: step(arrays, batch), zip(state, values), state
        )
        totals = {k: totals[k] + result[k].astype("float32") for k in logs}
        finite = jnp.isfinite(jnp.stack(list(totals.values()))).all()
        return values, sound + finite, totals

    def loop(steps: int, carried: Any, arrays: Any, batches: Any) -> Any:
        one = functools.partial(body, arrays=arrays, batches=batches)
        return jax.lax.fori_loop(0, steps, one, carried)

    compiled = jax.jit(body if _on_cpu() else loop, donate_argnums=1)

    def run(arrays: Any, batches: Any, steps: int) -> dict[str, float]:
        totals = {key: np.zeros((), "float32") for key in logs}
        carried = [v.value for v in state], np.zeros((), "int32"), totals
        if _on_cpu():
            batches = jax.device_put(batches)
            for i in range(steps):
                carried = compiled(i, carried, arrays, batches)
        else:
            carried = compiled(steps, carried, arrays, batches)
        values, sound, totals = carried
        _assign(state, values)
        sums = {key: float(value) for key, value in totals.items()}
        return sums | {"sound": int(sound)}

    return run


def compile_function(function: Callable, state: Sequence) -> Callable[..., np.ndarray]:
    """Compile function(arrays, batch), which writes no variable; returns NumPy."""

    @jax.jit
    def pure(values: Any, arrays: Any, batch: Any) -> Any:
        with keras.StatelessScope(list(zip(state, values))):
            return function(arrays, batch)

    return lambda arrays, batch: np.asarray(
        pure([v.value for v in state], arrays, batch)
    )


def to_device(array: np.ndarray) -> Any:
    """Copy a NumPy array to the device."""
    return jnp.asarray(array)


def device() -> str:
    """Name the device that computes."""
    first = jax.devices()[0]
    return "CPU" if first.platform == "cpu" else first.device_kind


def make_deterministic() -> None:
    """Do nothing: a CPU is so anyway, a GPU needs XLA_FLAGS before the start."""


def padded_convolution(layer: Any, padding: Any) -> None:
    """Return None: XLA joins the padding and the convolution."""


def fast_kernel(layer: Any, shape: Any) -> Callable[..., Any] | None:
    """Return a faster function (layer, x, training) than `layer` itself, or None."""
    if not _on_cpu():
        return None
    if is_plain_lstm(layer):
        return _lstm
    # XLA has no fast kernel for these on a CPU: with backward 14 to 31 times faster.
    return transposed_convolution if is_plain_transposed_convolution(layer) else None


def _lstm(layer: Any, x: Any, training: bool) -> Any:
    """Multiply the inputs of all steps at once, and so the gradients of the weights.

    Differentiated by JAX, the loop over steps would add up the gradients of the weights
    step by step; written out, it hands on those of h and c alone.
    """
    return _recur(x, *lstm_weights(layer))


@jax.custom_vjp
def _recur(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    """Return an LSTM's outputs (batch, steps, units) on (batch, steps, features)."""
    return _recur_forward(x, kernel, recurrent_kernel, bias)[0]


def _recur_forward(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    # Steps first from here on.
    projected = jnp.swapaxes(x @ kernel + bias, 0, 1)
    zeros = jnp.zeros((x.shape[0], recurrent_kernel.shape[0]), x.dtype)

    def step(carried: Any, projected: Any) -> Any:
        h, c = carried
        h, c, gates = through_gates(projected + h @ recurrent_kernel, c)
        return (h, c), (h, c, gates)

    _, (h, c, gates) = jax.lax.scan(step, (zeros, zeros), projected)
    return jnp.swapaxes(h, 0, 1), (x, kernel, recurrent_kernel, h, c, gates)


def _recur_backward(residuals: Any, upstream: Any) -> Any:
    x, kernel, recurrent_kernel, h, c, gates = residuals
    x, upstream = jnp.swapaxes(x, 0, 1), jnp.swapaxes(upstream, 0, 1)
    zeros = jnp.zeros_like(h[:1])
    h_before = jnp.concatenate([zeros, h[:-1]])
    c_before = jnp.concatenate([zeros, c[:-1]])

    def step_back(carried: Any, of_step: Any) -> Any:
        by_h, by_c = carried
        upstream, c, c_before, gates = of_step
        by_gates, by_c = back_through_gates(by_h + upstream, by_c, c, c_before, gates)
        return (by_gates @ recurrent_kernel.T, by_c), by_gates

    _, by_gates = jax.lax.scan(
        step_back,
        (zeros[0], zeros[0]),
        (upstream, c, c_before, gates),
        reverse=True,
    )
    by_x = jnp.swapaxes(by_gates @ kernel.T, 0, 1)
    by_kernel = jnp.einsum("tbi,tbo->io", x, by_gates)
    by_recurrent_kernel = jnp.einsum("tbi,tbo->io", h_before, by_gates)
    return by_x, by_kernel, by_recurrent_kernel, by_gates.sum((0, 1))


_recur.defvjp(_recur_forward, _recur_backward)


def _on_cpu() -> bool:
    return jax.devices()[0].platform == "cpu"


def _run_pure(function: Any, values: Any, state: Any) -> Any:
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


def _assign(variables: Any, values: Any) -> None:
    for variable, value in zip(variables, values):
        variable.assign(value)
