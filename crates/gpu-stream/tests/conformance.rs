//! The whole suite on `Any`: a stream that is chosen at run time upholds the contract as the stream
//! inside does.

mod any_fixture;

#[test]
fn any_passes_the_suite() {
    any_fixture::suite::pass();
}
