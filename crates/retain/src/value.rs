//! A retained value without its type: [`Value`].

use std::any::Any;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};
use std::ptr;

/// Room for a value of up to three words: an `Arc`, a `Vec`, a `String`.
type Storage = MaybeUninit<[*mut (); 3]>;

/// A retained value. A small one is in the storage itself, another one in a box.
pub(crate) struct Value {
    storage: Storage,
    functions: &'static Functions,
}

/// What can be done with the content of a storage, whose type they know. The content is gone afterwards.
struct Functions {
    drop: unsafe fn(*mut Storage),
    into_box: unsafe fn(*mut Storage) -> Box<dyn Any + Send>,
}

// SAFETY: the content is a `T` or a `Box<T>`, and `new` takes only a `T` that is `Send`.
unsafe impl Send for Value {}

impl Value {
    /// Erases the type of `value`. Allocates only if it is larger than three words, or needs a larger alignment.
    pub(crate) fn new<T: Send + 'static>(value: T) -> Self {
        if fits::<T>() { Self::of(InPlace(value)) } else { Self::of(Box::new(value)) }
    }

    fn of<C: Content>(content: C) -> Self {
        assert!(fits::<C>());
        let mut storage = Storage::uninit();
        // SAFETY: the storage has the size and the alignment for a `C`: see above.
        unsafe { storage.as_mut_ptr().cast::<C>().write(content) };
        Value { storage, functions: &FunctionsOf::<C>::ALL }
    }

    /// Returns the value in a box. Allocates the box if the value has none.
    pub(crate) fn into_box(self) -> Box<dyn Any + Send> {
        let mut this = ManuallyDrop::new(self);
        let into_box = this.functions.into_box;
        // SAFETY: the storage has the content that `functions` are of. It is not used again, as `this` is not dropped.
        unsafe { into_box(&mut this.storage) }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the storage has the content that `functions` are of. It is not used again, also if this unwinds.
        unsafe { (self.functions.drop)(&mut self.storage) }
    }
}

/// Returns `true` if a storage has room for a `C`.
const fn fits<C>() -> bool {
    size_of::<C>() <= size_of::<Storage>() && align_of::<C>() <= align_of::<Storage>()
}

/// What a storage can have.
trait Content: 'static {
    /// Returns the value in a box.
    fn into_box(self) -> Box<dyn Any + Send>;
}

/// A value that needs no box. A value that is a box itself is no [`Content`] otherwise.
struct InPlace<T>(T);

impl<T: Send + 'static> Content for InPlace<T> {
    fn into_box(self) -> Box<dyn Any + Send> {
        Box::new(self.0)
    }
}

impl<T: Send + 'static> Content for Box<T> {
    fn into_box(self) -> Box<dyn Any + Send> {
        self
    }
}

struct FunctionsOf<C>(PhantomData<C>);

impl<C: Content> FunctionsOf<C> {
    const ALL: Functions = Functions { drop: Self::drop, into_box: Self::into_box };

    /// Drops the content in place.
    ///
    /// # Safety
    /// - `storage` has a `C`, which is not used again.
    unsafe fn drop(storage: *mut Storage) {
        // SAFETY: the storage has a `C` (caller contract).
        unsafe { ptr::drop_in_place(storage.cast::<C>()) }
    }

    /// Moves the content into a box.
    ///
    /// # Safety
    /// - `storage` has a `C`, which is not used again.
    unsafe fn into_box(storage: *mut Storage) -> Box<dyn Any + Send> {
        // SAFETY: the storage has a `C` (caller contract).
        unsafe { storage.cast::<C>().read() }.into_box()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::Arc;

    use super::*;

    /// Checks that a clone of `value` comes back in a box, and that another one is dropped.
    fn check<T: Clone + PartialEq + Debug + Send + 'static>(value: T, is_small: bool) {
        let owned = Arc::new(());
        assert_eq!(fits::<(Arc<()>, T)>(), is_small, "{value:?}");
        let erased = || Value::new((Arc::clone(&owned), value.clone()));
        let (dropped, boxed) = (erased(), erased().into_box());
        // Moved, as by a list that grows.
        let dropped = Box::new(dropped);
        assert_eq!(Arc::strong_count(&owned), 3);
        drop(dropped);
        assert_eq!(Arc::strong_count(&owned), 2);
        let boxed = boxed.downcast::<(Arc<()>, T)>().expect("the type of the value");
        assert_eq!(boxed.1, value);
        drop(boxed);
        assert_eq!(Arc::strong_count(&owned), 1);
    }

    #[repr(align(32))]
    #[derive(Clone, PartialEq, Debug)]
    struct Aligned(u8);

    #[test]
    fn values_of_every_size_are_dropped_once() {
        check((), true);
        check(7_u8, true);
        check([1_usize, 2], true);
        check(Box::new(String::from("in a box")), true);
        check([1_usize, 2, 3], false);
        check(String::from("text"), false);
        check(Aligned(3), false);
    }

    #[test]
    fn box_of_any_stays_a_box_of_a_box() {
        let inner: Box<dyn Any + Send> = Box::new(5_u16);
        let outer = Value::new(inner).into_box();
        let inner = outer.downcast::<Box<dyn Any + Send>>().expect("the type of the value");
        assert_eq!(inner.downcast_ref::<u16>(), Some(&5));
    }

    #[test]
    fn value_without_a_size_is_dropped() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(9));
            }
        }
        let value = Value::new(Panics);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value)));
        assert_eq!(panic.unwrap_err().downcast_ref::<i32>(), Some(&9));
    }
}
