//! See `tests/` and `examples/`.
