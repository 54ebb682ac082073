//! What captures of both vendors share: `capture_functions!`.

/// Declares the functions of captures in a vendor's module, which has `check`, `driver`, `Ptr` and
/// `DriverError`. The arguments are the names of the driver's functions.
macro_rules! capture_functions {
    ($begin:literal, $status:literal, $end:literal, $nodes:literal) => {
        /// The capture status of a stream whose capture is active and not broken.
        pub const CAPTURE_ACTIVE: c_int = 1;

        /// Begins a capture of a stream: mode 0 is global, 1 thread-local, 2 relaxed.
        ///
        /// # Errors
        /// The driver's error.
        pub fn start_capture(stream: Ptr, mode: c_int) -> Result<(), DriverError> {
            // SAFETY: the tests' streams are live.
            check($begin, unsafe { (driver().begin_capture)(stream, mode) })
        }

        /// Returns the capture status of a stream: 0 is none, 1 active, 2 broken.
        ///
        /// # Errors
        /// The driver's error.
        pub fn capture_status(stream: Ptr) -> Result<c_int, DriverError> {
            let mut status = 0;
            // SAFETY: the tests' streams are live, and `&mut status` is a valid out-pointer.
            check($status, unsafe { (driver().capture_status)(stream, &mut status) })?;
            Ok(status)
        }

        /// Ends the capture of a stream. Returns its graph.
        ///
        /// # Errors
        /// The driver's error, if the capture is broken.
        pub fn end_capture(stream: Ptr) -> Result<CapturedGraph, DriverError> {
            let mut graph = std::ptr::null_mut();
            // SAFETY: the tests' streams are live, and `&mut graph` is a valid out-pointer.
            check($end, unsafe { (driver().end_capture)(stream, &mut graph) })?;
            Ok(CapturedGraph(graph))
        }

        /// The graph that a capture recorded. The drop destroys it.
        #[derive(Debug)]
        pub struct CapturedGraph(Ptr);

        impl Drop for CapturedGraph {
            fn drop(&mut self) {
                // SAFETY: the graph is live, and this is its last use.
                unsafe { (driver().graph_destroy)(self.0) };
            }
        }

        impl CapturedGraph {
            /// Returns the number of its nodes. Returns `None` if the driver does not tell.
            ///
            /// # Errors
            /// The driver's error.
            pub fn nodes(&self) -> Result<Option<usize>, DriverError> {
                if !driver().has($nodes) {
                    return Ok(None);
                }
                let (nodes, mut count) = (driver().graph_nodes, 0);
                // SAFETY: the graph is live. Without an array of nodes the driver writes only the count, and
                // `&mut count` is a valid out-pointer.
                check($nodes, unsafe { nodes(self.0, std::ptr::null_mut(), &mut count) })?;
                Ok(Some(count))
            }
        }
    };
}

pub(crate) use capture_functions;
