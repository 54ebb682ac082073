//! The programs that are kept, each of which is run on every backend.

macro_rules! kept {
    ($($name:ident,)*) => {
        /// Their names and texts.
        pub const ALL: &[(&str, &str)] =
            &[$((stringify!($name), include_str!(concat!("../programs/", stringify!($name), ".txt")))),*];
    };
}

kept! {
}
