//! The tests of this package call HIP by other authors' bindings alone.
