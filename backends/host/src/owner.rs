//! A reference to an owner of the user: [`Owner`].

use gpu_stream_core::KeepAlive;

use crate::executor::task::catch_panic;

/// A reference to the owner of a stream or event. Dropping the last one runs the user's destructor.
///
/// A panic of that destructor reaches the caller. If the thread is already unwinding, the panic is
/// caught after the panic hook has reported it, since a second panic would abort the process.
#[derive(Clone, Default, Debug)]
pub(crate) struct Owner(KeepAlive);

impl From<KeepAlive> for Owner {
    fn from(owner: KeepAlive) -> Self {
        Owner(owner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.is_owned() && std::thread::panicking() {
            let owner = std::mem::take(&mut self.0);
            let _ = catch_panic(|| drop(owner));
        }
    }
}
