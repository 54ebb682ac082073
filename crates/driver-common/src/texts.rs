//! Reasons of errors that CUDA and HIP share word for word.

/// A foreign event, of which the driver says that it has no time.
pub const FOREIGN_WITHOUT_TIME: &str = "is an event of another library, and the driver has no time for it: it was made without timing, or was not \
     recorded, which the driver does not tell apart; make it with timing, and record it outside of a capture";

/// A foreign event, which the driver refuses to record on the given stream.
pub const FOREIGN_RECORD_REFUSED: &str = "is an event of another library, and the driver refuses to record it on this stream: it may belong to another device \
     than the one named in `Backend::event_from_raw`; name the event's own device, and record on a stream of that device";
